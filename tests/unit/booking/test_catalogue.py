"""Which operators and services there are."""

from __future__ import annotations

import pytest

from booking import setup
from booking.catalogue import offering, offering_by_id, offerings_of, spec_of
from booking.errors import NotFound
from ledger.db import Database
from tests.support.desk import SPEC, Desk


@pytest.fixture
def desk(sqlite: Database) -> Desk:
    return Desk(sqlite).open(talk={"title": "Talk"}, walk={"title": "Walk", "texts": {"de": {"title": "Spaziergang"}}})


def test_a_service_comes_with_everything_to_decide_by(desk: Desk) -> None:
    with desk.database.reading() as tx:
        talk = offering(tx, "anna", "talk")
    assert (talk.operator_id, talk.operator_name, talk.operator_email, talk.timezone) == (
        1,
        "Anna",
        "anna@practice.example",
        "UTC",
    )
    assert (talk.service_id, talk.active, talk.spec.title, talk.rules.capacity) == (1, True, "Talk", 1)
    assert talk.rules.labels == {"talk"}
    assert talk.rules.rivals == {"walk", "spaziergang"}


def test_what_is_switched_off_is_known_by_its_id_alone(desk: Desk) -> None:
    with desk.database.transaction() as tx:
        setup.change_service(tx, "anna", "walk", spec=None, active=False, now=desk.now)
        with pytest.raises(NotFound):
            offering(tx, "anna", "walk")
        assert not offering_by_id(tx, 2).active
        assert [o.slug for o in offerings_of(tx, 1)] == ["talk"]
        setup.change_operator(tx, "anna", {"active": False}, now=desk.now)
        assert offerings_of(tx, 1) == []
        assert offering_by_id(tx, 1).slug == "talk"


@pytest.mark.parametrize(("operator", "service"), [("anna", "run"), ("ben", "talk"), ("", ""), ("anna", "Talk")])
def test_what_is_not_there(desk: Desk, operator: str, service: str) -> None:
    with desk.database.reading() as tx:
        with pytest.raises(NotFound):
            offering(tx, operator, service)
        with pytest.raises(NotFound):
            offering_by_id(tx, 99)


def test_a_stored_spec_is_parsed_once() -> None:
    assert spec_of(SPEC) is spec_of(dict(reversed(list(SPEC.items()))))
    assert spec_of({**SPEC, "title": "other"}) is not spec_of(SPEC)
