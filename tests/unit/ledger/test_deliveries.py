"""A mail is stored before it is sent, once, and forgotten when somebody else has it."""

from __future__ import annotations

from datetime import datetime

from ledger import deliveries
from ledger.db import Database
from ledger.deliveries import Prepared


def prepared(database: Database, now: datetime, message: bytes = b"one", message_id: str = "<1@x>") -> Prepared:
    with database.transaction() as tx:
        return deliveries.prepare(
            tx, message_id=message_id, message=message, recipient="jana@example.org", booking_id="b1", operator_id=1,
            audience="client", kind="booked", sequence=0, now=now,
        )  # fmt: skip


def found(database: Database, sequence: int = 0) -> Prepared | None:
    with database.reading() as tx:
        return deliveries.find(tx, booking_id="b1", audience="client", kind="booked", sequence=sequence)


def test_the_first_bytes_of_a_message_id_count(database: Database, now: datetime) -> None:
    first = prepared(database, now)
    assert prepared(database, now, b"other") == first
    assert found(database) == first
    assert first.message == b"one"
    assert found(database, sequence=1) is None


def test_what_was_handed_over_keeps_its_trace_and_loses_its_bytes(database: Database, now: datetime) -> None:
    first = prepared(database, now)
    with database.transaction() as tx:
        deliveries.handed_over(tx, first.id, reply="250 ok", now=now)
        deliveries.refused(tx, first.id, reply="too late to refuse")
    again = found(database)
    assert again is not None
    assert (again.state, again.message, again.message_id) == ("handed_over", None, "<1@x>")
    assert prepared(database, now).state == "handed_over"


def test_refused_and_superseded_are_final(database: Database, now: datetime) -> None:
    for closing, state in ((lambda tx, i: deliveries.refused(tx, i, reply="550"), "refused"),
                           (deliveries.superseded, "superseded")):  # fmt: skip
        one = prepared(database, now, message_id=f"<{state}@x>")
        with database.transaction() as tx:
            closing(tx, one.id)
        again = found(database)
        assert again is not None
        assert (again.state, again.message) == (state, None)
