"""What is kept of one client: shown whole, and erased (P14). A client is an address, whatever its case.

Erasing takes name, address, answers, words and links away, and leaves what happened: times, seats, states, counts. Who
is expected or waits isn't erased: their places are given up first, by the ordinary commands.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from booking import commands, waitlist
from booking.catalogue import offering_by_id
from booking.complete import refresh_event
from booking.errors import NotPossible
from booking.invitation import event_words
from booking.states import LIVE, Status
from booking.tables import Booking, IdempotencyKey, Offer, WaitlistEntry
from booking.terms import Terms
from ledger import claims, entries, erasure, outbox, timeline
from ledger.backoff import NotYet
from ledger.db import Tx
from ledger.messages import ForgetClient
from ledger.tables import Delivery, OutboxMessage, Slot

FORMAT = "slotledger-client/1"
NOBODY = "—"
"""The name of somebody who was erased."""
MAIL_FIRST = timedelta(hours=1)
"""How long an erasure waits for the mails that tell of the cancellations it brought."""
_AHEAD = ("waiting", "offered")
_LOOK_AGAIN = timedelta(seconds=5)
_B, _E = Booking, WaitlistEntry


class StillExpected(NotPossible):
    """This client has a booking to come or a place in line; cancel those first."""

    code = "still_expected"


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did. waits_for: mails to be sent before; then nothing is erased yet, but will be by itself."""

    bookings: int
    places: int
    waits_for: int = 0


def export(tx: Tx, email: str, *, now: datetime) -> dict[str, Any]:
    """Everything that is kept of a client, as JSON values and instants. Lists are empty where there is nothing.

    ``format, exported_at, email, bookings[], waitlist[], no_shows``. A booking: ``id, operator, service, status, start,
    end, timezone, seats, name, email, language, answers, consents, reason, revision, uid, voice, created_at, updated_at, answer``
    (of the client's calendar), ``attendance_confirmed_at, timeline[], deliveries[], replies[]``. A place in line:
    ``id, operator, service, status, accept, seats, wish, name, email, timezone, language, answers, consents, created_at,
    updated_at, offers[], timeline[], deliveries[]``. no_shows: ``count`` and the starts.
    """
    bookings, places = _bookings(tx, email), _places(tx, email)
    missed = [row.starts_at for row in bookings if row.status == Status.NO_SHOW]
    return {
        "format": FORMAT,
        "exported_at": now,
        "email": email.strip(),
        "bookings": [_booking_of(tx, row) for row in bookings],
        "waitlist": [_place_of(tx, row) for row in places],
        "no_shows": {"count": len(missed), "starts": missed},
    }


def give_up(tx: Tx, terms: Terms, email: str, *, now: datetime, cause: str) -> bool:
    """Cancel one booking to come, or leave one line; False if nothing is left. One at a time, each in a transaction of
    its own: they may be of several operators, and nobody holds two operators' locks."""
    for row in _bookings(tx, email):
        if row.status in LIVE:
            commands.cancel(tx, terms, row.id, by="admin", now=now, cause=cause)
            return True
    for entry in _places(tx, email):
        if entry.status in _AHEAD:
            waitlist.leave(tx, terms, entry.token, now=now, cause=cause)
            return True
    return False


def erase(tx: Tx, terms: Terms, email: str, *, now: datetime, cause: str) -> Erased:
    """Erase a client. Repeating finds nothing left to do. Raises `StillExpected`.

    While mails to or about them are on their way it is put off, for an hour at most, and done by itself then.
    """
    bookings, places = _bookings(tx, email), _places(tx, email)
    if any(row.status in LIVE for row in bookings) or any(entry.status in _AHEAD for entry in places):
        raise StillExpected()
    whose = _whose(bookings, places)
    waiting = erasure.mails_waiting(tx, whose)
    if waiting:
        outbox.append(tx, ForgetClient(whose[0], now + MAIL_FIRST), now=now, cause=cause)
        return Erased(len(bookings), len(places), waiting)
    _forget(tx, terms, email, bookings, places, now=now, cause=cause)
    return Erased(len(bookings), len(places))


def erase_later(tx: Tx, terms: Terms, message: ForgetClient, *, now: datetime, cause: str) -> None:
    """Handle a `ForgetClient`. Who has booked again meanwhile has come back, and stays. Raises `NotYet`."""
    email = _address_of(tx, message.whose)
    if not email:
        return
    bookings, places = _bookings(tx, email), _places(tx, email)
    if any(row.status in LIVE for row in bookings) or any(entry.status in _AHEAD for entry in places):
        return
    if now < message.until and erasure.mails_waiting(tx, _whose(bookings, places)):
        raise NotYet("mails go out first", _LOOK_AGAIN)
    _forget(tx, terms, email, bookings, places, now=now, cause=cause)


def forget_rows(
    tx: Tx, terms: Terms, bookings: Sequence[Any], places: Sequence[Any], *, now: datetime, cause: str
) -> None:
    """Make these bookings and places nameless, with what was recorded about them; none of them is live."""
    slots = sorted({row.slot_id for row in bookings})
    erasure.forget_records(
        tx,
        whose=_whose(bookings, places),
        answers=[line for row in (*bookings, *places) for line in _answer_lines(row)],
        slots=slots,
        needles=_needles(bookings, places),
    )
    for row in bookings:
        tx.execute(sa.update(_B).where(_B.id == row.id).values(**_nobody(now), reason="", reply_dtstamp=None))
        timeline.note(tx, row.id, row.operator_id, "erased", now=now, cause=cause, audience="operator")
    for entry in places:
        tx.execute(sa.update(_E).where(_E.id == entry.id).values(**_nobody(now)))
    tx.execute(sa.delete(IdempotencyKey).where(IdempotencyKey.booking_id.in_([row.id for row in bookings])))
    _rewrite_events(tx, terms, bookings, now=now, cause=cause)


def _forget(
    tx: Tx, terms: Terms, email: str, bookings: Sequence[Any], places: Sequence[Any], *, now: datetime, cause: str
) -> None:
    forget_rows(tx, terms, bookings, places, now=now, cause=cause)
    needles = _needles(bookings, places) | {email.strip().casefold()}
    erasure.forget_everywhere(tx, email.strip(), needles)


def _rewrite_events(tx: Tx, terms: Terms, bookings: Sequence[Any], *, now: datetime, cause: str) -> None:
    """The operator's events lose the person as well. Where the account itself invited them (P8) only our copy does: a
    change there would be mailed to the very person."""
    shared = {row.slot_id for row in bookings if row.voice != "service"}
    for slot_id, service_id in sorted({(row.slot_id, row.service_id) for row in bookings}):
        there = tx.execute(sa.select(Slot.id).where(Slot.id == slot_id)).first()
        if slot_id not in shared and there is not None:
            refresh_event(tx, terms, offering_by_id(tx, service_id), slot_id, now=now, cause=cause)
            continue
        words = None if there is None else event_words(tx, slot_id, terms)
        for each in (slot_id, *claims.mates_of(tx, slot_id).values()):
            entries.reword(tx, each, words)


def _nobody(now: datetime) -> dict[str, Any]:
    return {
        "client_name": NOBODY,
        "client_email": "",
        "client_timezone": "UTC",
        "answers": {},
        "consents": {},
        "token": secrets.token_urlsafe(24),  # the links in their mails lead nowhere now
        "updated_at": now,
    }


def _needles(bookings: Sequence[Any], places: Sequence[Any]) -> set[str]:
    """Texts by which a client is known: name, address, what they answered and wrote. Case-folded; no single letters."""
    texts: set[str] = set()
    for row in (*bookings, *places):
        texts |= {row.client_name, row.client_email, getattr(row, "reason", "")}
        texts |= {str(each) for each in row.answers.values() if isinstance(each, str)}
    return {text.strip().casefold() for text in texts if len(text.strip()) > 1}


def _bookings(tx: Tx, email: str) -> list[Any]:
    query = sa.select(_B.__table__).where(_is(_B.client_email, email)).order_by(_B.starts_at, _B.id)
    return list(tx.execute(query).all())


def _places(tx: Tx, email: str) -> list[Any]:
    return list(tx.execute(sa.select(_E.__table__).where(_is(_E.client_email, email)).order_by(_E.id)).all())


def _is(column: Any, email: str) -> sa.ColumnElement[bool]:
    wanted = email.strip().lower()
    return sa.and_(sa.func.lower(column) == wanted, column != "") if wanted else sa.false()


def _whose(bookings: Sequence[Any], places: Sequence[Any]) -> list[str]:
    return [*(str(row.id) for row in bookings), *(f"entry:{entry.id}" for entry in places)]


def _answer_lines(row: Any) -> list[str]:
    """Lines of the outbox in which a client's calendar answers: by the tag of the organizer's address, or the UID."""
    named = (getattr(row, "organizer_tag", ""), getattr(row, "uid", ""))
    return [f"answers:{each}" for each in named if each]


def _address_of(tx: Tx, whose: str) -> str:
    kind, _, number = whose.partition(":")
    query = (
        sa.select(_E.client_email).where(_E.id == int(number))
        if kind == "entry"
        else sa.select(_B.client_email).where(_B.id == whose)
    )
    return str(tx.execute(query).scalar() or "")


# --- what an export shows -----------------------------------------------------------------------------------------


def _booking_of(tx: Tx, row: Any) -> dict[str, Any]:
    offering = offering_by_id(tx, row.service_id)
    return {
        "id": row.id,
        "operator": offering.operator_slug,
        "service": offering.slug,
        "status": row.status,
        "start": row.starts_at,
        "end": row.ends_at,
        **_person(row),
        "reason": row.reason,
        "revision": row.revision,
        "uid": row.uid,
        "voice": row.voice,
        "answer": row.partstat,
        "answered_at": row.reply_dtstamp,
        "attendance_confirmed_at": row.attendance_confirmed_at,
        "timeline": timeline.of_booking(tx, row.id, reader="admin"),
        "deliveries": _deliveries(tx, row.id),
        "replies": _replies(tx, row),
    }


def _place_of(tx: Tx, entry: Any) -> dict[str, Any]:
    offering = offering_by_id(tx, entry.service_id)
    offers = sa.select(Offer.starts_at, Offer.ends_at, Offer.status, Offer.expires_at, Offer.created_at).where(
        Offer.entry_id == entry.id
    )
    return {
        "id": entry.id,
        "operator": offering.operator_slug,
        "service": offering.slug,
        "status": entry.status,
        "accept": entry.accept,
        "wish": {
            "start": entry.wish_start,
            "from": entry.first_date,
            "to": entry.last_date,
            "weekdays": [d for d in range(1, 8) if entry.weekdays & (1 << (d - 1))],
            "between": [f"{m // 60:02}:{m % 60:02}" for m in (entry.between_start, entry.between_end)],
        },
        **_person(entry),
        "offers": [
            {"start": o.starts_at, "end": o.ends_at, "status": o.status, "expires_at": o.expires_at, "made_at": o.created_at}
            for o in tx.execute(offers.order_by(Offer.id))
        ],
        "timeline": timeline.of_booking(tx, f"entry:{entry.id}", reader="admin"),
        "deliveries": _deliveries(tx, f"entry:{entry.id}"),
    }  # fmt: skip


def _person(row: Any) -> dict[str, Any]:
    return {
        "name": row.client_name,
        "email": row.client_email,
        "timezone": row.client_timezone,
        "language": row.language,
        "seats": row.seats,
        "answers": row.answers,
        "consents": row.consents,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def _deliveries(tx: Tx, whose: str) -> list[dict[str, Any]]:
    row = Delivery
    query = sa.select(
        row.message_id, row.kind, row.recipient, row.method, row.sequence, row.state, row.detail, row.created_at, row.handed_over_at
    ).where(row.booking_id == whose, row.audience == "client")  # fmt: skip
    return [dict(each._mapping) for each in tx.execute(query.order_by(row.id))]


def _replies(tx: Tx, booking: Any) -> list[dict[str, Any]]:
    """Answers from their calendar that are still in the outbox, where they stay for two weeks."""
    row = OutboxMessage
    query = sa.select(row.kind, row.body, row.created_at).where(row.line.in_(_answer_lines(booking))).order_by(row.id)
    return [{"kind": each.kind, "at": each.created_at, **each.body} for each in tx.execute(query)]
