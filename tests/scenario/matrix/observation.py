"""What is there at the end of a story, read where it counts: the ledger, the provider's calendar, the mails as sent."""

from __future__ import annotations

from email import message_from_bytes, policy

from booking.tables import Booking, WaitlistEntry
from connectors.mail.folder import StoredMail
from ledger.tables import Delivery, Slot, TimelineEntry
from tests.scenario.matrix.expectation import NAMES
from tests.scenario.matrix.house import House, address
from tests.scenario.matrix.outcome import LENGTH, TIMES, TITLES, Booked, Outcome, Shown, Told

_AT = {start: name for name, start in TIMES.items()}
_WHO = {address(who): who for who in (*NAMES, "anna")}


def observed(house: House) -> Outcome:
    """The end of the story in a house."""
    bookings = house.rows(Booking.__table__)
    entries = house.rows(WaitlistEntry.__table__)
    taken = house.rows(Slot.starts_at, Slot.taken, where=(Slot.taken > 0,))
    return Outcome(
        bookings={_WHO[b.client_email]: Booked(b.status, _AT[b.starts_at], b.revision) for b in bookings},
        line={_WHO[e.client_email]: e.status for e in entries},
        seats={_AT[slot.starts_at]: slot.taken for slot in taken},
        events=_events(house),
        mails=_mails(house, {b.uid: _WHO[b.client_email] for b in bookings}),
        timelines=_timelines(house, {b.id: _WHO[b.client_email] for b in bookings}),
    )


def _events(house: House) -> tuple[Shown, ...]:
    shown = []
    for event in house.app.events():
        assert event.period.end - event.period.start == LENGTH, event
        named = tuple(who for who in NAMES if who.title() in event.text or address(who) in event.text)
        shown.append(Shown(_AT[event.period.start], event.title, named, event.guests))
    return tuple(sorted(shown, key=lambda event: event.at))


def _mails(house: House, owners: dict[str, str]) -> dict[str, tuple[Told, ...]]:
    abouts = {row.message_id: row.kind for row in house.rows(Delivery.message_id, Delivery.kind)}
    found: dict[str, list[Told]] = {}
    for mail in house.mails():
        reader = _WHO[mail.recipient]
        about = abouts[mail.message_id].partition(":")[0]
        calendar = "" if mail.method is None else f"{mail.method} {mail.sequence}"
        assert mail.uid is None or owners[mail.uid] == reader, f"{reader} was sent an invitation of somebody else"
        found.setdefault(reader, []).append(Told(about, calendar, _language(house, mail)))
    return {reader: tuple(told) for reader, told in found.items()}


def _language(house: House, mail: StoredMail) -> str:
    """As the header says, and as the words are: the service has another name in each language."""
    raw = house.mail.read(mail.id)
    assert raw is not None
    message = message_from_bytes(raw, policy=policy.default)
    language = str(message["Content-Language"])
    body = message.get_body(("plain",))
    assert body is not None
    words = f"{message['Subject']} {body.get_content()}"
    assert TITLES[language] in words, f"no {language} in: {words}"
    return language


def _timelines(house: House, owners: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """What happened and why. That each mail about it was handed over is in it too, and is compared with the mails."""
    found: dict[str, list[str]] = {who: [] for who in owners.values()}
    over: list[tuple[str, str]] = []
    for row in sorted(house.rows(TimelineEntry.__table__), key=lambda row: row.id):
        if row.what == "mail_handed_over":
            over.append((row.booking_id, row.detail["about"]))
        else:
            found[owners[row.booking_id]].append(f"{row.what} ← {row.cause}")
    sent = [(row.booking_id, row.kind) for row in house.rows(Delivery.booking_id, Delivery.kind)]
    assert sorted(over) == sorted(sent), "the timeline names other mails than were sent"
    return {who: tuple(lines) for who, lines in found.items()}
