"""Slot lists as ready bytes, kept as long as the ledger says that nothing has changed (ARCHITECTURE decision 9)."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from api.wire import instant
from booking.queries import Listed, Pulse

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """The slots of one page as JSON. etag: of the slots alone, so that it survives changes that don't concern them, and
    weak for that reason (RFC 9110 §8.8.1): ``fresh_at`` beside them moves on."""

    version: int
    valid_until: datetime
    slots: bytes
    etag: str

    def body(self, timezone: str, pulse: Pulse) -> bytes:
        """The whole answer; ``fresh_at`` is of now, the slots are as kept."""
        fresh = f'"{instant(pulse.fresh_at)}"' if pulse.fresh_at else "null"
        return f'{{"timezone":{json.dumps(timezone)},"fresh_at":{fresh},"slots":'.encode() + self.slots + b"}"


class SlotCache:
    """Bounded, of one process, safe among threads. What it forgets is computed again."""

    def __init__(self, size: int = 4096) -> None:
        self._size = size
        self._kept: OrderedDict[Key, Ready] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key, pulse: Pulse, now: datetime, compute: Callable[[], Listed]) -> Ready:
        """What is kept for this version, else computed now."""
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None and kept.version == pulse.version and now < kept.valid_until:
            return kept
        ready = _ready(compute(), pulse.version)
        with self._lock:
            self._kept[key] = ready
            self._kept.move_to_end(key)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return ready


def _ready(listed: Listed, version: int) -> Ready:
    rows = [
        f'{{"start":"{instant(s.period.start)}","end":"{instant(s.period.end)}",'
        f'"seats_left":{s.seats_left},"state":"{s.state.value}"}}'
        for s in listed.starts
    ]
    slots = ("[" + ",".join(rows) + "]").encode()
    return Ready(version, listed.valid_until, slots, f'W/"{hashlib.sha256(slots).hexdigest()[:24]}"')
