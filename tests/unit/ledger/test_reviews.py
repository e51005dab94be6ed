"""One open question for one matter."""

from __future__ import annotations

from datetime import datetime
from typing import get_args

from api.reviewing import CHOICES
from api.signin.words import _WORDS
from ledger import reviews
from ledger.db import Database, Tx


def ask(tx: Tx, key: str, now: datetime, operator_id: int = 1) -> bool:
    return reviews.ask(tx, "overlap", key, now=now, operator_id=operator_id, slot_id=3, detail={"why": key})


def test_the_same_matter_is_asked_once_while_it_is_open(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        assert ask(tx, "a", now)
        assert not ask(tx, "a", now)
        assert ask(tx, "b", now)
        listed = reviews.listing(tx)
        assert [(r["key"], r["detail"], r["slot_id"]) for r in listed] == [
            ("a", {"why": "a"}, 3),
            ("b", {"why": "b"}, 3),
        ]


def test_what_was_decided_stays_decided_and_may_be_asked_anew(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        ask(tx, "a", now)
        (review,) = reviews.listing(tx)
        assert reviews.resolve(tx, review["id"], state="approved", by="admin", now=now, choice="entry:2")
        assert not reviews.resolve(tx, review["id"], state="dismissed", by="other", now=now)
        assert reviews.listing(tx) == []
        (decided,) = reviews.listing(tx, state="approved")
        assert (decided["resolved_by"], decided["choice"], decided["resolved_at"]) == ("admin", "entry:2", now)
        assert reviews.one(tx, review["id"]) == decided
        assert ask(tx, "a", now)
        assert [r["id"] for r in reviews.listing(tx)] != [review["id"]]


def test_what_people_are_told_of_is_a_kind_that_can_be_asked_for() -> None:
    assert {*CHOICES, *_WORDS["review"]} <= set(get_args(reviews.Kind))


def test_an_operator_reads_their_own(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        ask(tx, "a", now, operator_id=1)
        ask(tx, "b", now, operator_id=2)
        assert [r["key"] for r in reviews.listing(tx, operator_id=2)] == ["b"]
        assert reviews.one(tx, 99) is None
        assert not reviews.resolve(tx, 99, state="approved", by="admin", now=now)
