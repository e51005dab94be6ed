"""What does this calendar's server honour? Asked at connection time; a probe event only where we may write.

Whether a sync token can be trusted is seen by handing in wrong ones: a server that accepts them would hide changes
from us after it has forgotten a real one (DAViCal, SOGo, OX, Stalwart, Purelymail do).
"""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from connectors.caldav.changes import Reader, still_there
from connectors.caldav.dav import Dav, collection_url, member_url
from connectors.caldav.quirks import service_at, weaker
from connectors.errors import BadAnswer, ConnectorError, NeedsReconnect, Temporary
from connectors.ical import objects as ical
from connectors.model import Calendar, Entry, Period, Quirks
from connectors.transport import Response
from connectors.webdav import failure, if_match, parse_multistatus, quoted, sync_collection

# One that is plainly nobody's, and one that looks like a number or a hash (OX and Xandikos tell them apart).
WRONG_TOKENS = ("urn:x-invalid", "0" * 40)
_DELETION_WAIT = 5.0
_DELETION_STEP = 0.25
_THEN = datetime(2000, 1, 3, 12, 0, tzinfo=UTC)
_WINDOW = Period(_THEN, _THEN + timedelta(hours=1))


def probe(dav: Dav, calendar: Calendar, *, write: bool, addresses: frozenset[str]) -> Quirks:
    """See `Connector.selftest`. addresses: of the calendar's user, kept among the findings for later pulls."""
    still_there(dav, calendar)
    reader = Reader(dav, calendar, _WINDOW, addresses)
    service = service_at(urlsplit(calendar.href).hostname or "")
    notes: list[str] = [text for text in (service.hint,) if text]
    token = weaker(_sync_token(dav, calendar, reader, notes), service.sync_token)
    extra = {"service": service.name}
    if addresses:
        extra["addresses"] = ",".join(sorted(addresses))
    if_none_match = etag_on_put = None
    if write:
        findings = _Writing(dav, calendar, reader)
        if_none_match, etag_on_put = findings.run()
        extra.update(findings.extra)
        notes += findings.notes
    if dav.scheduling:
        extra["auto_schedule"] = "yes"
        notes.append("the server sends invitations by itself for events with guests")
    return Quirks(token, if_none_match, etag_on_put, tuple(notes), extra)


def _sync_token(dav: Dav, calendar: Calendar, reader: Reader, notes: list[str]) -> str:
    """``trusted`` only if the server's own token works and each wrong one is refused."""
    state = reader.state(trusted=True)
    if state is None or state.kind != "sync":
        notes.append("no sync-token; changes are found by " + ("ctag" if state else "etags"))
        return "absent"
    url = collection_url(calendar)
    answer = dav.report(url, 0, sync_collection(state.value))
    if not _is_sync_answer(answer):
        _serious(answer)
        notes.append(f"sync-collection is answered with {answer.status}")
        return "absent"
    for wrong in WRONG_TOKENS:
        answer = dav.report(url, 0, sync_collection(wrong))
        _serious(answer)
        if answer.status < 400:
            notes.append("a sync token that was never issued is accepted")
            return "untrusted"
    return "trusted"


def _is_sync_answer(answer: Response) -> bool:
    try:
        return bool(parse_multistatus(answer).sync_token)
    except BadAnswer:
        return False


def _serious(answer: Response) -> None:
    """Raises what would spoil the test: lost credentials, throttling, a server that is down."""
    error = failure(answer, collection=True)
    if isinstance(error, NeedsReconnect) or (
        isinstance(error, Temporary) and answer.status not in (412, 500, 501, 507)
    ):
        raise error


class _Writing:
    """Puts an event of long ago there, twice, and takes it away again, whatever happens in between."""

    def __init__(self, dav: Dav, calendar: Calendar, reader: Reader) -> None:
        self._dav, self._calendar, self._reader = dav, calendar, reader
        key = "slotledgerprobe" + secrets.token_hex(8)
        self._entry = Entry(
            key=key,
            uid=f"{key}@slotledger",
            marker="probe",
            period=_WINDOW,
            title="Connection test",
            created_at=_THEN,
            updated_at=_THEN,
        )
        self._href, self._url = member_url(calendar, key)
        self.extra: dict[str, str] = {}
        self.notes: list[str] = []

    def run(self) -> tuple[bool, bool]:
        """``(if_none_match, etag_on_put)``. Raises `Refused` if nothing may be written there."""
        body = ical.render_entry(self._entry)
        maybe_there = True  # from the first attempt on, answered or not
        try:
            first = self._dav.put(self._url, body, {"If-None-Match": "*"})
            if first.status >= 300:
                raise failure(first)
            etag_on_put = bool(if_match(quoted(first.etag)))
            if self._dav.get(self._url) is None:
                raise BadAnswer("an event that was stored can't be read back")
            second = self._dav.put(self._url, body, {"If-None-Match": "*"})
            _serious(second)
            honoured = second.status >= 400
            if not honoured:
                self.notes.append("If-None-Match is ignored; the place is looked at before and after writing")
            self._deletion()
            maybe_there = False
            return honoured, etag_on_put
        finally:
            if maybe_there:
                self._remove_quietly()

    def _deletion(self) -> None:
        """Delete it, and see how soon a listing no longer has it."""
        answer = self._dav.delete(self._url, {})
        if answer.status >= 300 and answer.status not in (404, 410):
            raise failure(answer)
        began = time.monotonic()
        waited = 0.0
        while self._shown() and waited < _DELETION_WAIT:
            time.sleep(_DELETION_STEP)
            waited = time.monotonic() - began
        self.extra["deletion_shows_seconds"] = f"{waited:.1f}"
        if waited >= _DELETION_WAIT:
            self.notes.append("a deleted event stays visible for a while")

    def _shown(self) -> bool:
        return self._dav.get(self._url) is not None or self._href in self._reader.listing().etags

    def _remove_quietly(self) -> None:
        """The probe must not stay, but the failure that got us here is the one to tell."""
        for _ in range(2):
            try:
                if self._dav.delete(self._url, {}).status < 500:
                    return
            except ConnectorError:
                continue
