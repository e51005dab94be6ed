"""How often one may knock, in memory and in Redis.

Covers: api.rates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi.testclient import TestClient
from limits import RateLimitItemPerMinute

from api import rates
from api.rates import Rates, TooMany, rates_of
from ledger.db import Database
from ledger.settings import Settings
from tests.support.brokers import broker_url
from tests.support.browser import Browser, user
from tests.support.desk import Desk
from tests.support.doors import Doors

HOLDS = "/api/v1/operators/anna/services/talk/holds"


@pytest.fixture(params=["embedded", "redis"])
def broker(request: pytest.FixtureRequest) -> Iterator[str]:
    with broker_url(request.param) as url:
        yield url


def open_doors(database: Database, broker: str = "embedded:", per_minute: int = 6) -> Doors:
    return Doors(Desk(database).open(talk={"capacity": 50}, other={}), Settings(broker_url=broker, rate_per_minute=per_minute, form_seconds=0))  # fmt: skip


@dataclass
class Visitor:
    """Somebody at an address."""

    doors: Doors
    address: str

    def __call__(self, method: str, path: str, **options: Any) -> Any:
        client = TestClient(
            self.doors.client.app, raise_server_exceptions=False, follow_redirects=False, client=(self.address, 40000)
        )
        return client.request(method, path, **options)

    def hold(self, service: str = "talk") -> int:
        body = {"start": self.doors.desk.at(9 if service == "talk" else 11, 1).isoformat()}
        return int(self("POST", HOLDS.replace("talk", service), json=body).status_code)


def test_one_address_holds_only_so_often_and_others_go_on(sqlite: Database, broker: str) -> None:
    doors = open_doors(sqlite, broker)
    one, other = Visitor(doors, "192.0.2.1"), Visitor(doors, "192.0.2.2")
    assert [one.hold() for _ in range(7)] == [201] * 6 + [429]
    assert one.hold("other") == 429  # one count for every service
    assert other.hold() == 201
    assert one("GET", "/api/v1/operators/anna").status_code == 200  # looking is free
    assert one("POST", HOLDS.replace("/holds", "/bookings"), json={}).status_code == 422  # another rule, another count


def test_the_answer_says_when_to_come_again(sqlite: Database) -> None:
    doors = open_doors(sqlite, per_minute=1)
    visitor = Visitor(doors, "192.0.2.1")
    visitor.hold()
    body = {"start": doors.desk.at(9, 1).isoformat()}
    answer = visitor("POST", HOLDS, json=body)
    assert answer.status_code == 429
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "too_many_requests"
    assert 1 <= int(answer.headers["retry-after"]) <= 60


def test_people_get_a_page_in_their_language(sqlite: Database) -> None:
    doors = open_doors(sqlite, per_minute=1)
    visitor = Visitor(doors, "192.0.2.1")
    answers = [
        visitor("POST", "/de/anna/talk", data={"start": "x"}, headers={"Accept-Language": "de"}) for _ in range(2)
    ]
    assert [a.status_code for a in answers] == [303, 429]
    assert "Bitte etwas langsamer" in answers[1].text
    assert answers[1].headers["retry-after"]


def test_a_service_is_wanted_only_so_often_by_all_together(sqlite: Database, broker: str) -> None:
    doors = open_doors(sqlite, broker, per_minute=2)
    seen = [Visitor(doors, f"192.0.2.{n}").hold() for n in range(6)]
    assert seen == [201] * 4 + [429] * 2
    assert Visitor(doors, "192.0.2.100").hold("other") == 201


NAMES = {"{operator}": "anna", "{service}": "talk", "{language}": "en", "{provider}": "google"}


@pytest.mark.parametrize(("method", "path"), rates.RULES)
def test_every_counted_door_counts(sqlite: Database, method: str, path: str) -> None:
    visitor = Visitor(open_doors(sqlite, per_minute=10), "192.0.2.1")
    for name, value in NAMES.items():
        path = path.replace(name, value)
    seen = [visitor(method, path).status_code for _ in range(11)]
    assert seen[-1] == 429
    assert seen[0] != 429


@pytest.mark.parametrize(
    ("method", "path", "wrong"),
    [
        ("GET", "/api/v1/bookings/{}", 404),
        ("GET", "/en/b/{}", 404),
        ("POST", "/en/b/{}/cancel", 404),
        ("GET", "/en/w/{}", 404),
        ("GET", "/api/v1/waitlist/{}", 404),
        ("DELETE", "/api/v1/holds/{}", 204),
        ("GET", "/api/v1/admin/bookings", 401),
        ("POST", "/operator/bookings/x", 403),
        ("POST", "/admin/bookings/x", 403),
    ],
)
def test_wrong_links_and_keys_run_out(sqlite: Database, broker: str, method: str, path: str, wrong: int) -> None:
    visitor = Visitor(open_doors(sqlite, broker, per_minute=3), "192.0.2.1")

    def guess(number: int) -> int:
        headers = {"Authorization": f"Bearer sl_{number}"} if path.startswith("/api/v1/admin") else {}
        form = {"key": f"sl_{number}"} if path.endswith("/bookings/x") else None
        return int(visitor(method, path.format(f"guess-{number}"), headers=headers, data=form).status_code)

    seen = [guess(n) for n in range(5)]
    if wrong == 204:  # nobody learns whether there was such a hold
        assert seen == [204] * 5
    else:
        assert seen == [wrong] * 3 + [429] * 2


def test_the_right_link_and_key_never_run_out(sqlite: Database) -> None:
    doors = open_doors(sqlite, per_minute=3)
    visitor = Visitor(doors, "192.0.2.1")
    token = doors.desk.view(doors.desk.book(doors.desk.at(9, 1)))["token"]
    key = {"Authorization": f"Bearer {doors.token('read')}"}
    for _ in range(10):
        assert visitor("GET", f"/en/b/{token}").status_code == 200
        assert visitor("GET", "/api/v1/admin/bookings", headers=key).status_code == 200
        assert (
            visitor("GET", "/api/v1/admin/bookings/none", headers=key).status_code == 404
        )  # no guess: the key is good


# --- passwords ----------------------------------------------------------------------------------------------------


def tries(browser: Browser, who: str, number: int, **more: str) -> list[int]:
    found = []
    for _ in range(number):
        browser.get("/login")
        found.append(
            browser.post("/login", email=f"{who}@practice.example", **{"password": "wrong", **more}).status_code
        )
    return found


def test_passwords_are_tried_only_so_often_and_nobodys_account_is_locked(sqlite: Database, broker: str) -> None:
    doors = open_doors(sqlite, broker)
    user(doors, "anna", "operator:anna")
    attacker = Browser(doors)
    most = rates.SIGN_INS[1].amount
    assert tries(attacker, "anna", most + 1) == [401] * most + [429]
    assert tries(attacker, "anna", 1, password="a good long password") == [429]
    owner = Browser(doors)
    owner.client = TestClient(
        doors.client.app, base_url="http://127.0.0.1:8000", follow_redirects=False, client=("192.0.2.9", 40000)
    )
    assert owner.sign_in("anna").status_code == 303


def test_who_has_an_account_and_who_has_none_run_out_alike(sqlite: Database) -> None:
    doors = open_doors(sqlite)
    user(doors, "anna", "operator:anna")
    assert tries(Browser(doors), "anna", 11) == tries(Browser(doors), "nobody", 11)


def test_the_right_password_is_not_counted(sqlite: Database) -> None:
    doors = open_doors(sqlite)
    user(doors, "anna", "operator:anna")
    for _ in range(rates.SIGN_INS[0].amount + 5):
        assert Browser(doors).sign_in("anna").status_code == 303


def test_an_address_tries_many_users_only_so_often(sqlite: Database) -> None:
    doors = open_doors(sqlite)
    browser = Browser(doors)
    seen = [tries(browser, f"user{n}", 1)[0] for n in range(rates.SIGN_INS[0].amount + 1)]
    assert seen == [401] * rates.SIGN_INS[0].amount + [429]


def test_asking_for_the_old_password_counts_too(sqlite: Database) -> None:
    """A stolen session doesn't help to find the password."""
    doors = open_doors(sqlite)
    user(doors, "anna", "operator:anna")
    browser = Browser(doors)
    browser.sign_in("anna")
    browser.get("/operator/account")
    seen = [browser.post("/operator/account/codes/off", password="wrong").status_code for _ in range(11)]
    assert seen == [422] * 10 + [429]


# --- the counts ---------------------------------------------------------------------------------------------------


def test_0_is_no_limit(sqlite: Database) -> None:
    doors = open_doors(sqlite, per_minute=0)
    visitor = Visitor(doors, "192.0.2.1")
    assert {visitor.hold() for _ in range(40)} == {201}
    assert set(tries(Browser(doors), "nobody", 12)) == {401}


def test_programs_on_this_machine_stand_for_many(sqlite: Database) -> None:
    doors = open_doors(sqlite, per_minute=2)
    here = Visitor(doors, "127.0.0.1")
    seen = [here.hold() for _ in range(21)]
    assert seen == [201] * 20 + [429]


def test_ipv6_is_counted_by_its_network(sqlite: Database) -> None:
    doors = open_doors(sqlite, per_minute=2)
    assert [Visitor(doors, f"2001:db8:0:1::{n}").hold() for n in range(1, 4)] == [201, 201, 429]
    assert Visitor(doors, "2001:db8:0:2::1").hold() == 201
    assert Visitor(doors, "::ffff:192.0.2.7").hold() == 201


def test_a_redis_that_is_away_neither_locks_out_nor_lets_in_for_free() -> None:
    away = Rates("redis://127.0.0.1:1/0", 5)
    limit = RateLimitItemPerMinute(2)
    for _ in range(2):
        away.count(limit, "hold", "192.0.2.1")
    with pytest.raises(TooMany):
        away.count(limit, "hold", "192.0.2.1")


def test_processes_with_one_redis_count_together_and_other_deployments_apart() -> None:
    limit = RateLimitItemPerMinute(2)
    with broker_url("redis") as url, broker_url("redis") as elsewhere:
        first, second, other = (rates_of(Settings(broker_url=u)) for u in (url, url, elsewhere))
        first.count(limit, "hold", "a")
        second.count(limit, "hold", "a")
        for each in (first, second):
            with pytest.raises(TooMany) as refused:
                each.look(limit, "hold", "a")
            assert 1 <= refused.value.retry_after <= 60
        other.look(limit, "hold", "a")
