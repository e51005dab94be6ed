"""Microsoft 365 and Outlook.com calendars by Graph v1.0 (PROVIDERS B).

Ids are immutable ids, asked for on each call. Our events carry ``Entry.key`` in an extended property and a
transaction id made of it; neither alone keeps a repeated POST from making a twin, so every create looks first, and
`MicrosoftConnector.sweep` removes what a race still left.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from email.utils import parsedate_to_datetime
from uuid import uuid4

from connectors.errors import BadAnswer, Conflict, Gone, Refused, ServerFault
from connectors.microsoft import delta as graph_delta
from connectors.microsoft import events as graph_events
from connectors.microsoft import subscriptions as graph_subscriptions
from connectors.microsoft.graph import PER_MAILBOX, Answer, Gate, GraphClient, Row, open_http, query, segment
from connectors.microsoft.mailbox import Mailbox
from connectors.microsoft.oauth import TokenCache
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
from connectors.protocol import Channel, Credentials, Endpoints, SaveSecret, TakeTurns

_DAY = timedelta(days=1)
_MOMENT = timedelta(seconds=2)
_REPEATS = 3


class MicrosoftConnector:
    """One Microsoft account. ``credentials.secret``: the serialized MSAL cache.

    take_turns: shares the three calls a mailbox may have under way with other processes.
    """

    provider = "microsoft"

    def __init__(
        self,
        credentials: Credentials,
        endpoints: Endpoints,
        save_secret: SaveSecret,
        *,
        take_turns: TakeTurns | None = None,
        timeout: float = 30.0,
    ) -> None:
        self._http = open_http(endpoints, timeout=timeout)
        try:
            tokens = TokenCache(credentials.secret, endpoints, self._http, save_secret)
        except BaseException:
            self._http.close()
            raise
        turns = None if take_turns is None else take_turns(f"{self.provider}:{tokens.account}", PER_MAILBOX)
        self._gate = Gate(tokens.account, turns)
        self._client = GraphClient(self._http, tokens, self._gate)
        self._mailbox = Mailbox(self._client)

    def __enter__(self) -> MicrosoftConnector:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close connections, and let others have their turn; idempotent."""
        self._http.close()
        self._gate.close()

    def calendars(self) -> Sequence[Calendar]:
        """Every calendar of the mailbox; their zones aren't known (see `Mailbox.calendars`)."""
        return self._mailbox.calendars()

    def changes(
        self,
        calendar: Calendar,
        since: SyncToken | None,
        window: Period,
        known: KnownETags,  # noqa: ARG002
        *,
        quirks: Quirks,  # noqa: ARG002
        progress: Progress | None = None,
    ) -> ChangeSet:
        """By delta; see `graph_delta.changes` for what ``removed`` and ``listed`` mean. known isn't asked."""
        zone = _zone(calendar)
        return self._mailbox.in_calendar(
            calendar, lambda href: graph_delta.changes(self._client, href, zone, since, window, progress)
        )

    def fetch(self, calendar: Calendar, href: Href, window: Period) -> Event:
        """One event or series as it is now; a single event also outside the window.

        It is there only if its calendar lists it too: a deleted event may still answer from Deleted Items
        (PROVIDERS F2); for a minute after it was made nobody can tell, then `Conflict`. An event that was moved to another calendar is `Gone` here; `find` tells where it is.
        """
        return self._event(calendar, self._mailbox.row(calendar, href), window)

    def find(self, calendars: Sequence[Calendar], entry_key: str, uid: str, window: Period) -> Found | None:  # noqa: ARG002
        """Searched by our extended property in each calendar; the uid is Graph's own and no help."""
        for calendar in calendars:
            for hit in self._mailbox.in_calendar(calendar, lambda href: self._mailbox.held(href, entry_key)):
                try:
                    return Found(calendar.href, self.fetch(calendar, str(hit["id"]), window))
                except Gone:
                    continue
        return None

    def create(self, calendar: Calendar, entry: Entry, *, quirks: Quirks) -> Written:  # noqa: ARG002
        """Look, POST, adopt (PROVIDERS B5). `Gone` only if Graph still shows or remembers the deleted event.

        What is adopted is brought to the entry's time and text, unless somebody has changed it meanwhile. Two workers
        at the same moment may both make an event: `sweep` later.
        """
        if hits := self._mailbox.living(calendar, entry.key):
            return self._adopt(entry, hits[0])

        def post(href: str) -> Answer:
            path = f"/me/calendars/{segment(href)}/events"
            answer = self._client.call("POST", path, graph_events.new_event(entry), accept=frozenset({400, 409}))
            if answer.status >= 400 and answer.code != "errorduplicatetransactionid" and answer.status != 409:
                raise answer.error()
            return answer

        answer = self._mailbox.in_calendar(calendar, post)
        if answer.status < 400:
            return _written(answer.body)
        if hits := self._mailbox.living(calendar, entry.key):
            return self._adopt(entry, hits[0])
        if existing := (answer.body.get("error") or {}).get("@event.existingEventId"):
            return self._adopt(entry, str(self._mailbox.somewhere(str(existing))["id"]))
        if answer.code != "errorduplicatetransactionid":
            raise answer.error()
        raise Conflict("an event of this key was made, and can't be seen yet", status=answer.status)

    def update(self, calendar: Calendar, entry: Entry, href: Href, etag: ETag, *, quirks: Quirks) -> Written:  # noqa: ARG002
        """PATCH what differs, guarded by If-Match. Graph also says 412 for no reason: then it is read again."""
        for _ in range(_REPEATS):
            current = self._mailbox.row(calendar, href)
            if etag and current.get("@odata.etag") != etag:
                raise Conflict("the event has changed since", status=412)
            written = self._patch(current, entry)
            if written is not None:
                return written
        raise Conflict("the event keeps changing", status=412)

    def delete(self, calendar: Calendar, href: Href, etag: ETag = "") -> None:
        """DELETE; a meeting with guests is cancelled instead, which mails them (PROVIDERS D6)."""
        path = f"/me/events/{segment(href)}"
        for _ in range(_REPEATS):
            answer = self._client.call("GET", path, accept=frozenset({404}))
            if answer.status == 404:
                return
            current = answer.body
            if etag and current.get("@odata.etag") != etag:
                if not self._mailbox.there(calendar, href):
                    return
                raise Conflict("the event has changed since", status=412)
            guests = current.get("attendees") and current.get("isOrganizer") and not current.get("isCancelled")
            accept = frozenset({403, 404, 412})
            if guests:
                answer = self._client.call("POST", path + "/cancel", {"comment": ""}, accept=accept)
            else:
                match = {"If-Match": str(current.get("@odata.etag") or "*")}
                answer = self._client.call("DELETE", path, accept=accept, headers=match)
            if answer.status == 403 and answer.code != "errorcannotdeleteobject":
                raise answer.error()
            if answer.status == 403 and self._mailbox.there(calendar, href):
                raise Conflict("listed, and can't be deleted: perhaps it just was", status=403)
            if answer.status != 412:
                return
        raise Conflict("the event keeps changing", status=412)

    def sweep(self, calendar: Calendar, entry_key: str, keep_href: Href) -> tuple[Href, ...]:
        """Delete twins that a race or a lost answer left, wherever they are; returns their hrefs.

        Call it some minutes after a create whose outcome was unknown for a while. Copies that an operator made
        have no transaction id of ours and stay. Nothing is deleted while ``keep_href`` itself can't be seen.
        """
        try:
            hits = self._mailbox.living(calendar, entry_key)
        except Gone:
            return ()
        if keep_href not in hits:
            return ()
        twins = tuple(href for href in hits if href != keep_href)
        for href in twins:
            self.delete(calendar, href)
        return twins

    def selftest(self, calendar: Calendar, *, write: bool) -> Quirks:
        """Delta is trusted. write: a probe 400 days ahead tells about If-Match and repeated POSTs (``extra``)."""
        answer = self._mailbox.in_calendar(
            calendar, lambda href: self._client.call("GET", f"/me/calendars/{segment(href)}")
        )
        if not write:
            return Quirks(sync_token="trusted", etag_on_put=True)  # noqa: S106
        try:
            start = parsedate_to_datetime(answer.headers.get("date", "")) + 400 * _DAY
        except (TypeError, ValueError) as error:
            raise BadAnswer("Graph doesn't tell the time") from error
        return self._probe(calendar, start)

    def watch(
        self,
        calendar: Calendar,
        *,
        channel_id: str,  # noqa: ARG002
        secret: str,
        address: str,
        expires_at: datetime,
    ) -> Channel:
        """Subscribe; Graph chooses the channel's id. Refused for every calendar but the default one: events of
        others may not be notified (PROVIDERS B7)."""
        if not calendar.primary:
            raise Refused("Graph notifies of the default calendar only")
        return graph_subscriptions.open_subscription(
            self._client, secret=secret, address=address, expires_at=expires_at
        )

    def renew(self, channel: Channel, expires_at: datetime) -> Channel | None:
        """Extend in place; None if it has expired."""
        return graph_subscriptions.renew_subscription(self._client, channel, expires_at)

    def unwatch(self, channel: Channel) -> None:
        """Close it; an unknown one is success."""
        graph_subscriptions.close_subscription(self._client, channel.id)

    # -- one event ---------------------------------------------------------------------------------------------

    def _event(self, calendar: Calendar, row: Row, window: Period) -> Event:
        zone = _zone(calendar)
        if row.get("type") != "seriesMaster":
            return graph_events.single(row, zone, graph_events.own_key(row))
        return graph_events.series(row, graph_delta.instances(self._client, str(row["id"]), window), zone)

    def _adopt(self, entry: Entry, href: Href) -> Written:
        for _ in range(_REPEATS):
            current = self._client.get(f"/me/events/{segment(href)}?{query(_expand=graph_events.EXPAND_KEY)}")
            written = self._patch(current, entry) if _untouched(current) else _written(current)
            if written is not None:
                return Written(written.href, written.etag, adopted=True)
        raise Conflict("the event keeps changing", status=412)

    def _patch(self, current: Row, entry: Entry) -> Written | None:
        """None after a 412: read again, decide again."""
        body = graph_events.changes_of(entry, current)
        if not body:
            return _written(current)
        path = f"/me/events/{segment(str(current['id']))}"
        match = {"If-Match": str(current.get("@odata.etag") or "*")}
        answer = self._client.call("PATCH", path, body, accept=frozenset({412}), headers=match)
        return None if answer.status == 412 else _written(answer.body)

    def _probe(self, calendar: Calendar, start: datetime) -> Quirks:
        key = f"probe{uuid4().hex}"
        period = Period(start, start + timedelta(minutes=5))
        entry = Entry(key, f"{key}@probe", f"probe:{key}:0", period, "Connection test, may be deleted")

        def twice(href: str) -> tuple[Answer, Answer]:
            path, body = f"/me/calendars/{segment(href)}/events", graph_events.new_event(entry)
            first = self._client.call("POST", path, body)
            return first, self._client.call("POST", path, body, accept=frozenset({400, 409}))

        first, second = self._mailbox.in_calendar(calendar, twice)
        made = {str(first.body["id"])}
        repeated = "refused"
        if second.status < 400:
            repeated = "adopted" if second.body.get("id") in made else "ignored"
            made.add(str(second.body["id"]))
        path = f"/me/events/{segment(str(first.body['id']))}"
        wrong = {"If-Match": 'W/"bm90aGluZw=="'}
        answer = self._client.call(
            "PATCH", path, {"subject": "Connection test"}, accept=frozenset({412}), headers=wrong
        )
        for href in made:
            self.delete(calendar, href)
        return Quirks(
            sync_token="trusted",  # noqa: S106
            etag_on_put=bool(first.etag),
            notes=("Microsoft Graph",),
            extra={"transaction_id": repeated, "if_match": "honoured" if answer.status == 412 else "ignored"},
        )


def _zone(calendar: Calendar) -> tzinfo | None:
    return graph_events.zone_named(calendar.timezone) if calendar.timezone else None


def _untouched(row: Row) -> bool:
    """Has nobody changed it since it was made? Graph stamps both times a moment apart."""
    try:
        made = datetime.fromisoformat(str(row["createdDateTime"]))
        return datetime.fromisoformat(str(row["lastModifiedDateTime"])) - made <= _MOMENT
    except (KeyError, ValueError, TypeError):
        return False


def _written(row: Row) -> Written:
    try:
        return Written(str(row["id"]), str(row.get("@odata.etag") or ""))
    except KeyError as error:
        raise ServerFault("Graph's answer names no event") from error
