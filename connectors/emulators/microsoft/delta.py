"""``calendarView/delta`` with all its oddities (PROVIDERS B4, rules M-3 and M-13)."""

from __future__ import annotations

import base64
import json
import random
import secrets
from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote

from connectors.emulators.microsoft.rendering import Renderer
from connectors.emulators.microsoft.store import Store, StoredEvent
from connectors.emulators.microsoft.times import instances, overlaps, span
from connectors.emulators.microsoft.wire import Fault, Json, Reply, Request

GRAPH = "https://graph.microsoft.com"
"""Links carry the production host, whatever address the emulator listens on."""

_ROUNDS = 256


class Deltas:
    """Rounds of changes. Pages of a round are frozen when it begins; a delta token needs no memory."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rounds: OrderedDict[str, tuple[list[Json], str]] = OrderedDict()
        self._random = random.Random(4)

    def page(self, request: Request, owner: str, calendar_id: str | None) -> Reply:
        """One page. Raises `Fault` 400, 404, 410."""
        calendar = self._store.calendar(owner, calendar_id)
        bad = request.query.keys() - {"startDateTime", "endDateTime", "$deltatoken", "$skiptoken"}
        if bad:
            raise Fault(400, "ErrorInvalidUrlQuery", f"The following parameters are not supported: {sorted(bad)}")
        renderer = Renderer(self._store, request)
        base = f"{GRAPH}{request.path}"
        if token := request.query.get("$skiptoken"):
            name, _, offset = token.partition(".")
            if name not in self._rounds or not offset.isdigit():
                raise Fault(400, "ErrorInvalidUrlQuery", "The skip token is not valid.")
            return self._reply(request, base, name, int(offset), renderer)
        since: int | None = None
        if token := request.query.get("$deltatoken"):
            state = self._known(token, calendar.id, request)
            since, first, last = state["seq"], _instant(state["start"]), _instant(state["end"])
        else:
            first, last = window(request.query)
        with self._store.lock:
            rows, newest = self._rows(owner, calendar.id, since, first, last, renderer)
            state = {
                "epoch": self._store.epoch,
                "generation": self._store.delta_generation,
                "calendar": calendar.id,
                "seq": newest,
                "start": first.isoformat(),
                "end": last.isoformat(),
            }
        name = secrets.token_hex(8)
        self._rounds[name] = (rows, _pack(state))
        while len(self._rounds) > _ROUNDS:
            self._rounds.popitem(last=False)
        if self._store.switches.empty_page and rows:
            link = f"{base}?$skiptoken={name}.0"
            return _answer({"@odata.nextLink": link, "value": []}, renderer)
        return self._reply(request, base, name, 0, renderer)

    def _known(self, token: str, calendar_id: str, request: Request) -> Json:
        state = _unpack(token)
        if state is None or state["calendar"] != calendar_id:
            raise Fault(400, "ErrorInvalidUrlQuery", "The delta token is not valid.")
        if state["epoch"] == self._store.epoch and state["generation"] == self._store.delta_generation:
            return state
        if self._store.switches.expired == "location":
            fresh = f"{GRAPH}{request.path}?startDateTime={quote(state['start'])}&endDateTime={quote(state['end'])}"
            raise Fault(410, "resyncRequired", "Resync required.", headers={"Location": fresh})
        raise Fault(410, "SyncStateNotFound", "The sync state generation is not found; continuation token is expired.")

    def _reply(self, request: Request, base: str, name: str, offset: int, renderer: Renderer) -> Reply:
        rows, token = self._rounds[name]
        size = int(request.preferences().get("odata.maxpagesize") or self._store.switches.page_size)
        body: Json = {"@odata.context": f"{GRAPH}/v1.0/$metadata#Collection(event)"}
        if offset + size < len(rows):
            body["@odata.nextLink"] = f"{base}?$skiptoken={name}.{offset + size}"
        else:
            body["@odata.deltaLink"] = f"{base}?$deltatoken={token}"
        body["value"] = rows[offset : offset + size]
        return _answer(body, renderer)

    def _rows(
        self, owner: str, calendar_id: str, since: int | None, first: datetime, last: datetime, renderer: Renderer
    ) -> tuple[list[Json], int]:
        rows: list[Json] = []
        newest = since or 0
        switches = self._store.switches
        for event in sorted(self._store.all_seen(owner), key=lambda event: event.seq):
            newest = max(newest, event.seq)
            if since is None or event.seq > since:
                rows += self._changed(event, calendar_id, since, first, last, renderer)
            elif switches.replay and event.calendar == calendar_id and not event.deleted:
                again = list(self._shown(event, first, last, renderer))
                rows += [row for row in again if self._random.random() < switches.replay]
        if switches.spread:
            self._random.shuffle(rows)
        return rows, newest

    def _changed(
        self,
        event: StoredEvent,
        calendar_id: str,
        since: int | None,
        first: datetime,
        last: datetime,
        renderer: Renderer,
    ) -> list[Json]:
        here = event.calendar == calendar_id and not event.deleted
        left = since is not None and event.left.get(calendar_id, 0) > since
        if not here:
            return [renderer.removed(event)] if left else []
        if left and self._store.switches.move_back == "removed":
            return [renderer.removed(event)]
        rows = list(self._shown(event, first, last, renderer))
        if not rows and since is not None:
            before = self._store.at(event.key, since)
            left_the_window = before is not None and any(self._shown(before, first, last, renderer))
            if left_the_window or self._store.switches.outside_window == "removed":
                return [renderer.removed(event)]
        return rows

    def _shown(self, event: StoredEvent, first: datetime, last: datetime, renderer: Renderer) -> Iterator[Json]:
        """A series is sent again as a whole: nothing names an occurrence that was deleted."""
        if not event.recurring:
            if overlaps(*span(event.content), first, last):
                yield renderer.event(event)
            return
        found = instances(event, first, last)
        if found:
            yield {"@odata.type": "#microsoft.graph.event", **renderer.event(event)}
        for instance in found:
            if instance.changed and self._store.switches.exceptions == "full":
                yield renderer.instance(event, instance)
            else:
                yield renderer.minimal(event, instance)


def window(query: dict[str, str]) -> tuple[datetime, datetime]:
    """``startDateTime`` and ``endDateTime`` of a query. Raises `Fault` 400."""
    try:
        return _instant(query["startDateTime"]), _instant(query["endDateTime"])
    except (KeyError, ValueError):
        raise Fault(400, "ErrorInvalidParameter", "startDateTime and endDateTime are required.") from None


def _instant(text: str) -> datetime:
    value = datetime.fromisoformat(text)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _pack(state: Json) -> str:
    return base64.urlsafe_b64encode(json.dumps(state).encode()).decode().rstrip("=")


def _unpack(token: str) -> Json | None:
    try:
        state = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except ValueError:
        return None
    return state if isinstance(state, dict) and {"epoch", "generation", "calendar", "seq"} <= state.keys() else None


def _answer(body: Json, renderer: Renderer) -> Reply:
    return Reply(200, body, {"Preference-Applied": renderer.applied} if renderer.applied else {})
