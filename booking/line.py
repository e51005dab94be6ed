"""Who stands in a line: their place, who of them fits a start, and what becomes of them. Nothing is given away here.

Both questions cost the same however many wait: places are sums of few counted blocks (`LineCount`), and who fits is found
by the keys of their wishes (`booking/wishes.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from booking.catalogue import Offering, offering_by_id
from booking.errors import NotFound, NotPossible
from booking.invitation import About, waitlist_mail
from booking.states import ENDED, LIVE
from booking.tables import Booking, LineCount, Offer, Service, TeamMember, WaitlistEntry, WishKey, WishShape
from booking.wishes import key_of_start, keys_of, keys_of_day, keys_of_minute
from ledger import free_time, outbox
from ledger.availability import Start
from ledger.db import Tx, UtcDateTime, insert_ignoring

AHEAD = ("waiting", "offered")
_E = WaitlistEntry
_WAITING: sa.ColumnElement[str] = sa.literal_column(
    "'waiting'"
)  # spelled out: SQLite uses a partial index only where it sees the condition
_DAY = timedelta(days=1)
_HALF_DAY = timedelta(hours=12)  # no zone is farther behind
ONE_START = {"weekdays": 0, "first_hour": 0, "last_hour": 0}
DAYS = {"weekdays": 127, "first_hour": 0, "last_hour": 24}
"""Of a `WishShape`: which weekdays and hours is told by the keys."""


def entry_by_token(tx: Tx, token: str) -> Any:
    """The stored place in line. Raises `NotFound`."""
    row = tx.execute(sa.select(_E.__table__).where(_E.token == token)).one_or_none()
    if row is None:
        raise NotFound("there is no such place in line")
    return row


def open_offer(tx: Tx, entry_id: int) -> Any:
    """The offer that this person may take now, or None."""
    query = sa.select(Offer.__table__).where(Offer.entry_id == entry_id, Offer.status == "open")
    return tx.execute(query.order_by(Offer.id.desc())).first()


def waiting_lines(tx: Tx, people: Iterable[int], *, first: int | None = None) -> list[Offering]:
    """The active services that take these operators' time and that somebody waits for, in the order in which they are
    served: `first`, then by age. A team's as a whole."""
    ids = list(people)
    somebody = sa.exists().where(_E.service_id == Service.id, _E.status == _WAITING)
    teams = sa.select(TeamMember.service_id).where(TeamMember.operator_id.in_(ids))
    theirs = sa.or_(Service.operator_id.in_(ids), Service.id.in_(teams))
    waited_for = tx.execute(sa.select(Service.id).where(theirs, somebody)).scalars().all()
    lines = [offering_by_id(tx, service_id) for service_id in waited_for]
    return sorted((o for o in lines if o.active), key=lambda o: (o.service_id != first, o.service_id))


def people_of(offering: Offering) -> tuple[int, ...]:
    """Everybody whose time the service may take, whoever of a team does it."""
    return tuple(sorted({each for choice in offering.choices or (offering,) for each in choice.people}))


# --- places -------------------------------------------------------------------------------------------------------


def position(tx: Tx, entry: Any) -> int | None:
    """1 for the next to be served; None for who doesn't wait (any more)."""
    if entry.status not in AHEAD:
        return None
    ahead = tx.execute(
        _ahead(), {"service": entry.service_id, "priority": entry.priority, **_blocks(entry.id)}
    ).scalar_one()
    return int(ahead) + 1


def length(tx: Tx, service_id: int) -> int:
    """How many wait for a service."""
    counted = sa.select(sa.func.coalesce(sa.func.sum(LineCount.waiting), 0))
    return int(tx.execute(counted.where(LineCount.service_id == service_id, LineCount.level == 3)).scalar_one())


def _blocks(entry_id: int) -> dict[str, int]:
    """Where an id lies in the blocks of each level, and where the block begins that it shares with those before."""
    within = {f"from{level}": entry_id >> 6 * (level + 1) << 6 for level in (0, 1, 2)}
    return {"id": entry_id, **within, **{f"block{level}": entry_id >> 6 * level for level in (1, 2, 3)}}


@cache
def _ahead() -> sa.Select[int]:
    """Who is before: whole blocks of the same priority, the few of the own block, and everybody with a higher one."""
    count = LineCount
    service, priority = (sa.bindparam(name, type_=sa.BigInteger()) for name in ("service", "priority"))

    def blocks(level: int, *where: sa.ColumnElement[bool]) -> sa.ScalarSelect[Any]:
        summed = sa.select(sa.func.coalesce(sa.func.sum(count.waiting), 0))
        return summed.where(count.service_id == service, count.level == level, *where).scalar_subquery()

    def of(name: str) -> sa.BindParameter[int]:
        return sa.bindparam(name, type_=sa.BigInteger())

    near = (
        sa.select(sa.func.count())
        .where(_E.service_id == service, _E.status == _WAITING, _E.priority == priority)
        .where(_E.id >= of("from0"), _E.id < of("id"))
        .scalar_subquery()
    )
    same = count.priority == priority
    return sa.select(
        blocks(3, count.priority > priority)
        + blocks(3, same, count.block < of("block3"))
        + blocks(2, same, count.block >= of("from2"), count.block < of("block2"))
        + blocks(1, same, count.block >= of("from1"), count.block < of("block1"))
        + near
    )


# --- who fits -----------------------------------------------------------------------------------------------------


def first_fitting(tx: Tx, offering: Offering, start: Start) -> Any:
    """By priority, then age; party size must fit; who is booked at that time already, or has just given it up, is passed
    over. None for nobody.

    offering: as one operator does it, for one of its durations; who waits for that member or length, or for any, fits.
    """
    local = start.period.start.astimezone(ZoneInfo(offering.timezone))
    minute = local.hour * 60 + local.minute
    days, hours = [key_of_start(start.period.start), *keys_of_day(local.date())], keys_of_minute(minute)
    return tx.execute(
        _fitting(len(days), len(hours)),
        {
            "service": offering.service_id,
            "seats": start.seats_left,
            "member": offering.operator_id,
            "minutes": offering.minutes,
            "default": int(offering.minutes == offering.lasting(0).minutes),
            "durations": list(offering.spec.durations),
            "weekday": 1 << local.weekday(),
            "hour": local.hour,
            "minute": minute,
            "starts": start.period.start,
            "ends": start.period.end,
            **{f"days{n}": key for n, key in enumerate(days)},
            **{f"hours{n}": key for n, key in enumerate(hours)},
        },
    ).one_or_none()


@cache
def _fitting(days: int, hours: int) -> sa.Select[Any]:
    """Of each shape and key the first in line, of these the first: an index finds each, however many are behind.
    days, hours: how many parts of keys there are; the first of the days is a whole key, of one start."""

    def of(name: str, kind: type[sa.types.TypeEngine[Any]] = sa.BigInteger) -> sa.BindParameter[Any]:
        return sa.bindparam(name, type_=kind())

    shape, filed, minute = WishShape, WishKey, of("minute")
    day = sa.union_all(*(sa.select(of(f"days{n}").label("key")) for n in range(days))).subquery("days")
    span = sa.union_all(*(sa.select(of(f"hours{n}").label("key")) for n in range(hours))).subquery("hours")
    # Whoever gave that time up, or was refused it, while they waited for any of such days doesn't mean to have it again.
    given_up = sa.and_(
        Booking.status.in_(ENDED),
        Booking.service_id == of("service"),
        Booking.updated_at > _E.created_at,
        _E.wish_start.is_(None),
    )
    theirs = sa.exists().where(
        Booking.client_email == _E.client_email,
        Booking.starts_at < of("ends", UtcDateTime),
        Booking.ends_at > of("starts", UtcDateTime),
        sa.or_(Booking.status.in_(LIVE), given_up),
    )
    head = (
        sa.select(filed.entry_id)
        .join(_E, _E.id == filed.entry_id)
        .where(filed.shape_id == shape.id, filed.key == day.c.key + span.c.key, _E.status == _WAITING)
        .where(sa.or_(day.c.key < 0, sa.and_(_E.between_start <= minute, _E.between_end > minute)))
        .where(~theirs.correlate(_E))
        .order_by(filed.rank, filed.entry_id)
        .limit(1)
        .correlate(shape, day, span)
        .scalar_subquery()
    )
    hour = of("hour")
    # A length that the service hasn't got (any more) means its default.
    of_old = sa.and_(of("default") == 1, shape.duration_minutes.not_in(sa.bindparam("durations", expanding=True)))
    of_days = sa.and_(
        day.c.key >= 0,
        shape.weekdays.op("&")(of("weekday", sa.Integer)) != 0,
        shape.first_hour <= hour,
        shape.last_hour > hour,
    )
    heads = (
        sa.select(head.label("entry_id"))
        .select_from(shape)
        .join(day, sa.or_(sa.and_(day.c.key < 0, shape.weekdays == 0), of_days))
        .join(span, sa.or_(span.c.key == 0, day.c.key >= 0))
        .where(shape.service_id == of("service"), shape.seats <= of("seats"))
        .where(shape.member_id.in_((0, of("member"))), sa.or_(shape.duration_minutes == of("minutes"), of_old))
        .subquery("heads")
    )
    found = sa.select(_E.__table__).join(heads, heads.c.entry_id == _E.id)
    return found.order_by(_E.priority.desc(), _E.id).limit(1)


# --- what becomes of them -----------------------------------------------------------------------------------------


def take_place(tx: Tx, entry_id: int, *, now: datetime) -> None:
    """File who waits from now on, under the keys of their wish. The operator is locked.

    The first of a line has seen what everybody sees: what the horizon shows later, it sees before strangers.
    """
    entry = tx.execute(sa.select(_E.__table__).where(_E.id == entry_id)).one()
    shape = {
        "service_id": entry.service_id, **(DAYS if entry.wish_start is None else ONE_START), "seats": entry.seats,
        "duration_minutes": entry.duration_minutes, "member_id": entry.member_id or 0,
    }  # fmt: skip
    insert_ignoring(tx, WishShape, shape, unique=list(shape))
    shape_id = tx.execute(sa.select(WishShape.id).filter_by(**shape)).scalar_one()
    first, last = (date.fromisoformat(day) for day in (entry.first_date, entry.last_date))
    keys = keys_of(entry.wish_start, first, last, entry.weekdays, (entry.between_start, entry.between_end))
    filed = [{"entry_id": entry_id, "key": key, "shape_id": shape_id, "rank": -entry.priority} for key in keys]
    if filed:
        tx.execute(sa.insert(WishKey), filed)
    if free_time.seen_until(tx, entry.service_id) is None:
        offering = offering_by_id(tx, entry.service_id)
        free_time.see_until(tx, people_of(offering), offering.service_id, now + offering.rules.horizon)


def set_entry(tx: Tx, entry_id: int, status: str, now: datetime, **values: Any) -> None:
    """Give a place in line that still counts another status. Raises `NotPossible` where it doesn't count any more."""
    changed = tx.execute(
        sa.update(_E).where(_E.id == entry_id, _E.status.in_(AHEAD)).values(status=status, updated_at=now, **values)
    )
    if changed.rowcount != 1:
        raise NotPossible("this place in line is no longer waiting")


def tell(tx: Tx, entry: Any, about: About, *, offer_id: int = 0, now: datetime, cause: str) -> None:
    """Ask for one mail to somebody in line. entry: its row."""
    scope = outbox.Scope(entry.operator_id, entry.service_id)
    outbox.append(tx, waitlist_mail(entry.id, about, offer_id=offer_id), now=now, scope=scope, cause=cause)


def expire_wishes(tx: Tx, now: datetime, *, limit: int = 1000) -> int:
    """Who waited for a start or days that are over waits no more, and is in nobody's place; a small batch at a time.
    Returns how many."""
    # Yesterday of one zone is today of another: here the days are over that are over everywhere.
    day_over, newest_day = ((now - _HALF_DAY).date().isoformat(), (now + _DAY).date().isoformat())
    start_over = sa.and_(_E.last_date <= newest_day, _E.wish_start <= now)
    over = sa.and_(_E.status == _WAITING, sa.or_(_E.last_date < day_over, start_over))
    batch = sa.select(_E.id).where(over).order_by(_E.last_date).limit(limit)
    return tx.execute(sa.update(_E).where(_E.id.in_(batch), over).values(status="expired", updated_at=now)).rowcount


def withdraw_offers(tx: Tx, which: sa.ColumnElement[bool], *, now: datetime) -> list[int]:
    """What was offered isn't there any more: whoever was asked waits again, in the old place. Returns the offers' ids;
    their seats, if they hold any, are the caller's. The operator is locked."""
    offers = tx.execute(sa.select(Offer.id, Offer.entry_id).where(which, Offer.status == "open")).all()
    for offer in offers:
        tx.execute(sa.update(Offer).where(Offer.id == offer.id).values(status="withdrawn"))
        set_entry(tx, offer.entry_id, "waiting", now)
        take_place(tx, offer.entry_id, now=now)
    return [offer.id for offer in offers]
