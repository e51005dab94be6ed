"""Reading one Google account: listings with their tokens, whole series, and what a 404 means (PROVIDERS A2, A4, A5).

What comes in is Google's resources and Google's errors; what goes out are whole events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.errors import BadAnswer, CalendarGone, Gone, Refused, ServerFault, SyncTokenExpired
from connectors.google.client import GoogleClient
from connectors.google.events import Resource, is_cancelled, single, zone_of
from connectors.google.series import SeriesPile, expanded
from connectors.model import Calendar, ChangeSet, Event, Href, Period, Progress, SyncToken

PAGE_SIZE = 2500
"""The most that events.list gives at once; the same with and without a token, as Google demands."""
TOKEN_KIND = "google"  # noqa: S105
LOOK_BACK = timedelta(days=31)
"""How much earlier than the window the first listing begins: an instance of the window that was moved back before it
is only then known to be away."""
SERIES_ONE_BY_ONE = 25
"""Up to so many changed series are completed by asking for each, more by one listing."""

Whole = tuple[Resource, list[Resource]]
"""A master and all its exceptions."""


class GoogleReader:
    """Every question to one account. Raises the errors of `connectors/errors.py`."""

    def __init__(self, client: GoogleClient) -> None:
        self._client = client

    def calendars(self) -> Sequence[Calendar]:
        """Every calendar of the account's list, hidden ones too; `primary` is told by a flag, never by its alias."""
        listing = self._client.calendar_list()
        request = listing.list(maxResults=250, showHidden=True)
        found: list[Calendar] = []
        while request is not None:
            answer = self._client.read(request)
            found += [_calendar(item) for item in answer.get("items", ()) if not item.get("deleted")]
            request = listing.list_next(request, answer)
        return found

    def changes(
        self,
        calendar: Calendar,
        since: SyncToken | None,
        window: Period,
        progress: Progress | None = None,
    ) -> ChangeSet:
        """Changes since a token, or the whole listing from a month before the window. Entries outside the window come
        without occurrences. Raises `SyncTokenExpired` (Google 410), `CalendarGone`."""
        items, token = self._listed(calendar, since, window, progress)
        zone = zone_of(calendar.timezone, UTC)
        pile = SeriesPile.sorted_out(items)
        removed = set(pile.removed)
        changed = [single(item, zone, window) for item in pile.singles.values()]
        whole = self._whole_series(calendar, pile, window) if since else self._listed_series(calendar, pile)
        for master_id, found in whole.items():
            if found is not None:
                changed.append(expanded(*found, window, zone))
                continue
            # No master: deleted, or never shared with us; then its instances are events of their own.
            removed.add(master_id)
            for name, item in pile.instances(master_id).items():
                if is_cancelled(item):
                    removed.add(name)
                else:
                    changed.append(single(item, zone, window))
        removed -= {event.href for event in changed}
        listed = None if since else frozenset(event.href for event in changed)
        return ChangeSet(tuple(changed), tuple(sorted(removed)), listed, token)

    # -- listing -------------------------------------------------------------------------------------------------

    def _listed(
        self, calendar: Calendar, since: SyncToken | None, window: Period, progress: Progress | None
    ) -> tuple[list[Resource], SyncToken]:
        asked: dict[str, Any] = {"timeMin": _rfc3339(window.start - LOOK_BACK)}
        if since is not None:
            if since.kind != TOKEN_KIND:
                raise SyncTokenExpired(f"not a token of Google: {since.kind}")
            asked = {"syncToken": since.value}
        items: dict[str, Resource] = {}
        for answer in self._pages(calendar, **asked):
            # A page may repeat an item that changed meanwhile: the last word counts.
            items.update((str(item["id"]), item) for item in answer.get("items", ()))
            if progress:
                progress(len(items), len(items))
            if answer.get("nextSyncToken"):
                return list(items.values()), SyncToken(TOKEN_KIND, str(answer["nextSyncToken"]))
        raise BadAnswer("the last page brought no sync token")

    def _pages(self, calendar: Calendar, **asked: Any) -> Iterator[Resource]:
        """The pages of one listing. Raises `CalendarGone`, `SyncTokenExpired`; `ServerFault` where a page token broke."""
        events = self._client.events()
        request = events.list(calendarId=calendar.href, maxResults=PAGE_SIZE, showDeleted=True, **asked)
        first = True
        while request is not None:
            try:
                answer = self._client.read(request)
            except Gone as error:
                raise CalendarGone(error.detail, status=error.status) from error
            except Refused as error:
                if error.status == 400 and not first:
                    raise ServerFault("the listing broke off: a page token was refused", status=400) from error
                if error.status == 400 and "syncToken" in asked:
                    raise SyncTokenExpired(error.detail, status=400) from error
                raise
            if any(not isinstance(item, dict) or not item.get("id") for item in answer.get("items", ())):
                raise BadAnswer("an event without id")
            yield answer
            first = False
            request = events.list_next(request, answer)

    def items(self, calendar: Calendar, **asked: Any) -> list[Resource]:
        """All items of one listing with these parameters, deleted ones too. Raises `CalendarGone`."""
        return [item for answer in self._pages(calendar, **asked) for item in answer.get("items", ())]

    def must_list(self, calendar: Calendar) -> None:
        """Raises `CalendarGone` unless events of this calendar can be listed."""
        try:
            self._client.read(self._client.events().list(calendarId=calendar.href, maxResults=1))
        except Gone as error:
            raise CalendarGone(error.detail, status=error.status) from error

    # -- series --------------------------------------------------------------------------------------------------

    def _listed_series(self, calendar: Calendar, pile: SeriesPile) -> dict[Href, Whole | None]:
        """The series of a whole listing, which brings masters and exceptions; a master that is over is asked for."""
        whole: dict[Href, Whole | None] = {}
        for name in sorted(pile.living() - pile.removed):
            master = pile.masters.get(name)
            if master is not None:
                whole[name] = master, list(pile.instances(name).values())
            else:
                whole[name] = self._asked_series(calendar, name, pile)
        return whole

    def _whole_series(self, calendar: Calendar, pile: SeriesPile, window: Period) -> dict[Href, Whole | None]:
        """The series that a delta touched: it names what changed, and we need all that belongs to it."""
        touched = sorted(pile.touched())
        if len(touched) <= SERIES_ONE_BY_ONE:
            return {name: self._asked_series(calendar, name, pile) for name in touched}
        everything = SeriesPile.sorted_out(self.items(calendar, timeMin=_rfc3339(window.start - LOOK_BACK)))
        return {name: self._asked_series(calendar, name, pile, everything) for name in touched}

    def _asked_series(
        self, calendar: Calendar, name: Href, pile: SeriesPile, listing: SeriesPile | None = None
    ) -> Whole | None:
        """One series as it is now, from a listing or asked for; None without a living master."""
        master: Resource | None = None
        if listing is None or name not in listing.masters:
            uid = pile.uid(name)
            if not uid:
                master = self._master(calendar, name)
                if master is None:
                    return None
                uid = str(master.get("iCalUID", ""))
            listing = SeriesPile.sorted_out(self.items(calendar, iCalUID=uid))
        master = listing.masters.get(name) or master or self._master(calendar, name)
        if master is None:
            return None
        instances = listing.instances(name)
        if not pile.instances(name).keys() <= instances.keys():
            # A stub that we know of is missing: then this search leaves out stubs, and only a whole listing tells all.
            instances = SeriesPile.sorted_out(self.items(calendar)).instances(name)
        return master, list({**pile.instances(name), **instances}.values())

    def _master(self, calendar: Calendar, name: Href) -> Resource | None:
        try:
            item = self.get(calendar, name)
        except Gone:
            return None
        return None if is_cancelled(item) or not item.get("recurrence") else item

    def whole(self, calendar: Calendar, item: Resource, window: Period) -> Event:
        """The event that a living single event or master stands for."""
        zone = zone_of(calendar.timezone, UTC)
        if item.get("recurrence"):
            return expanded(item, self._exceptions(calendar, item, window), window, zone)
        return single(item, zone, window)

    def _exceptions(self, calendar: Calendar, master: Resource, window: Period) -> list[Resource]:
        """Changed instances by the iCalUID they share, and cancelled ones from Google's own expansion: nobody promises
        that the search brings stubs."""
        name, events = str(master["id"]), self._client.events()
        found = SeriesPile.sorted_out(self.items(calendar, iCalUID=str(master.get("iCalUID", "")))).instances(name)
        begin, end = _rfc3339(window.start - LOOK_BACK), _rfc3339(window.end + LOOK_BACK)
        request = events.instances(
            calendarId=calendar.href, eventId=name, showDeleted=True, maxResults=PAGE_SIZE, timeMin=begin, timeMax=end
        )
        while request is not None:
            answer = self._client.read(request)
            found |= {str(item["id"]): item for item in answer.get("items", ()) if is_cancelled(item)}
            request = events.instances_next(request, answer)
        return list(found.values())

    # -- one event -----------------------------------------------------------------------------------------------

    def get(self, calendar: Calendar, href: Href) -> Resource:
        """events.get, cancelled stubs included. Raises `Gone` only while the calendar itself can be seen."""
        try:
            item = self._client.read(self._client.events().get(calendarId=calendar.href, eventId=href))
        except Gone:
            self.must_answer(calendar)
            raise
        if not item.get("id"):
            raise BadAnswer("an event without id")
        return item

    def must_answer(self, calendar: Calendar) -> None:
        """404 says nothing alone: purged event, lost access and lost calendar look the same (PROVIDERS A7)."""
        try:
            entry = self._client.read(self._client.calendar_list().get(calendarId=calendar.href))
        except Gone as error:
            raise CalendarGone(error.detail, status=error.status) from error
        if entry.get("deleted"):
            raise CalendarGone("the calendar was deleted")
        self.must_list(calendar)

    def living(self, calendar: Calendar, href: Href) -> Resource:
        """events.get of something that isn't deleted. Raises `Gone`, `CalendarGone`."""
        item = self.get(calendar, href)
        if is_cancelled(item):
            raise Gone("the event was deleted", status=200)
        return item

    def is_deleted(self, calendar: Calendar, href: Href) -> bool:
        """Is it surely deleted? Raises where that can't be told."""
        try:
            return is_cancelled(self.get(calendar, href))
        except Gone:
            return True


def _calendar(item: Resource) -> Calendar:
    return Calendar(
        href=str(item["id"]),
        name=str(item.get("summaryOverride") or item.get("summary") or item["id"]),
        timezone=str(item.get("timeZone", "")),
        writable=item.get("accessRole") in ("writer", "owner"),
        primary=bool(item.get("primary")),
        color=str(item.get("backgroundColor", "")),
    )


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
