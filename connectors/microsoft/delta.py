"""One calendar's changes by ``calendarView/delta`` (PROVIDERS B4).

The window of a delta is frozen when it begins. It is begun anew, by `SyncTokenExpired`, when the asked window has
moved on by `SLACK`; until then the last days of the asked window are not yet covered. A series is always handed on
whole: Graph sends occurrences in pieces, repeats them, and names no occurrence that was deleted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo

from connectors.errors import BadAnswer, Conflict, Gone, Refused, ServerFault, SyncTokenExpired
from connectors.microsoft import events as graph_events
from connectors.microsoft.graph import GraphClient, Row, query, rows, segment
from connectors.model import ChangeSet, Event, Period, Progress, SyncToken

KIND = "graph"
"""Kind of the token."""
SLACK = timedelta(days=7)
"""How far the asked window may move on before everything is listed again (PROVIDERS B4.5)."""
MARGIN = timedelta(days=1)
"""All-day days are matched by their instants in the owner's zone, which may be a day off."""


@dataclass(slots=True)
class _Round:
    """What one run of pages said; the last word on each id counts."""

    live: dict[str, Row] = field(default_factory=dict)
    removed: dict[str, None] = field(default_factory=dict)
    delta_link: str = ""

    def take(self, row: Row) -> None:
        href = row.get("id")
        if not isinstance(href, str) or not href:
            raise BadAnswer("a row of the delta without id")
        if "@removed" in row:
            self.live.pop(href, None)
            self.removed[href] = None
        else:
            self.removed.pop(href, None)
            self.live[href] = row


def changes(
    client: GraphClient,
    calendar_href: str,
    zone: tzinfo | None,
    since: SyncToken | None,
    window: Period,
    progress: Progress | None = None,
) -> ChangeSet:
    """Changes since a token, or everything in the window.

    listed: every object with a part in the window; what lies outside isn't named, so absence counts inside only.
    removed: ids Graph called removed; they may also have left the window, never have been known, or be
    occurrences. Raises `SyncTokenExpired`, `Gone` where the calendar answers 404.
    """
    covered, link = _begin(calendar_href, since, window)
    frozen = covered.widened(MARGIN, MARGIN)
    seen = _run(client, link, since is not None, progress)
    owned = _own_keys(client, seen)
    changed: list[Event] = []
    parts: dict[str, list[Row]] = {}
    masters: dict[str, Row] = {}
    for href, row in seen.live.items():
        if row.get("seriesMasterId") and row.get("type") != "seriesMaster":
            parts.setdefault(str(row["seriesMasterId"]), []).append(row)
        elif row.get("type") == "seriesMaster":
            masters[href] = row
        else:
            event = graph_events.single(row, zone, owned.get(href, ""))
            if since or not event.occurrences or event.occurrences[0].period.overlaps(covered):
                changed.append(event)
    wanted = [href for href in {**masters, **parts} if href not in seen.removed]
    for href, series in _series(client, wanted, masters, {} if since else parts, frozen, zone):
        if series is None:
            seen.removed[href] = None
        else:
            inside = tuple(part for part in series.occurrences if part.period.overlaps(covered))
            changed.append(replace(series, occurrences=inside))
    value = {"deltaLink": seen.delta_link, "start": covered.start.isoformat(), "end": covered.end.isoformat()}
    return ChangeSet(
        changed=tuple(changed),
        removed=tuple(seen.removed) if since else (),
        listed=None if since else frozenset(event.href for event in changed),
        token=SyncToken(KIND, json.dumps(value, separators=(",", ":"))),
    )


def stamp(instant: datetime) -> str:
    """An instant in a query: with ``Z``, as ``+`` would be read as a space."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def bounds(window: Period) -> str:
    """``startDateTime`` and ``endDateTime`` of a view."""
    return query(startDateTime=stamp(window.start), endDateTime=stamp(window.end))


def instances(client: GraphClient, master: str, window: Period) -> list[Row]:
    """Occurrences and exceptions of a series, in full. Raises `Gone`."""
    return list(client.pages(f"/me/events/{segment(master)}/instances?{bounds(window)}"))


def _begin(calendar_href: str, since: SyncToken | None, window: Period) -> tuple[Period, str]:
    """The window that this delta covers, and where to go on."""
    if since is None:
        asked = bounds(window.widened(MARGIN, MARGIN))
        return window, f"/me/calendars/{segment(calendar_href)}/calendarView/delta?{asked}"
    try:
        value = json.loads(since.value)
        covered = Period(datetime.fromisoformat(value["start"]), datetime.fromisoformat(value["end"]))
        link = str(value["deltaLink"])
    except (ValueError, KeyError, TypeError) as error:
        raise SyncTokenExpired("the token can't be read") from error
    moved = window.start - covered.start, window.end - covered.end
    if since.kind != KIND or not all(timedelta(0) <= step <= SLACK for step in moved):
        raise SyncTokenExpired("the window has moved out of the token's")
    return covered, link


def _run(client: GraphClient, link: str, resumed: bool, progress: Progress | None) -> _Round:
    seen = _Round()
    first = True
    while True:
        body = _page(client, link, resumed, first)
        for row in rows(body):
            seen.take(row)
        if progress is not None:
            progress(len(seen.live) + len(seen.removed), len(seen.live) + len(seen.removed))
        following, seen.delta_link = body.get("@odata.nextLink"), str(body.get("@odata.deltaLink") or "")
        if seen.delta_link:
            return seen
        if not following or following == link:
            raise BadAnswer("a delta without an end")
        link, first = str(following), False


def _page(client: GraphClient, link: str, resumed: bool, first: bool) -> Row:
    """A link that Graph doesn't take any more means a new round, whatever it answers (PROVIDERS B4.6)."""
    try:
        return client.get(link)
    except SyncTokenExpired as error:
        if resumed:
            raise
        raise ServerFault(f"a listing was broken off: {error.detail}", status=error.status) from error
    except (Refused, Gone, Conflict) as error:
        if resumed and error.status in (400, 404, 409, 410, 412):
            raise SyncTokenExpired(error.detail, status=error.status) from error
        if not first and error.status != 403:
            raise ServerFault(f"a listing was broken off: {error.detail}", status=error.status) from error
        raise


def _own_keys(client: GraphClient, seen: _Round) -> dict[str, str]:
    """Keys of our own events; delta can't expand them."""
    asked = [href for href, row in seen.live.items() if graph_events.may_be_ours(row)]
    wanted = query(_select="id,transactionId", _expand=graph_events.EXPAND_KEY)
    answers = client.batch([f"/me/events/{segment(href)}?{wanted}" for href in asked])
    return {href: graph_events.own_key(row) for href, row in zip(asked, answers, strict=True) if row is not None}


def _series(
    client: GraphClient,
    wanted: list[str],
    masters: dict[str, Row],
    parts: dict[str, list[Row]],
    frozen: Period,
    zone: tzinfo | None,
) -> Iterator[tuple[str, Event | None]]:
    """Each series whole; None for one that is gone by now.

    parts: the occurrences of a full listing. In later rounds they are asked for again, since rows may be replays.
    """
    missing = [href for href in wanted if href not in masters]
    fetched = client.batch([f"/me/events/{segment(href)}" for href in missing])
    masters = {**masters, **{href: row for href, row in zip(missing, fetched, strict=True) if row is not None}}
    whole = _completed(client, {href: parts[href] for href in wanted if href in parts})
    for href in wanted:
        if href not in masters:
            yield href, None
            continue
        try:
            found = whole[href] if href in whole else instances(client, href, frozen)
        except Gone:
            yield href, None
            continue
        yield href, graph_events.series(masters[href], found, zone)


def _completed(client: GraphClient, parts: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """Exceptions come minimal from some servers: then the rest is asked for (PROVIDERS B4.2)."""
    bare = [
        str(row["id"])
        for group in parts.values()
        for row in group
        if row.get("type") == "exception" and not ("showAs" in row and "originalStart" in row)
    ]
    full = dict(zip(bare, client.batch([f"/me/events/{segment(href)}" for href in bare]), strict=True))
    return {
        href: [filled for row in group if (filled := full.get(str(row["id"]), row)) is not None]
        for href, group in parts.items()
    }
