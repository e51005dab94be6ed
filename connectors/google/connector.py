"""Google Calendar v3 as a `Connector` (PROVIDERS A), on Google's own client library.

One neutral `Event` stands for one single event or one whole series: ``href`` is the id of the single event or master,
exceptions are merged into their master. Series are listed unexpanded and expanded here, because Google's own
expansion resends hundreds of rows for one change and has a horizon nobody documents (PROVIDERS A2).
"""

# ruff: noqa: ARG002  (the protocol names parameters that Google has no use for)

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

from connectors.errors import BadAnswer, CalendarGone, Conflict, Gone
from connectors.google.client import GoogleClient
from connectors.google.events import Desired, Resource, guests, is_cancelled, own_key, probe_body, sent_etag
from connectors.google.reading import GoogleReader
from connectors.model import (
    Calendar,
    ChangeSet,
    Entry,
    ETag,
    Event,
    Found,
    Href,
    KnownETags,
    Period,
    Progress,
    Quirks,
    SyncToken,
    Written,
)
from connectors.protocol import Channel, Credentials, Endpoints, SaveSecret


class GoogleConnector:
    """One Google account. timeout: seconds for each call. retries: of reads, by the library's own backoff."""

    provider = "google"

    def __init__(
        self,
        credentials: Credentials,
        endpoints: Endpoints,
        save_secret: SaveSecret,
        *,
        timeout: float = 20.0,
        retries: int = 2,
    ) -> None:
        self._client = GoogleClient(credentials.secret, endpoints, save_secret, timeout=timeout, retries=retries)
        self._reader = GoogleReader(self._client)

    def __enter__(self) -> GoogleConnector:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; idempotent."""
        self._client.close()

    # -- reading -------------------------------------------------------------------------------------------------

    def calendars(self) -> Sequence[Calendar]:
        """Every calendar of the account's list, hidden ones too; `primary` is told by a flag, never by its alias."""
        return self._reader.calendars()

    def changes(
        self,
        calendar: Calendar,
        since: SyncToken | None,
        window: Period,
        known: KnownETags,
        *,
        quirks: Quirks,
        progress: Progress | None = None,
    ) -> ChangeSet:
        """Changes since a token, or the whole listing from a month before the window. Entries outside the window come
        without occurrences. Raises `SyncTokenExpired` (Google 410), `CalendarGone`."""
        return self._reader.changes(calendar, since, window, progress)

    def fetch(self, calendar: Calendar, href: Href, window: Period) -> Event:
        """One event, or one whole series, asked for directly. Raises `Gone` or `CalendarGone` (PROVIDERS A4, A7)."""
        return self._reader.whole(calendar, self._reader.living(calendar, href), window)

    def find(self, calendars: Sequence[Calendar], entry_key: str, uid: str, window: Period) -> Found | None:
        """By id in each calendar, then by our mark, then by iCalUID: after a move the id is not sure to stay (H4). An
        event under our id that lost its mark is still ours: nobody meets such an id by chance."""
        for calendar in calendars:
            try:
                item = self._reader.get(calendar, entry_key)
            except Gone:
                continue
            if not is_cancelled(item):
                return Found(calendar.href, self._reader.whole(calendar, item, window))
        queries = [{"privateExtendedProperty": f"slotledger={entry_key}"}, {"iCalUID": f"{entry_key}@google.com"}]
        if uid and uid != f"{entry_key}@google.com":
            queries.append({"iCalUID": uid})
        for query in queries:
            for calendar in calendars:
                for item in self._reader.items(calendar, **query):
                    if not is_cancelled(item) and not item.get("recurringEventId"):
                        return Found(calendar.href, self._reader.whole(calendar, item, window))
        return None

    # -- writing -------------------------------------------------------------------------------------------------

    def create(self, calendar: Calendar, entry: Entry, *, quirks: Quirks) -> Written:
        """Insert under the entry's key as id. 409 is looked at: ours is adopted, deleted is `Gone`, foreign is a
        `Conflict`. With attendees Google is asked to mail them, without it never is."""
        request = self._client.events().insert(
            calendarId=calendar.href,
            body=Desired(entry).insert(),
            sendUpdates="all" if entry.attendees else "none",
            conferenceDataVersion=1 if entry.conference else 0,
        )
        try:
            item = self._client.write(request)
        except Conflict:
            return self._adopted(calendar, entry)
        except Gone as error:
            raise CalendarGone(error.detail, status=error.status) from error
        return _written(item)

    def update(self, calendar: Calendar, entry: Entry, href: Href, etag: ETag, *, quirks: Quirks) -> Written:
        """Patch our fields under ``If-Match``; an event that already says all this is success. Raises `Gone`,
        `Conflict`. A deleted event is never written to: that would bring it back (H2)."""
        desired = Desired(entry)
        body = desired.patch()
        guard = sent_etag(etag)
        if entry.attendees or not etag:
            current = self._reader.living(calendar, href)
            if guard and guard != current.get("etag"):
                return self._already(current, desired)
            guard = str(current.get("etag", ""))
            body = desired.with_guests(current) if entry.attendees else body
        request = self._client.events().patch(
            calendarId=calendar.href,
            eventId=href,
            body=body,
            sendUpdates="all" if entry.attendees else "none",
        )
        try:
            return _written(self._client.write(request, etag=guard))
        except Conflict:
            # Also met when a lost reply made httplib2 send the patch twice: then it is ours and done.
            return self._already(self._reader.living(calendar, href), desired)
        except Gone:
            self._reader.must_answer(calendar)
            raise

    def delete(self, calendar: Calendar, href: Href, etag: ETag = "") -> None:
        """Delete; 404 and 410 are success. Guests whom Google invited for us are told by Google, others never."""
        try:
            current = self._client.read(self._client.events().get(calendarId=calendar.href, eventId=href))
            if is_cancelled(current):
                return
            voice = "all" if guests(current) else "none"
            request = self._client.events().delete(calendarId=calendar.href, eventId=href, sendUpdates=voice)
            self._client.write(request, etag=sent_etag(etag))
        except Gone:
            return
        except Conflict:
            if self._reader.is_deleted(calendar, href):
                return
            raise

    def selftest(self, calendar: Calendar, *, write: bool) -> Quirks:
        """Can it be listed; write: is a second event with the same id refused. Leaves nothing behind but a stub."""
        self._reader.must_list(calendar)
        if not write:
            return Quirks(sync_token="trusted")  # noqa: S106
        key = uuid4().hex
        insert = self._client.events().insert
        item = self._client.write(insert(calendarId=calendar.href, body=probe_body(key), sendUpdates="none"))
        try:
            self._client.write(insert(calendarId=calendar.href, body=probe_body(key), sendUpdates="none"))
            refused = False
        except Conflict:
            refused = True
        finally:
            self.delete(calendar, key)
        return Quirks(sync_token="trusted", if_none_match=refused, etag_on_put=bool(item.get("etag")))  # noqa: S106

    # -- push channels -------------------------------------------------------------------------------------------

    def watch(self, calendar: Calendar, *, channel_id: str, secret: str, address: str, expires_at: datetime) -> Channel:
        """Open a channel (PROVIDERS A8). expires_at is a wish; what Google granted comes back. Raises `Refused`."""
        body = {
            "id": channel_id,
            "type": "web_hook",
            "address": address,
            "token": secret,
            "expiration": str(int(expires_at.timestamp() * 1000)),
        }
        try:
            answer = self._client.write(self._client.events().watch(calendarId=calendar.href, body=body))
        except Gone as error:
            raise CalendarGone(error.detail, status=error.status) from error
        try:
            granted = datetime.fromtimestamp(int(answer["expiration"]) / 1000, UTC)
            return Channel(str(answer["id"]), str(answer["resourceId"]), granted)
        except (KeyError, ValueError) as error:
            raise BadAnswer("the channel can't be read") from error

    def renew(self, channel: Channel, expires_at: datetime) -> Channel | None:
        """Google has no renewal: open a new channel, then close the old one."""
        return None

    def unwatch(self, channel: Channel) -> None:
        """Stop a channel; an unknown or expired one is success."""
        body = {"id": channel.id, "resourceId": channel.resource_id}
        try:
            self._client.write(self._client.channels().stop(body=body))
        except Gone:
            return

    def _adopted(self, calendar: Calendar, entry: Entry) -> Written:
        try:
            item = self._reader.get(calendar, entry.key)
        except Gone as error:
            # Refused, yet not to be seen: another worker's insert that isn't everywhere yet, or another refusal than
            # a duplicate. No proof that somebody deleted it.
            raise Conflict("the id of our event is taken and can't be read", status=409) from error
        if is_cancelled(item):
            raise Gone("the event was deleted", status=200)
        if own_key(item) != entry.key:
            raise Conflict("the id of our event is taken by a foreign one", status=409)
        return _written(item, adopted=True)

    def _already(self, current: Resource, desired: Desired) -> Written:
        if not desired.is_there(current):
            raise Conflict("the event changed meanwhile", status=412)
        return _written(current, adopted=True)


def _written(item: Resource, *, adopted: bool = False) -> Written:
    try:
        return Written(str(item["id"]), str(item["etag"]), adopted)
    except KeyError as error:
        raise BadAnswer("the event can't be read") from error
