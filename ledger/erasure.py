"""A person's traces in the books' records, taken away or made nameless; who they are is for booking to say.

A record stays (that something happened, when, how often); words that people wrote in it go. `tidied` keeps code words,
numbers and instants, so that a message whose body was tidied can still be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from connectors import mention
from ledger import catalog
from ledger.db import Base, Tx
from ledger.outbox import LIVE
from ledger.tables import Delivery, OutboxMessage, Review, SlotEvent, TimelineEntry

_CODE_WORD = re.compile(r"[a-z0-9][a-z0-9_.:+-]{0,79}", re.IGNORECASE)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d[\d:.]*(Z|[+-]\d\d:\d\d)?)?")
_OWNERS = frozenset({
    "operator", "connection", "calendar", "oauth_flow", "service", "webhook", "api_token",
    "user_account", "user_session", "passkey", "provider_identity", "sign_in_attempt",
})  # fmt: skip
"""Tables that speak of those who run the practice; if one of them is a client too, they stay who they are."""
_FREE = frozenset({"reason", "comment", "diagnostic", "reply", "text", "note"})
"""Keys of what people write."""
_WHO = ("client_name", "client_email")
_CHUNK = 500
_LIVE: list[sa.ColumnElement[str]] = [sa.literal_column(f"'{state}'") for state in LIVE]  # as the partial index says it


def tidied(value: Any, needles: Collection[str]) -> Any:
    """A JSON value without people: strings that aren't one code word, that hold a needle (case-folded; an instant: that
    are one), or that stand under a key of what people write, become ``""``."""
    if isinstance(value, dict):
        return {key: "" if key in _FREE else tidied(each, needles) for key, each in value.items()}
    if isinstance(value, list):
        return [tidied(each, needles) for each in value]
    if isinstance(value, str):
        if _INSTANT.fullmatch(value):
            return "" if value.casefold() in needles else value
        return value if _CODE_WORD.fullmatch(value) and not holds(value, needles) else ""
    return value


def without(value: Any, needles: Collection[str]) -> Any:
    """A text or JSON value with every needle cut out, whatever its case; whole words and whole addresses only.

    So somebody else whose name or address holds a needle stays who they are. Code words and instants, which are read
    again, stay unless they are a needle. needles: case-folded.
    """
    if isinstance(value, dict):
        return {key: without(each, needles) for key, each in value.items()}
    if isinstance(value, list):
        return [without(each, needles) for each in value]
    if isinstance(value, str) and holds(value, needles):
        if value.casefold() in needles:
            return ""
        return value if _CODE_WORD.fullmatch(value) or _INSTANT.fullmatch(value) else _cut(value, needles)
    return value


def _cut(text: str, needles: Collection[str]) -> str:
    longest_first = sorted(needles, key=len, reverse=True)
    words = "|".join(re.escape(each) for each in longest_first if "@" not in each)
    found = [mention.of(each) for each in longest_first if "@" in each]
    found += [f"(?P<other>{mention.ADDRESS})", *([rf"(?<!\w)(?:{words})(?!\w|@\w)"] if words else [])]
    return re.sub("|".join(found), lambda each: each["other"] or "", text, flags=re.IGNORECASE)


def holds(value: str, needles: Collection[str]) -> bool:
    """Does this text hold one of them? needles: case-folded."""
    folded = value.casefold()
    return any(needle in folded for needle in needles)


def mails_waiting(tx: Tx, whose: Sequence[str]) -> int:
    """How many mails about these are still to be sent. whose: ids of bookings, ``entry:ID`` of places in line."""
    row = OutboxMessage
    return sum(
        tx.execute(sa.select(sa.func.count()).where(row.line.in_(lines), row.state.in_(_LIVE))).scalar_one()
        for lines in _chunks(_mail_lines(whose))
    )


def forget_records(
    tx: Tx, *, whose: Sequence[str], answers: Sequence[str], slots: Sequence[int], needles: Collection[str]
) -> None:
    """Make nameless what the books recorded about these bookings and places. Idempotent.

    whose: as `mails_waiting`. answers: lines of the outbox in which clients' answers ran. slots: whose events may name
    them. needles: name, address and what else they said, case-folded. Mail that wasn't sent yet isn't sent any more.
    """
    for part in _chunks(whose):
        _forget_mail(tx, part)
        _tidy(tx, Delivery, Delivery.booking_id.in_(part), ("detail",), needles)
        _tidy(tx, TimelineEntry, TimelineEntry.booking_id.in_(part), ("detail",), needles)
        _tidy(tx, Review, Review.booking_id.in_(part), ("detail",), needles)
        _tidy(tx, OutboxMessage, OutboxMessage.booking_id.in_(part), ("body", "last_error"), needles)
    for lines in _chunks([*answers, *_mail_lines(whose)]):
        _tidy(tx, OutboxMessage, OutboxMessage.line.in_(lines), ("body", "last_error"), needles)
    for ids in _chunks(slots):
        # Others may share the slot: only what names this one goes.
        _tidy(tx, Review, Review.slot_id.in_(ids), ("detail",), needles, change=without)
        # An event that isn't wanted any more was taken away; what it said is of no use to anybody.
        tx.execute(sa.update(SlotEvent).where(SlotEvent.slot_id.in_(ids), ~SlotEvent.wanted).values(words={}))


def forget_everywhere(tx: Tx, address: str, needles: Collection[str], *, but: Iterable[str] = ()) -> int:
    """Cut an address, and in rows that name it all needles, out of every text of every table. Returns how many rows.
    A row of another client (by its ``client_email``) that names it loses the address alone.

    The net under `forget_records`: it reads every table, so it is for the one who asked to be forgotten, not for the
    ticker. Tables of those who run the practice, and `but`, are left alone.
    """
    found = 0
    for table in catalog.tables():
        if table.name not in {*_OWNERS, *but}:
            found += _cut_out(tx, table, address, needles)
    return found


def _forget_mail(tx: Tx, whose: Sequence[str]) -> None:
    row = OutboxMessage
    for lines in _chunks(_mail_lines(whose)):
        waiting = sa.and_(row.line.in_(lines), row.state.in_(("waiting", "queued", "parked")))
        # Parked ones have their time of settling already; it doesn't matter which: nobody will look for it.
        gone = {"state": "discarded", "settled_at": row.not_before, "lease": "", "leased_until": None}
        tx.execute(sa.update(row).where(waiting).values(**gone))
    # A mail to the operator that is still tried will be written again, without the person.
    tx.execute(sa.delete(Delivery).where(Delivery.booking_id.in_(whose), Delivery.state == "prepared"))
    nobody = {"recipient": "", "detail": "", "message": None}
    tx.execute(sa.update(Delivery).where(Delivery.booking_id.in_(whose), Delivery.audience == "client").values(nobody))
    tx.execute(sa.update(Delivery).where(Delivery.booking_id.in_(whose)).values(message=None))


def _tidy(
    tx: Tx,
    model: type[Base],
    where: sa.ColumnElement[bool],
    columns: Sequence[str],
    needles: Collection[str],
    *,
    change: Callable[[Any, Collection[str]], Any] = tidied,
) -> None:
    table = model.__table__
    key = table.c.id
    for row in tx.execute(sa.select(key, *(table.c[name] for name in columns)).where(where)).all():
        before = {name: getattr(row, name) for name in columns}
        after = {
            name: change(value, needles) if isinstance(value, dict) else without(value, needles)
            for name, value in before.items()
        }
        if after != before:
            tx.execute(sa.update(model).where(key == row.id).values(**after))


def _cut_out(tx: Tx, table: sa.Table, address: str, needles: Collection[str]) -> int:
    keys = list(table.primary_key)
    columns = [c for c in table.c if isinstance(c.type, sa.JSON | sa.String) and not c.foreign_keys and c not in keys]
    if not columns:
        return 0
    # As JSON is written on SQLite, letters outside of ASCII are escaped. LIKE only looks where it may stand.
    plain = re.sub(r"[^\x00-\x7f]+", "\0", address).lower()
    pattern = "%" + re.sub(r"([\\%_])", r"\\\1", plain).replace("\0", "%") + "%"
    hit = sa.or_(*(sa.func.lower(sa.cast(c, sa.Text)).like(pattern, escape="\\") for c in columns))
    found = 0
    for row in tx.execute(sa.select(*keys, *columns).where(hit)).all():
        before = {c.name: getattr(row, c.name) for c in columns}
        only = {address.casefold()}
        if without(before, only) == before:
            continue  # a longer address that this one stands in
        found += 1
        after = without(before, needles)
        if str(before.get("client_email") or "").casefold() not in ("", *only):
            # Somebody else's, who named this one: they keep their own words, and who they are.
            after = {**without(before, only), **{name: before[name] for name in _WHO}}
        tx.execute(sa.update(table).where(*(k == getattr(row, k.name) for k in keys)).values(**after))
    return found


def _mail_lines(whose: Sequence[str]) -> list[str]:
    return [f"mail:{each}:{audience}" for each in whose for audience in ("client", "operator")]


def _chunks(values: Sequence[Any]) -> list[Sequence[Any]]:
    return [values[first : first + _CHUNK] for first in range(0, len(values), _CHUNK)]
