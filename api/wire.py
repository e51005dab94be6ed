"""What the doors answer, as `ledger.wire` writes it."""

from ledger.wire import instant as instant
from ledger.wire import wire as wire
