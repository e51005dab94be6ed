"""What a handler may need, built once for each process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from booking.terms import Terms
from connectors.mail.outgoing import Outgoing
from ledger.db import Database, Tx
from ledger.messages import Message
from ledger.outbox import Leased
from ledger.settings import Settings
from ledger.vault import Vault
from sync.accounts import Accounts
from workers.leases import LeaseKeeper

Handler = Callable[["World", Leased], None]
"""Work with the outside: read – close – call – write; settles in its last transaction."""
Reaction = Callable[["World", Tx, Leased], None]
"""Work inside the ledger alone: begun, done and settled in one transaction."""


@dataclass(frozen=True, slots=True)
class World:
    """One process's share of the deployment. Threads share it."""

    settings: Settings
    database: Database
    vault: Vault
    accounts: Accounts
    outgoing: Outgoing
    terms: Terms
    clock: Callable[[], datetime]
    leases: LeaseKeeper
    handlers: Mapping[type[Message], Handler]
    reactions: Mapping[type[Message], Reaction]

    def close(self) -> None:
        """End threads and connections; idempotent."""
        self.leases.stop()
        self.outgoing.close()
        self.database.dispose()
