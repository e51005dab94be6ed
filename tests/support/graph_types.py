"""Is what the emulator says, and what we send, what Microsoft's own metadata allow? (PROVIDERS G6)

The extract of Graph's CSDL lies beside the repository; without it these checks skip, in CI they fail.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from connectors.emulators.microsoft import Reply, Request

EXTRACT = Path(__file__).parents[2].parent / "shared" / "graph_calendar_types.json"
_EDM = {
    "Edm.String": (str, ""),
    "Edm.Boolean": (bool, ""),
    "Edm.Int32": (int, ""),
    "Edm.Double": ((int, float), ""),
    "Edm.DateTimeOffset": (str, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?(Z|[+-]\d\d:\d\d)"),
    "Edm.Date": (str, r"\d{4}-\d\d-\d\d"),
    "Edm.TimeOfDay": (str, r"\d\d:\d\d:\d\d(\.\d+)?"),
    "Edm.Guid": (str, r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
}
_ERROR = {"code", "message", "innerError", "target", "details"}


@lru_cache(maxsize=1)
def metadata() -> dict[str, Any] | None:
    """The extract, or None where it is missing."""
    if EXTRACT.exists():
        loaded: dict[str, Any] = json.loads(EXTRACT.read_text("utf-8"))
        return loaded
    return None


def need_metadata() -> None:
    """Skip, or fail in CI, where the extract is missing."""
    if metadata() is None:
        if os.environ.get("CI"):
            pytest.fail("graph_calendar_types.json is missing")
        pytest.skip("graph_calendar_types.json is missing")


def wrong(value: Any, kind: str, path: str = "$") -> Iterator[str]:
    """What in a value doesn't fit a type of Graph's."""
    known = metadata() or {}
    if inner := re.fullmatch(r"Collection\((.+)\)", kind):
        if not isinstance(value, list):
            yield f"{path}: a list is expected"
            return
        for number, item in enumerate(value):
            yield from wrong(item, inner[1], f"{path}[{number}]")
    elif kind in _EDM:
        wanted, pattern = _EDM[kind]
        if not isinstance(value, wanted) or (kind != "Edm.Boolean" and isinstance(value, bool)):  # type: ignore[arg-type]
            yield f"{path}: {kind} is expected, not {value!r}"
        elif pattern and not re.fullmatch(pattern, value):
            yield f"{path}: {value!r} is no {kind}"
    elif kind in known["enums"]:
        if value not in known["enums"][kind]:
            yield f"{path}: {value!r} is not in {kind}"
    else:
        yield from _wrong_object(value, kind, path)


def _wrong_object(value: Any, kind: str, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: {kind} is expected, not {value!r}"
        return
    properties = _properties(kind)
    if kind == "resourceData":
        properties = {"id": {"type": "Edm.String"}}
    for name, item in value.items():
        if "@" in name:
            continue
        if name not in properties:
            yield f"{path}.{name}: {kind} has no such property"
        elif item is None:
            if properties[name].get("nullable") is False:
                yield f"{path}.{name}: must not be null"
        else:
            yield from wrong(item, properties[name]["type"], f"{path}.{name}")


def _properties(kind: str) -> dict[str, Any]:
    types = (metadata() or {})["types"]
    found: dict[str, Any] = {}
    while kind:
        found = {**types[kind]["properties"], **found}
        kind = types[kind]["base"] or ""
    return found


class Honesty:
    """Watches every exchange. violations: what Microsoft's metadata don't allow, in either direction."""

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.checked = 0

    def __call__(self, request: Request, reply: Reply) -> None:
        """The emulator's ``observe``."""
        if metadata() is None or request.segments[:1] != ("v1.0",) or not isinstance(reply.body, dict):
            return
        self.checked += 1
        said = f"{request.method} {request.path} → {reply.status}"
        self.violations += [f"{said} {fault}" for fault in self._faults(request, reply, reply.body)]

    def _faults(self, request: Request, reply: Reply, body: dict[str, Any]) -> Iterator[str]:
        if reply.status >= 400:
            error = body.get("error")
            if not isinstance(error, dict) or not {"code", "message"} <= error.keys():
                yield "an error without code and message"
            elif unknown := {name for name in error if "@" not in name} - _ERROR:
                yield f"unknown parts of an error: {unknown}"
            return
        kind = _kind(request.segments[1:])
        if kind is None:
            return
        if "value" in body and request.method != "PATCH":
            yield from wrong(body["value"], f"Collection({kind})")
            extra = {name for name in body if "@" not in name} - {"value"}
            if extra:
                yield f"a listing with {extra}"
        else:
            yield from wrong(body, kind)
        if request.method in ("POST", "PATCH") and kind in ("event", "subscription"):
            yield from wrong(json.loads(request.raw), kind, "sent")


def _kind(segments: tuple[str, ...]) -> str | None:
    if segments[:1] == ("subscriptions",):
        return "subscription"
    if segments[-1:] == ("getSchedule",):
        return "scheduleInformation"
    if segments[-1:] == ("calendarGroups",):
        return "calendarGroup"
    if set(segments) & {"events", "calendarView"}:
        return "event"
    return "calendar" if {"calendars", "calendar"} & set(segments) else None
