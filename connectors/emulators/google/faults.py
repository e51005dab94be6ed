"""What can go wrong at Google or on the way (PROVIDERS G4): a rule matches requests and picks an action.

Actions, with their options: ``status`` (code, body, retry_after) · ``error`` (name of `answers.RATE_ERRORS`,
retry_after) · ``oauth`` (error, code) · ``close``, ``reset`` and ``hang`` (nothing was done; seconds) ·
``commit_then_close`` (no byte, the line is closed: httplib2 sends again by itself) · ``commit_then_reset`` (RST) ·
``commit_then_hang`` (seconds) · ``commit_then_error`` (name) · ``truncate`` · ``garbage`` · ``html`` · ``slow``
(seconds) · ``duplicate_item``.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass, field
from typing import Any

from connectors.emulators.google.answers import Json, Request, Response, named_error

BEFORE = frozenset({"status", "error", "oauth", "close", "reset", "hang", "html"})
"""Actions that take the place of the answer: the request is never carried out."""
AFTER = frozenset(
    {
        "commit_then_close",
        "commit_then_reset",
        "commit_then_hang",
        "commit_then_error",
        "truncate",
        "garbage",
        "slow",
        "duplicate_item",
    }
)
"""Actions after the request was carried out."""


@dataclass(slots=True)
class Fault:
    """One rule. nth: from which matching call on, counted from 1. count: how often, 0 for ever. query: regex over the
    raw query string. hits: how often it acted."""

    action: str
    method: str = ""
    path: str = ""
    query: str = ""
    nth: int = 1
    count: int = 1
    probability: float = 1.0
    seed: int = 0
    options: Json = field(default_factory=dict)
    seen: int = 0
    hits: int = 0
    dice: random.Random = field(default_factory=random.Random)

    @classmethod
    def of(cls, action: str, **given: Any) -> Fault:
        """A rule from flat keywords; what isn't a field is an option of the action. Raises ValueError."""
        if action not in BEFORE | AFTER:
            raise ValueError(f"no such action: {action}")
        own = ("method", "path", "query", "nth", "count", "probability", "seed")
        fault = cls(action, **{k: given[k] for k in own if k in given})
        fault.options = {k: v for k, v in given.items() if k not in own}
        fault.dice.seed(fault.seed)
        return fault

    def matches(self, request: Request, raw_query: str) -> bool:
        """Count the call and say whether the rule acts on it."""
        if self.method and self.method != request.method:
            return False
        if not re.search(self.path, request.path) or not re.search(self.query, raw_query):
            return False
        self.seen += 1
        if self.seen < self.nth or (self.count and self.hits >= self.count):
            return False
        if self.probability < 1 and self.dice.random() >= self.probability:
            return False
        self.hits += 1
        return True

    def instead(self) -> Response | None:
        """The answer that replaces the real one, None where the line itself fails."""
        wait = str(self.options.get("retry_after", ""))
        match self.action:
            case "status":
                answer = Response(int(self.options["code"]), str(self.options.get("body", "")).encode())
                answer.headers.append(("Content-Type", "text/plain"))
                if wait:
                    answer.headers.append(("Retry-After", wait))
                return answer
            case "error":
                return named_error(self.options["name"], wait).response()
            case "oauth":
                body = {"error": self.options["error"], "error_description": "Token has been expired or revoked."}
                return Response.of(body, int(self.options.get("code", 400)))
            case "html":
                return Response.html("<html><body>Please log in to the network</body></html>", 200)
        return None

    def changed(self, answer: Response) -> Response:
        """The real answer, spoiled."""
        match self.action:
            case "commit_then_error":
                return named_error(self.options.get("name", "internalError")).response()
            case "truncate":
                return Response(answer.status, answer.body[: len(answer.body) // 2], answer.headers)
            case "garbage":
                return Response(answer.status, b"{\x00 not json", answer.headers)
            case "duplicate_item":
                value = json.loads(answer.body or b"{}")
                value["items"] = [item for item in value.get("items", ()) for _ in range(2)]
                return Response(answer.status, json.dumps(value).encode(), answer.headers)
        return answer
