"""What is removed leaves nothing behind that would open or hold what comes after it.

Covers: api.scopes, api.keys, api.admin.books, booking.setup.
"""

from __future__ import annotations

from typing import Any

import pytest

from ledger import pauses
from ledger.db import Database
from tests.support.doors import Doors, open_doors

BEN = {"slug": "ben", "name": "Ben", "email": "ben@practice.example", "timezone": "UTC"}
SERVICE = {"slug": "tmp", "spec": {"title": "Short", "duration_minutes": 30}}


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    opened = open_doors(sqlite)
    assert opened.admin("POST", "/operators", json=BEN).status_code == 201
    assert opened.admin("POST", "/operators/ben/services", json=SERVICE).status_code == 201
    return opened


def paused(doors: Doors, scope: str) -> int:
    made = doors.admin("POST", "/pauses", json={"scope": scope, "automations": ["promote"]})
    assert made.status_code == 201
    return int(made.json()["id"])


def in_force(doors: Doors, **options: Any) -> list[int]:
    return [each["id"] for each in doors.admin("GET", "/pauses", **options).json()["items"]]


def test_a_pause_ends_with_its_service(doors: Doors) -> None:
    paused(doors, "service:ben/tmp")
    kept = paused(doors, "service:anna/talk")
    assert doors.admin("DELETE", "/operators/ben/services/tmp").status_code == 204
    assert in_force(doors) == [kept]


def test_a_pause_ends_with_its_operator(doors: Doors) -> None:
    paused(doors, "operator:ben")
    paused(doors, "service:ben/tmp")
    kept = paused(doors, "operator:anna")
    assert doors.admin("DELETE", "/operators/ben").status_code == 204
    assert in_force(doors) == [kept]


@pytest.mark.parametrize("kind", ["service", "slot", "booking"])
def test_a_pause_of_what_is_gone_is_the_admins_and_in_nobodys_way(doors: Doors, kind: str) -> None:
    with doors.desk.database.transaction() as tx:  # as an earlier version left them
        gone = pauses.pause(tx, scope=kind, target="4711", automations=["promote"], now=doors.desk.now)
    anna = doors.token("operator:anna")
    assert in_force(doors, token=anna) == []
    assert in_force(doors) == [gone]
    assert doors.admin("GET", "/status", token=anna).status_code == 200
    assert doors.admin("DELETE", f"/pauses/{gone}", token=anna).status_code in (403, 404)
    assert doors.admin("DELETE", f"/pauses/{gone}").status_code == 200
    assert in_force(doors) == []


def test_a_key_opens_no_later_operators_door(doors: Doors) -> None:
    key, annas = doors.token("operator:ben"), doors.token("operator:anna")
    assert doors.admin("DELETE", "/operators/ben", token=doors.token("admin")).status_code == 204
    assert doors.admin("POST", "/operators", json=BEN).status_code == 201
    assert doors.admin("GET", "/operators", token=key).status_code == 401
    assert doors.admin("GET", "/operators", token=annas).status_code == 200
