"""One mailbox: its calendars, and what is really in them (PROVIDERS B1, B5, F2).

A single GET proves neither presence nor absence: a deleted event may still answer from Deleted Items, and a 404 may be
the calendar's. Here both are settled. Views may lag behind (PROVIDERS B4.8): of a foreign event that changed, or of
one of ours that was made, less than `SETTLING` ago an empty view says nothing, and `Conflict` is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TypeVar

from connectors.errors import CalendarGone, Conflict, ConnectorError, Gone, ServerFault
from connectors.microsoft import delta as graph_delta
from connectors.microsoft import events as graph_events
from connectors.microsoft.graph import Answer, GraphClient, Row, query, rows, segment
from connectors.model import Calendar, Href

_T = TypeVar("_T")
_DAY = timedelta(days=1)
SETTLING = timedelta(seconds=60)
"""How long views may lag behind a change."""

_LOOKED_UP = "id,iCalUId,start,end,isAllDay,isCancelled,transactionId,createdDateTime"


class Mailbox:
    """What is where."""

    def __init__(self, client: GraphClient) -> None:
        self._client = client
        self._moved: dict[str, str] = {}

    def calendars(self) -> Sequence[Calendar]:
        """Every calendar of the mailbox. timezone is ``""``: Graph's calendars have none, and the mailbox's needs
        another permission."""
        return [
            Calendar(
                href=str(row["id"]),
                name=str(row.get("name") or ""),
                writable=bool(row.get("canEdit")),
                primary=bool(row.get("isDefaultCalendar")),
                color=str(row.get("hexColor") or ""),
            )
            for row in self._client.pages("/me/calendars?" + query(_top="100"))
        ]

    def in_calendar(self, calendar: Calendar, call: Callable[[str], _T]) -> _T:
        """Call with the calendar's id. After a 404 the list of calendars decides what it means.

        Ids of calendars were seen changing (MSI 11296); the default calendar is still known then. Raises
        `CalendarGone` for one that isn't listed, `ServerFault` for one that is.
        """
        href = self._moved.get(calendar.href, calendar.href)
        try:
            return call(href)
        except Gone as gone:
            listed = {found.href: found for found in self.calendars()}
            if href in listed:
                raise ServerFault(f"a listed calendar answers: {gone.detail}", status=gone.status) from gone
            default = next((found.href for found in listed.values() if found.primary), None)
            if not calendar.primary or default is None:
                raise CalendarGone(f"the calendar isn't listed any more: {gone.detail}", status=gone.status) from gone
        self._moved[calendar.href] = default
        try:
            return call(default)
        except Gone as gone:
            raise ServerFault(f"the default calendar answers: {gone.detail}", status=gone.status) from gone

    def row(self, calendar: Calendar, href: Href) -> Row:
        """One event that is really there. Raises `Gone`, `CalendarGone`, `Conflict`."""
        try:
            answer = self._get(href)
        except Gone as gone:
            self.in_calendar(calendar, lambda known: self._client.get(f"/me/calendars/{segment(known)}"))
            raise Gone("no such event", status=gone.status) from gone
        if not self.in_calendar(calendar, lambda known: self.listed(known, answer.body)):
            raise _unlisted(answer)
        return answer.body

    def listed(self, calendar_href: str, row: Row) -> bool:
        """Does a view of the calendar show it? A series by its first occurrence that isn't cancelled."""
        series = row.get("type") == "seriesMaster"
        span = graph_events.span([row], None, _DAY)
        if span is None:
            return True
        if series:
            parts = graph_delta.instances(self._client, str(row["id"]), span.widened(_DAY, 400 * _DAY))
            if (span := graph_events.span(parts, None, _DAY)) is None:
                return True
        wanted = query(_select="id,seriesMasterId")
        path = f"/me/calendars/{segment(calendar_href)}/calendarView?{graph_delta.bounds(span)}&{wanted}"
        name = "seriesMasterId" if series else "id"
        if any(found.get(name) == row["id"] for found in self._client.pages(path)):
            return True
        key = graph_events.own_key(row)  # a view that lags knows it at another time: asked without times then
        return bool(key) and any(found["id"] == row["id"] for found in self.held(calendar_href, key))

    def held(self, calendar_href: str, entry_key: str) -> list[Row]:
        """Events of one calendar that carry our key. Raises `Gone` for a calendar that isn't there."""
        path = f"/me/calendars/{segment(calendar_href)}/events?{_by_key(entry_key)}"
        return _ours(self._client.pages(path), entry_key)

    def living(self, calendar: Calendar, entry_key: str) -> list[Href]:
        """The same in the whole mailbox, in one request as a rule; the oldest first, so that every worker takes the same.

        The calendar is named beside the mailbox, since nobody says for sure that /me/events covers more than the
        default one; nor that it leaves Deleted Items out. Raises `Gone` if only deleted events carry the key.
        """
        href = self._moved.get(calendar.href, calendar.href)
        wanted = _by_key(entry_key)
        paths = [f"/me/calendars/{segment(href)}/events?{wanted}", f"/me/events?{wanted}"]
        here, everywhere = (_ours(rows(body or {"value": []}), entry_key) for body in self._client.batch(paths))
        known, gone = {hit["id"] for hit in here}, None
        for hit in everywhere:
            if hit["id"] not in known:
                try:
                    here.append(self.somewhere(str(hit["id"])))
                except Gone as error:
                    gone = error
        if gone is not None and not here:
            raise gone
        return [str(hit["id"]) for hit in sorted(here, key=_age)]

    def somewhere(self, href: Href) -> Row:
        """An event that some calendar lists. Raises `Gone`, `Conflict`."""
        answer = self._get(href)
        if not any(self.listed(found.href, answer.body) for found in self.calendars()):
            raise _unlisted(answer)
        return answer.body

    def there(self, calendar: Calendar, href: Href) -> bool:
        """Is it, or does it only answer from Deleted Items? (PROVIDERS B2, F2)"""
        try:
            self.row(calendar, href)
        except Gone:
            return False
        return True

    def _get(self, href: Href) -> Answer:
        return self._client.call("GET", f"/me/events/{segment(href)}?{query(_expand=graph_events.EXPAND_KEY)}")


def _unlisted(answer: Answer) -> ConnectorError:
    """An event that answers but isn't listed: deleted or elsewhere, unless the views may not know it yet."""
    since = "createdDateTime" if graph_events.own_key(answer.body) else "lastModifiedDateTime"
    try:
        quiet = parsedate_to_datetime(answer.headers["date"]) - datetime.fromisoformat(str(answer.body[since]))
    except (KeyError, ValueError, TypeError):
        quiet = SETTLING
    if quiet < SETTLING:
        return Conflict("it is too new to tell, and its calendar doesn't list it")
    return Gone("its calendar doesn't list it")


def _by_key(entry_key: str) -> str:
    test = f"ep/id eq '{graph_events.BOOKING_KEY}' and ep/value eq '{entry_key}'"
    return query(_filter=f"singleValueExtendedProperties/any(ep: {test})", _select=_LOOKED_UP)


def _ours(found: Iterable[Row], entry_key: str) -> list[Row]:
    """Without copies that an operator made: those have no transaction id of ours."""
    ours = graph_events.transaction_id(entry_key)
    return sorted((row for row in found if row.get("transactionId") == ours), key=_age)


def _age(row: Row) -> tuple[str, str]:
    return str(row.get("createdDateTime")), str(row["id"])
