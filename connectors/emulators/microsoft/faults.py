"""Faults on demand (PROVIDERS G4)."""

from __future__ import annotations

import random
import re
import threading
from dataclasses import dataclass, field

from connectors.emulators.microsoft.wire import Fault

BEFORE = frozenset({"status", "close", "hang", "oauth"})
"""Nothing is done: an error status, the connection reset, silence, or an OAuth error."""
AFTER = frozenset(
    {
        "commit_then_close",
        "commit_then_hang",
        "commit_then_status",
        "truncate",
        "html",
        "invalid_json",
        "slow",
        "repeat_row",
        "empty_page",
        "strip_etag",
    }
)
"""It is done, and then the answer is spoilt."""


@dataclass
class FaultRule:
    """Which request, and what happens to it.

    method: ``""`` for any. path: a regular expression, searched in path and query. nth: the first request hit,
    from 1. count: how many. probability, seed: of each fitting request. seconds: of hanging. retry_after: the
    header as text, number or HTTP date. error, suberror: of ``oauth``.
    """

    action: str
    method: str = ""
    path: str = ""
    nth: int = 1
    count: int = 1
    probability: float = 1.0
    seed: int = 0
    status: int = 503
    code: str = "serviceNotAvailable"
    message: str = ""
    retry_after: str = ""
    location: str = ""
    seconds: float = 2.0
    error: str = "invalid_grant"
    suberror: str = ""
    met: int = 0
    used: int = 0
    _random: random.Random = field(default_factory=random.Random, repr=False)

    def __post_init__(self) -> None:
        if self.action not in BEFORE | AFTER:
            raise ValueError(f"unknown fault {self.action!r}")
        self._random = random.Random(self.seed)

    def fits(self, method: str, target: str) -> bool:
        """Is this request hit? Counts it."""
        if (self.method and self.method != method) or not re.search(self.path, target):
            return False
        self.met += 1
        if self.met < self.nth or self.used >= self.count or self._random.random() >= self.probability:
            return False
        self.used += 1
        return True

    def fault(self) -> Fault:
        """The error of ``status`` and ``commit_then_status``."""
        headers = {"Retry-After": self.retry_after} if self.retry_after else {}
        if self.location:
            headers["Location"] = self.location
        return Fault(self.status, self.code, self.message, headers=headers)


class Faults:
    """All rules; the first that fits wins."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.rules: list[FaultRule] = []

    def add(self, rule: FaultRule) -> None:
        """One more."""
        with self._lock:
            self.rules.append(rule)

    def clear(self) -> None:
        """None."""
        with self._lock:
            self.rules.clear()

    def met_by(self, method: str, target: str) -> FaultRule | None:
        """The rule that hits this request."""
        with self._lock:
            return next((rule for rule in self.rules if rule.fits(method, target)), None)
