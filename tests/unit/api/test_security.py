"""What every answer carries.

Covers: api.security.
"""

from __future__ import annotations

import pytest

from ledger.db import Database
from ledger.settings import Settings
from tests.support.desk import Desk
from tests.support.doors import Doors, open_doors

PATHS = (
    "/",
    "/en/anna/talk",
    "/api/v1/operators/anna",
    "/api/v1/admin/bookings",
    "/static/site.css",
    "/livez",
    "/none",
    "/login",
)


@pytest.mark.parametrize("path", PATHS)
def test_no_answer_is_guessed_at_and_no_address_told(sqlite: Database, path: str) -> None:
    answer = open_doors(sqlite).client.get(path)
    assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
    assert answer.headers.get_list("referrer-policy") == ["same-origin"]
    assert "strict-transport-security" not in answer.headers


def test_behind_https_nothing_else_is_asked_for(sqlite: Database) -> None:
    doors = Doors(Desk(sqlite).open(talk={}), Settings(base_url="https://book.example.org", rate_per_minute=0))
    for path in PATHS:
        assert doors.client.get(path).headers.get_list("strict-transport-security") == ["max-age=31536000"]


def test_what_a_page_says_about_itself_stands(sqlite: Database) -> None:
    answer = open_doors(sqlite).client.post("/operator/bookings/none", data={"key": "sl_x"})
    assert answer.headers.get_list("referrer-policy") == ["no-referrer"]
