"""What booking does about the mail that comes back: answers of clients' calendars, and mail that could not be delivered.

An answer counts only if it came to the secret organizer address of the booking and names the booking's UID. Everything
else changes nothing: where it wants a change a human is asked, the rest is a line in the operator's timeline. So it is
with an answer to a time that isn't the booking's any more; the client's answer to the present one ends that question.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from booking import commands, line_replies, waitlist, written
from booking.address import failing
from booking.catalogue import offering_of
from booking.complete import scope_of
from booking.errors import NotPossible, TooLate
from booking.letters import About
from booking.states import LIVE, Status
from booking.stationery import one_line
from booking.tables import Booking
from booking.terms import Terms
from ledger import claims, deliveries, erasure, outbox, reviews, timeline
from ledger.db import Tx
from ledger.messages import (
    ClientCounter,
    ClientDeclined,
    ClientRefresh,
    ClientReply,
    ClientWrote,
    MailBounced,
    MailFact,
    SendMail,
)
from ledger.tables import Delivery, Review

REFRESH_EVERY = timedelta(hours=1)
_ASKED_AGAIN, _WANTED = "invitation_asked_again", "other_time_wanted"
_DECIDED = ("ACCEPTED", "DECLINED")
"""After these a client waits for no other time. Maybe is no end of it: Google and Outlook send one beside the wish."""


@dataclass(frozen=True, slots=True)
class _Matched:
    """The booking an answer is about, and why that isn't proven; ``""`` if it is."""

    row: Any
    doubt: str = ""


def scope_of_fact(tx: Tx, fact: MailFact) -> outbox.Scope:
    """Where a fact belongs, for pauses and for reading the outbox."""
    if isinstance(fact, MailBounced):
        sent = _sent(tx, fact)
        row = _booking(tx, Booking.id == sent.booking_id) if sent is not None else None
    elif isinstance(fact, ClientWrote):
        row = _booking(tx, Booking.organizer_tag == fact.tag)
    else:
        matched = _match(tx, fact)
        row = matched.row if matched is not None else None
        place = line_replies.place_of(tx, fact) if row is None else None
        if place is not None:
            return line_replies.scope_of_place(place)
    return scope_of(row) if row is not None else outbox.Scope()


def react(tx: Tx, fact: MailFact, terms: Terms, *, now: datetime, cause: str) -> None:
    """Do what a mail asks for, or ask a human. Safe to repeat."""
    if isinstance(fact, MailBounced):
        _bounced(tx, fact, now=now, cause=cause)
        return
    if isinstance(fact, ClientWrote):
        _wrote(tx, fact, now=now, cause=cause)
        return
    found = _match(tx, fact)
    if found is None:
        line_replies.react(tx, fact, terms, now=now, cause=cause)
        return
    claims.lock_operator(tx, found.row.operator_id)
    found = _match(tx, fact)
    if found is None:
        return
    if isinstance(fact, ClientRefresh):
        _refresh(tx, fact, found, now=now, cause=cause)
    elif found.doubt:
        _doubted(tx, fact, found, now=now, cause=cause)
    elif not _counts(tx, fact, found.row, now=now, cause=cause):
        return
    elif isinstance(fact, ClientCounter):
        _countered(tx, fact, found.row, now=now, cause=cause)
    elif isinstance(fact, ClientDeclined):
        _declined(tx, fact, found.row, terms, now=now, cause=cause)
    elif isinstance(fact, ClientReply):
        _replied(tx, fact, found.row, now=now, cause=cause)


# --- is it to be believed? --------------------------------------------------------------------------------------


def _match(tx: Tx, fact: MailFact) -> _Matched | None:
    """By the tag, which nobody knows who wasn't told; the UID alone proves nothing but says whom to ask."""
    uid, verdict = getattr(fact, "uid", ""), getattr(fact, "verdict", "")
    row = _booking(tx, Booking.organizer_tag == fact.tag) if fact.tag else None
    if row is None:
        named = _booking(tx, Booking.uid == uid)
        return None if named is None else _Matched(named, "wrong_address" if fact.tag else "no_address")
    if not hmac.compare_digest(row.uid.encode(), uid.encode()):
        return _Matched(row, "wrong_uid")
    if verdict == "fail":
        return _Matched(row, "sender_not_authentic")
    if isinstance(fact, ClientReply) and fact.method not in ("REPLY", "COUNTER"):
        return _Matched(row, "not_theirs_to_say")
    return _Matched(row)


def _doubted(tx: Tx, fact: MailFact, found: _Matched, *, now: datetime, cause: str) -> None:
    row = found.row
    _note(tx, row, "reply_doubted", now=now, cause=cause, why=found.doubt, partstat=_partstat(fact))
    asks = isinstance(fact, ClientDeclined | ClientCounter) or found.doubt == "not_theirs_to_say"
    if asks and row.status in LIVE and row.ends_at > now:
        _ask(tx, row, "reply", found.doubt, now=now, cause=cause, partstat=_partstat(fact), mail=fact.mail)


def _counts(tx: Tx, fact: MailFact, row: Any, *, now: datetime, cause: str) -> bool:
    """Higher SEQUENCE wins, then later DTSTAMP (RFC 5546 §2.1.5); what counts is remembered."""
    if not isinstance(fact, ClientReply | ClientCounter):
        return False
    if fact.sequence < row.revision:
        _to_old_time(tx, fact, row, now=now, cause=cause)
        return False
    if row.status not in LIVE or row.ends_at <= now:
        _note(tx, row, "reply_too_late", now=now, cause=cause, partstat=_partstat(fact))
        return False
    known = row.reply_dtstamp if row.reply_sequence is not None and row.reply_sequence >= row.revision else None
    if known is not None and fact.said_at <= known:
        return False
    values: dict[str, Any] = {"reply_sequence": row.revision, "reply_dtstamp": fact.said_at}
    if isinstance(fact, ClientReply) and fact.method == "REPLY":
        values["partstat"] = fact.partstat
        if fact.partstat in _DECIDED:
            _drop_counters(tx, row, now=now)
    tx.execute(sa.update(Booking).where(Booking.id == row.id).values(**values))
    _close(tx, row, "reply", "old_time", now=now)
    return True


def _to_old_time(tx: Tx, fact: ClientReply | ClientCounter, row: Any, *, now: datetime, cause: str) -> None:
    """They may not have read that the time has changed; whether they come at the new one is for a human to ask."""
    _note(tx, row, "reply_to_old_time", now=now, cause=cause, partstat=_partstat(fact), revision=fact.sequence)
    answered = row.reply_sequence is not None and row.reply_sequence >= row.revision
    wants_change = isinstance(fact, ClientDeclined | ClientCounter)
    if wants_change and not answered and row.status in LIVE and row.ends_at > now:
        _ask(tx, row, "reply", "old_time", now=now, cause=cause, partstat=_partstat(fact), revision=fact.sequence)


# --- what it means ----------------------------------------------------------------------------------------------


def _replied(tx: Tx, fact: ClientReply, row: Any, *, now: datetime, cause: str) -> None:
    if fact.method != "REPLY":  # another time that can't be understood
        _ask(tx, row, "reply", "unclear_time", now=now, cause=cause, partstat="COUNTER", mail=fact.mail)
        return
    if fact.comment:
        _pass_on(tx, fact, row, now=now, cause=cause)
    if fact.attendee and fact.attendee != row.client_email.lower():
        _note(tx, row, "reply_from_other_address", now=now, cause=cause)
    if fact.partstat == "ACCEPTED":
        commands.confirm_attendance(tx, row.id, now=now, cause=cause)
    elif fact.partstat == "TENTATIVE":
        tx.execute(sa.update(Booking).where(Booking.id == row.id).values(attendance_confirmed_at=None, updated_at=now))
        timeline.note(tx, row.id, row.operator_id, "tentative", now=now, cause=cause)
    elif fact.partstat == "DELEGATED":
        _note(tx, row, "delegated", now=now, cause=cause)
        _ask(tx, row, "reply", "delegated", now=now, cause=cause, partstat="DELEGATED", mail=fact.mail)


def _wrote(tx: Tx, fact: ClientWrote, *, now: datetime, cause: str) -> None:
    row = _booking(tx, Booking.organizer_tag == fact.tag)
    if row is None:
        line_replies.wrote(tx, fact, now=now, cause=cause)
    elif fact.verdict == "fail":
        _note(tx, row, "reply_doubted", now=now, cause=cause, why="sender_not_authentic", partstat="")
    elif now - row.ends_at < written.HEARD_FOR:
        _pass_on(tx, fact, row, now=now, cause=cause)


def _pass_on(tx: Tx, fact: MailFact, row: Any, *, now: datetime, cause: str) -> None:
    written.pass_on(tx, fact, row.id, row.operator_id, row.revision, scope=scope_of(row), now=now, cause=cause)


def _declined(tx: Tx, fact: ClientDeclined, row: Any, terms: Terms, *, now: datetime, cause: str) -> None:
    reason = one_line(fact.comment)[:500]
    try:
        commands.cancel(tx, terms, row.id, by="client", now=now, cause=cause, reason=reason)
    except TooLate:
        timeline.note(tx, row.id, row.operator_id, "declined_too_late", now=now, cause=cause)
        _ask(tx, row, "late_decline", "too_late", now=now, cause=cause, start=row.starts_at.isoformat())


def _countered(tx: Tx, fact: ClientCounter, row: Any, *, now: datetime, cause: str) -> None:
    if fact.start == row.starts_at or fact.start <= now:
        _note(tx, row, "other_time_impossible", now=now, cause=cause, to=fact.start.isoformat())
        return
    newest = f"counter:{row.id}:{row.revision}:{fact.start.isoformat()}"
    _drop_counters(tx, row, but=newest, now=now)
    until = fact.start + (row.ends_at - row.starts_at)
    detail = {
        "from": row.starts_at.isoformat(), "to": fact.start.isoformat(), "until": until.isoformat(),
        "revision": row.revision,
    }  # fmt: skip
    if reviews.ask(
        tx, "counter", newest, now=now, operator_id=row.operator_id, slot_id=row.slot_id, booking_id=row.id,
        detail=detail,
    ):  # fmt: skip
        often = timeline.count(tx, row.id, _WANTED, since=now - written.EVERY) >= written.MOST
        timeline.note(tx, row.id, row.operator_id, _WANTED, now=now, cause=cause, to=detail["to"])
        if often:
            return  # the question is there to be seen, and it is about the newest wish
        _mail(tx, row, f"{About.COUNTER}:{fact.mail[:16]}", "operator", now=now, cause=cause)


def _refresh(tx: Tx, fact: ClientRefresh, found: _Matched, *, now: datetime, cause: str) -> None:
    """What the client's calendar should hold now: the invitation, or its cancellation."""
    row = found.row
    if found.doubt or row.voice != "service" or row.ends_at <= now:
        return
    about = About.BOOKED if row.status == Status.CONFIRMED else _told_of_the_end(tx, row)
    if not about:
        return
    if not timeline.count(tx, row.id, _ASKED_AGAIN, since=now - REFRESH_EVERY):
        _note(tx, row, _ASKED_AGAIN, now=now, cause=cause)
        # The same words and SEQUENCE, but a message of its own: its Message-ID must not be that of the first one.
        _mail(tx, row, f"{about}:{fact.mail[:16]}", "client", now=now, cause=cause)


def _told_of_the_end(tx: Tx, row: Any) -> str:
    """The kind of letter that took it out of the client's calendar; ``""`` where none did."""
    told = sa.select(Delivery.kind).where(
        Delivery.booking_id == row.id, Delivery.audience == "client", Delivery.method == "CANCEL",
        Delivery.sequence == row.revision,
    ).order_by(Delivery.id)  # fmt: skip
    return str(tx.execute(told.limit(1)).scalar() or "").partition(":")[0]


# --- mail that came back ----------------------------------------------------------------------------------------


def _bounced(tx: Tx, fact: MailBounced, *, now: datetime, cause: str) -> None:
    sent = _sent(tx, fact)
    if sent is None:
        return  # a report about a mail that we didn't send: nobody else knows our Message-IDs
    about = {"about": sent.kind, "status": fact.status}
    if not fact.permanent:
        timeline.note(
            tx, sent.booking_id, sent.operator_id, "mail_delayed", now=now, cause=cause, audience="operator", **about
        )
        return
    if not deliveries.bounced(tx, sent.id, detail=f"{fact.status} {fact.diagnostic}".strip()):
        return
    timeline.note(
        tx, sent.booking_id, sent.operator_id, "mail_bounced", now=now, cause=cause, audience=sent.audience, **about
    )
    address_failed(
        tx, sent.booking_id, sent.operator_id, sent.audience, sent.recipient, sent.kind, fact.diagnostic, now=now,
        cause=cause,
    )  # fmt: skip


def address_failed(
    tx: Tx, about_id: str, operator_id: int, audience: str, address: str, kind: str, words: str, *, now: datetime, cause: str
) -> None:  # fmt: skip
    """A client's address takes no mail, so whatever we tell them they won't hear: the operator is told, once while that
    is open, however many mails fail.

    about_id: the booking or ``entry:ID`` that the mail was about; kind: of the mail; words: of the refusing server. The
    operator's own bad address is only in the books: a mail about it would fail as well.
    """
    if audience != "client":
        return
    row, entry = _booking(tx, Booking.id == about_id), line_replies.place_named(tx, about_id)
    theirs = row if row is not None else entry
    if theirs is not None and theirs.client_email.lower() != address.lower():
        return  # they have another one by now
    key = failing(operator_id, address)
    # Who only waits may be forgotten before the review is: it names them by their place alone.
    said = erasure.without(words[:500], {address.casefold()}) if entry is not None else words[:500]
    detail = {"about": kind, "reply": said} | ({"entry": entry.id} if entry is not None else {})
    new = reviews.ask(
        tx, "failed_address", key, now=now, operator_id=operator_id, detail=detail,
        slot_id=row.slot_id if row is not None else None, booking_id=row.id if row is not None else None,
    )  # fmt: skip
    if new and theirs is not None:
        scope = scope_of(row) if row is not None else line_replies.scope_of_place(entry)
        revision = row.revision if row is not None else 0
        _tell_operator(tx, about_id, revision, key, f"failed_address:{kind}", scope=scope, now=now, cause=cause)


def _sent(tx: Tx, fact: MailBounced) -> Any:
    """Our mail that came back: by its Message-ID, else the last one to the client whose tag the report shows."""
    row = Delivery
    query = sa.select(row.id, row.booking_id, row.operator_id, row.audience, row.kind, row.recipient)
    if fact.message_id:
        return tx.execute(query.where(row.message_id == fact.message_id)).one_or_none()
    booking = _booking(tx, Booking.organizer_tag == fact.tag) if fact.tag else None
    if booking is None:
        return None
    theirs = query.where(row.booking_id == booking.id, row.audience == "client", row.state != "prepared")
    return tx.execute(theirs.order_by(row.id.desc()).limit(1)).one_or_none()


# --- what a human decides ---------------------------------------------------------------------------------------


def follow_counter(tx: Tx, terms: Terms, review: dict[str, Any], *, now: datetime, cause: str) -> None:
    """Give the client the time they asked for. Raises `NotPossible` where the booking has changed since, `SlotTaken`
    where that time is not free; the review stays open then."""
    row = _booking(tx, Booking.id == review["booking_id"])
    if row is None or row.status not in LIVE or row.revision != review["detail"]["revision"]:
        raise NotPossible("the booking has changed since")
    start = datetime.fromisoformat(review["detail"]["to"])
    commands.reschedule(tx, terms, row.id, start, by="operator", now=now, cause=cause)


def decline_counter(tx: Tx, review: dict[str, Any], *, now: datetime, cause: str) -> None:
    """Tell the client, and their calendar (METHOD:DECLINECOUNTER), that the time they asked for doesn't suit. Nothing is
    said about a booking that has changed since, or is over."""
    row = _booking(tx, Booking.id == review["booking_id"])
    if row is None or row.status != Status.CONFIRMED or row.ends_at <= now:
        return
    if row.revision != review["detail"]["revision"]:
        return
    timeline.note(tx, row.id, row.operator_id, "other_time_declined", now=now, cause=cause, to=review["detail"]["to"])
    _mail(tx, row, f"{About.COUNTER_DECLINED}:{review['id']}", "client", now=now, cause=cause)


def take_as_decline(tx: Tx, terms: Terms, review: dict[str, Any], *, now: datetime, cause: str) -> None:
    """A human believes that the client doesn't come: cancel as the client would have, whatever the window says."""
    row = _booking(tx, Booking.id == review["booking_id"])
    if row is None or row.status not in LIVE:
        return
    claims.lock_operator(tx, row.operator_id)
    row = _booking(tx, Booking.id == row.id)
    if row.status not in LIVE:
        return
    wanted = offering_of(tx, row)
    freed = commands.cancel_all(tx, terms, wanted, [row], by="client", now=now, cause=cause)
    waitlist.seats_freed(tx, terms, freed, now=now, cause=cause)


# --- inside -----------------------------------------------------------------------------------------------------


def _booking(tx: Tx, where: sa.ColumnElement[bool]) -> Any:
    return tx.execute(sa.select(Booking.__table__).where(where)).one_or_none()


def _drop_counters(tx: Tx, row: Any, *, but: str = "", now: datetime) -> None:
    """The client no longer wants the other time that they asked for. but: the key of one that stays."""
    wishes = sa.select(Review.id).where(
        Review.kind == "counter", Review.state == "open", Review.booking_id == row.id, Review.key != but
    )
    for review_id in tx.execute(wishes).scalars().all():
        reviews.resolve(tx, review_id, state="dismissed", by="client", now=now)


def _close(tx: Tx, row: Any, kind: str, why: str, *, now: datetime) -> None:
    """The client has answered what a human was to find out."""
    key = f"{kind}:{row.id}:{row.revision}:{why}:"
    waiting = sa.select(Review.id).where(
        Review.booking_id == row.id, Review.state == "open", Review.key.startswith(key, autoescape=True)
    )
    for review_id in tx.execute(waiting).scalars().all():
        reviews.resolve(tx, review_id, state="dismissed", by="client", now=now)


def _partstat(fact: MailFact) -> str:
    if isinstance(fact, ClientCounter):
        return "COUNTER"
    if isinstance(fact, ClientReply):
        return fact.partstat if fact.method == "REPLY" else fact.method
    return ""


def _note(tx: Tx, row: Any, what: str, *, now: datetime, cause: str, **detail: Any) -> None:
    timeline.note(tx, row.id, row.operator_id, what, now=now, cause=cause, audience="operator", **detail)


def _ask(tx: Tx, row: Any, kind: str, why: str, *, now: datetime, cause: str, **detail: Any) -> None:
    """One open review for one doubt about one revision, and one mail that tells of it, however many answers come."""
    key = f"{kind}:{row.id}:{row.revision}"
    if kind == "reply":
        key += f":{why}:{detail['partstat']}"
    if reviews.ask(
        tx, kind, key, now=now, operator_id=row.operator_id, slot_id=row.slot_id, booking_id=row.id,
        detail={"why": why, **detail},
    ):  # fmt: skip
        _tell_operator(tx, row.id, row.revision, key, f"{kind}:{why}", scope=scope_of(row), now=now, cause=cause)


def _tell_operator(
    tx: Tx, about_id: str, revision: int, key: str, asks: str, *, scope: outbox.Scope, now: datetime, cause: str
) -> None:
    """Named by its review: a second one about the same revision is a letter of its own."""
    review_id = tx.execute(sa.select(Review.id).where(Review.key == key, Review.state == "open")).scalar_one()
    asked = SendMail(about_id, revision, f"{About.REVIEW}:{asks}:{review_id}", "operator")
    outbox.append(tx, asked, now=now, scope=scope, cause=cause)


def _mail(tx: Tx, row: Any, about: str, audience: str, *, now: datetime, cause: str) -> None:
    outbox.append(tx, SendMail(row.id, row.revision, about, audience), now=now, scope=scope_of(row), cause=cause)
