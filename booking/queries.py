"""What pages and the API read, as plain values. Instants stay instants; the doors decide how they are written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from booking import changes, commands, history, times, waitlist
from booking.catalogue import Offering, offering_of, offering_waited_for, offerings_of
from booking.errors import FieldError, Invalid, NotFound
from booking.rules import LINK_LIVES_ON, REACH
from booking.services import LANGUAGES
from booking.states import Status
from booking.tables import Booking, Service, TeamMember
from booking.terms import Terms
from connectors.model import Period
from ledger import free_time, timeline
from ledger.availability import SlotState, Start
from ledger.db import Tx
from ledger.tables import Calendar, Delivery, Operator, SlotEvent

LONGEST = 62  # days a single list of slots may cover


@dataclass(frozen=True, slots=True)
class Listed:
    """Starts in a range of days. valid_until: the picture changes by itself then, without anybody doing anything."""

    starts: tuple[Start, ...]
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class Pulse:
    """What an unchanged page costs: one SELECT. fresh_at: age of the oldest calendar that counts, None without any."""

    operator_id: int
    version: int
    fresh_at: datetime | None


def operator_facts(tx: Tx, slug: str) -> dict[str, Any]:
    """Public facts of an operator and the services. Raises `NotFound`."""
    row = _operator(tx, slug)
    return {
        "operator": row.slug,
        "name": row.name,
        "timezone": row.timezone,
        "language": row.language,
        "services": [service_facts(o) for o in offerings_of(tx, row.id)],
    }


def service_facts(offering: Offering) -> dict[str, Any]:
    """Public facts of a service (INTERFACE §4)."""
    spec = offering.spec
    return {
        "operator": offering.operator_slug,
        "service": offering.slug,
        "title": spec.title,
        "texts": {lang: spec.text(lang).model_dump() for lang in dict.fromkeys(["en", *spec.texts])},
        "languages": list(spec.languages or LANGUAGES),
        "timezone": offering.timezone,
        "duration_minutes": spec.duration_minutes,
        "durations_minutes": list(spec.durations),
        "capacity": spec.capacity,
        "mode": spec.mode,
        "team": [{"operator": slug, "name": name} for slug, name in offering.members],
        "team_mode": spec.team_mode if spec.team else None,
        "confirmation": spec.confirmation,
        "fields": [field.model_dump(mode="json") for field in spec.fields],
        "place": spec.place,
        "link": spec.link,
        "price": spec.price,
        "policies": {
            "notice_minutes": spec.notice_minutes,
            "horizon_days": spec.horizon_days,
            "cancel_until_minutes": spec.cancel_until_minutes,
            "limit_per_day": spec.limit_per_day or None,
            "limit_per_week": spec.limit_per_week or None,
            "waitlist": {"accept": list(spec.waitlist.accept), "offer_minutes": spec.waitlist.offer_minutes},
        },
    }


def pulse(tx: Tx, slug: str, service: str = "") -> Pulse:
    """Has anything changed? service: of a team's the oldest calendar of any member counts. Raises `NotFound`."""
    team = (
        sa.select(TeamMember.operator_id)
        .join(Service, Service.id == TeamMember.service_id)
        .where(Service.operator_id == Operator.id, Service.slug == service)
        .correlate(Operator)
    )
    whose = Calendar.operator_id == Operator.id
    if service:
        whose = sa.or_(whose, Calendar.operator_id.in_(team))
    freshest = (
        sa.select(sa.func.min(Calendar.pulled_at))
        .where(whose, sa.or_(Calendar.busy, Calendar.availability))
        .scalar_subquery()
    )
    row = tx.execute(
        sa.select(Operator.id, Operator.ledger_version, freshest.label("fresh_at")).where(
            Operator.slug == slug, Operator.active
        )
    ).one_or_none()
    if row is None:
        raise NotFound(f"there is no operator {slug}")
    return Pulse(row.id, row.ledger_version, row.fresh_at)


def slots(tx: Tx, offering: Offering, first: date, last: date, zone: str, *, now: datetime) -> Listed:
    """Starts on the days ``first`` to ``last``, both included, as days of `zone`. Raises `Invalid`."""
    if not REACH[0].year < first.year < REACH[1].year:
        raise Invalid([FieldError("from", "out_of_range", "a day of this age is needed")])
    if last < first or (last - first).days >= LONGEST:
        raise Invalid([FieldError("to", "out_of_range", f"from the day of `from` on, at most {LONGEST} days")])
    local = ZoneInfo(zone)
    window = Period(
        datetime.combine(first, time(), local),
        datetime.combine(last + timedelta(days=1), time(), local),
    )
    listed = times.starts(tx, offering, window, now)
    changes = [now + timedelta(minutes=10)]
    if listed:
        changes.append(listed[0].period.start - offering.rules.notice)
    people = {each for choice in offering.choices or (offering,) for each in choice.people}
    hold_ends = (free_time.next_hold_end(tx, each, now) for each in people)
    changes += [end for end in hold_ends if end is not None]
    return Listed(tuple(listed), max(min(changes), now))


def start_of(tx: Tx, offering: Offering, start: datetime, *, now: datetime) -> Start | None:
    """That one start as the list would show it, or None where it doesn't exist."""
    return times.find(tx, offering, start, now)


def operators(tx: Tx) -> list[dict[str, Any]]:
    """Everybody who can be booked, with their services."""
    slugs = tx.execute(sa.select(Operator.slug).where(Operator.active).order_by(Operator.name)).scalars().all()
    return [operator_facts(tx, slug) for slug in slugs]


def token_of(tx: Tx, booking_id: str) -> str:
    """The client's key to a booking."""
    return str(tx.execute(sa.select(Booking.token).where(Booking.id == booking_id)).scalar_one())


def offering_of_booking(tx: Tx, booking_id: str) -> Offering:
    """What a booking is of, as its operator does it, for its duration."""
    columns = (Booking.service_id, Booking.operator_id, Booking.duration_minutes)
    return offering_of(tx, tx.execute(sa.select(*columns).where(Booking.id == booking_id)).one())


def service_of(tx: Tx, booking_id: str) -> int:
    """Which service a booking is of."""
    return int(tx.execute(sa.select(Booking.service_id).where(Booking.id == booking_id)).scalar_one())


def booking_view(tx: Tx, booking_id: str, terms: Terms, *, reader: str = "client") -> dict[str, Any]:
    """A booking as its reader (``client``, ``operator``, ``admin``) may see it. Raises `NotFound`."""
    row = tx.execute(sa.select(Booking.__table__).where(Booking.id == booking_id)).one_or_none()
    if row is None:
        raise NotFound("there is no such booking")
    offering = offering_of(tx, row)
    return {
        "id": row.id,
        "token": row.token,
        "status": row.status,
        "waits_for": [r for r in row.waits_for.split(",") if r],
        "expires_at": row.expires_at,
        "start": row.starts_at,
        "end": row.ends_at,
        "timezone": row.client_timezone,
        "language": row.language,
        "operator": offering.operator_slug,
        "operator_name": offering.operator_name,
        "operator_timezone": offering.timezone,
        "service": offering.slug,
        "title": offering.spec.text(row.language).title,
        "place": offering.spec.text(row.language).place,
        "link": offering.spec.link if row.status == Status.CONFIRMED else "",
        "duration_minutes": row.duration_minutes or offering.minutes,
        "seats": row.seats,
        "revision": row.revision,
        "uid": row.uid,
        "reason": row.reason,
        **({} if reader == "client" else {"no_shows": history.no_shows(tx, row.operator_id, row.client_email)}),
        "proposal": _proposal(tx, row),
        "wanted": _wanted(tx, row),
        "client": {"name": row.client_name, "email": row.client_email},
        "answers": row.answers,
        "consents": row.consents,
        "attendance_confirmed_at": row.attendance_confirmed_at,
        "cancel_until": row.starts_at - timedelta(minutes=offering.spec.cancel_until_minutes),
        "calendar": _calendar_state(tx, row.slot_id),
        "timeline": timeline.of_booking(tx, row.id, reader=reader),
        "deliveries": _deliveries(tx, row.id, reader),
        "created_at": row.created_at,
        "manage_url": terms.manage_url(row.language, row.token),
        "voice": row.voice,
        "ics_url": terms.invite_url(row.token),
    }


def line_view(tx: Tx, token: str, *, now: datetime | None = None) -> dict[str, Any]:
    """A place in line as its owner may see it. Raises `NotFound`. now: of who comes by the link, which leads nowhere when
    the last day of the wish has been over for `rules.LINK_LIVES_ON`."""
    entry = waitlist.entry_by_token(tx, token)
    if now is not None and date.fromisoformat(entry.last_date) <= (now - LINK_LIVES_ON).date():
        raise NotFound("there is no such place in line")
    offering = offering_waited_for(tx, entry)
    offer = waitlist.open_offer(tx, entry.id)
    booking_token = None
    if entry.booking_id:
        booking_token = tx.execute(sa.select(Booking.token).where(Booking.id == entry.booking_id)).scalar()
    return {
        "token": entry.token,
        "status": entry.status,
        "position": waitlist.position(tx, entry),
        "duration_minutes": offering.minutes,
        "member": offering.operator_slug if entry.member_id else None,
        "seats": entry.seats,
        "accept": entry.accept,
        "wish": wish_of(entry),
        "operator": offering.operator_slug,
        "operator_name": offering.operator_name,
        "operator_timezone": offering.timezone,
        "service": offering.slug,
        "title": offering.spec.text(entry.language).title,
        "timezone": entry.client_timezone,
        "language": entry.language,
        "offer": {"start": offer.starts_at, "end": offer.ends_at, "expires_at": offer.expires_at} if offer else None,
        "booking": booking_token,
        "created_at": entry.created_at,
    }


def wish_of(entry: Any) -> dict[str, Any]:
    """What a stored place in line is for, as it was asked for: one start, or days with their hours."""
    if entry.wish_start is not None:
        return {"start": entry.wish_start}
    return {
        "from": entry.first_date,
        "to": entry.last_date,
        "weekdays": [d for d in range(1, 8) if entry.weekdays & (1 << (d - 1))],
        "between": [f"{m // 60:02}:{m % 60:02}" for m in (entry.between_start, entry.between_end)],
    }


def waiting_for(tx: Tx, service_id: int) -> int:
    """How many wait for a service."""
    return waitlist.length(tx, service_id)


def bookable(listed: Listed) -> list[Start]:
    """The open ones."""
    return [s for s in listed.starts if s.state is SlotState.OPEN]


def _proposal(tx: Tx, row: Any) -> dict[str, datetime] | None:
    review = commands.proposal_of(tx, row) if row.status in (Status.CONFIRMED, Status.PENDING) else None
    if review is None:
        return None
    return {"start": datetime.fromisoformat(review.detail["to"]), "end": datetime.fromisoformat(review.detail["until"])}


def _wanted(tx: Tx, row: Any) -> dict[str, datetime] | None:
    period = changes.asked(tx, row.id)
    return None if period is None else {"start": period.start, "end": period.end}


def _calendar_state(tx: Tx, slot_id: int) -> str:
    """Honest state of the operator's event: ``none``, ``on_its_way``, ``in_the_calendar``, ``removed``."""
    event = tx.execute(
        sa.select(SlotEvent.state, SlotEvent.wanted, SlotEvent.calendar_id, SlotEvent.version, SlotEvent.pushed_version)
        .where(SlotEvent.slot_id == slot_id)
    ).one_or_none()  # fmt: skip
    if event is None or event.calendar_id is None:
        return "none"
    if not event.wanted or event.state == "gone":
        return "removed" if event.state == "gone" or event.pushed_version >= event.version else "on_its_way"
    return "in_the_calendar" if event.state == "confirmed" and event.pushed_version >= event.version else "on_its_way"


def _deliveries(tx: Tx, booking_id: str, reader: str) -> list[dict[str, Any]]:
    query = sa.select(
        Delivery.audience, Delivery.kind, Delivery.method, Delivery.sequence,
        # Nobody tries it any more until somebody asks for that: not on its way, whatever was prepared.
        sa.case((sa.and_(Delivery.state == "prepared", Delivery.detail != ""), "stuck"), else_=Delivery.state).label("state"),
        Delivery.created_at, Delivery.handed_over_at, Delivery.message_id,
    ).where(Delivery.booking_id == booking_id).order_by(Delivery.id)  # fmt: skip
    if reader == "client":
        query = query.where(Delivery.audience == "client")
    return [dict(r._mapping) for r in tx.execute(query)]


def _operator(tx: Tx, slug: str) -> Any:
    row = tx.execute(sa.select(Operator.__table__).where(Operator.slug == slug, Operator.active)).one_or_none()
    if row is None:
        raise NotFound(f"there is no operator {slug}")
    return row
