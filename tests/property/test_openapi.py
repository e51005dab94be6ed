"""The whole OpenAPI document against the doors: no error of ours, no answer that isn't written down, bodies as promised;
and every call of the admin API refused to whoever may not make it.

Covers: api.openapi, api.admin.common, api.admin.shapes.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import description
from ledger import reviews
from ledger.db import open_database
from ledger.tables import Calendar, Connection
from tests.support.databases import migrated
from tests.support.desk import Desk, person
from tests.support.doors import Doors, open_doors

EXAMPLES = 6
"""Of each call, after one that is right: as the document has it, against its rules, and the right one with something
else in it."""
CHECKS: list[Any] = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
]  # fmt: skip
DOCUMENT = description()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
CALLS = [
    (method.upper(), path)
    for path, item in DOCUMENT["paths"].items()
    for method in item
    if method in ("get", "post", "put", "patch", "delete")
]
ROOT = "/api/v1/admin"
ADMIN = [(method, path) for method, path in CALLS if path.startswith(f"{ROOT}/")]
START = "2027-01-13T09:00:00Z"
TALK = {"title": "Talk", "duration_minutes": 60, "hours": {"wed": ["08:00-12:00"]}}
SERVICE = "/api/v1/operators/{operator}/services/{service}"
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", f"{SERVICE}/holds"): {"start": START},
    ("POST", f"{SERVICE}/bookings"): {"start": START, "client": person("eva"), "answers": {"note": "x"}},
    ("POST", f"{SERVICE}/waitlist"): {"client": person("eva"), "wish": {"start": START}},
    ("POST", "/api/v1/bookings/{token}/cancel"): {"reason": "ill"},
    ("POST", "/api/v1/bookings/{token}/reschedule"): {"start": START},
    ("POST", f"{ROOT}/operators"): {"slug": "cleo", "name": "Cleo", "email": "c@practice.example", "timezone": "UTC"},
    ("PATCH", f"{ROOT}/operators/{{slug}}"): {"name": "Anna Kis"},
    ("POST", f"{ROOT}/operators/{{slug}}/services"): {"slug": "walk", "spec": TALK},
    ("PUT", f"{ROOT}/operators/{{slug}}/services/{{service}}"): {"spec": TALK, "active": True},
    ("POST", f"{ROOT}/bookings/{{booking_id}}/cancel"): {"reason": "ill"},
    ("POST", f"{ROOT}/bookings/{{booking_id}}/reschedule"): {"start": START},
    ("POST", f"{ROOT}/bookings/{{booking_id}}/address"): {"email": "eva@new.example"},
    ("POST", f"{ROOT}/waitlist/{{entry_id}}/promote"): {"start": START},
    ("POST", f"{ROOT}/waitlist/{{entry_id}}/prioritise"): {"priority": 3},
    ("POST", f"{ROOT}/pauses"): {"scope": "operator:anna", "automations": ["all"]},
    ("POST", f"{ROOT}/reviews/{{review_id}}/approve"): {"choice": ""},
    ("POST", f"{ROOT}/connections"): {"operator": "anna", "provider": "ics", "url": "http://127.0.0.1:9/"},
    ("POST", f"{ROOT}/connections/links"): {"operator": "anna", "provider": "caldav"},
    ("PATCH", f"{ROOT}/connections/{{connection_id}}"): {"voice": "service"},
    ("PATCH", f"{ROOT}/calendars/{{calendar_id}}"): {"busy": True, "all_day_blocks": False},
    ("POST", f"{ROOT}/webhooks"): {"url": "https://hooks.example/y", "operator": "anna", "events": ["booking.booked"]},
    ("PATCH", f"{ROOT}/webhooks/{{webhook_id}}"): {"description": "x"},
    ("POST", f"{ROOT}/webhooks/{{webhook_id}}/rotate"): {"overlap_hours": 1},
    ("POST", f"{ROOT}/webhooks/{{webhook_id}}/resume"): {"after": 0},
    ("POST", f"{ROOT}/webhooks/{{webhook_id}}/replay"): {"after": 0},
    ("POST", f"{ROOT}/clients/export"): {"email": "kata@example.org"},
    ("POST", f"{ROOT}/clients/erase"): {"email": "kata@example.org", "cancel": True},
    ("POST", f"{ROOT}/tokens"): {"name": "ops", "scope": "read"},
}
"""What is right, for every call that takes something."""
QUERIES: dict[str, dict[str, Any]] = {f"{SERVICE}/slots": {"from": "2027-01-11", "to": "2027-01-14"}}
EXPECTED = {
    ("POST", "/api/v1/waitlist/{token}/accept"): {410},  # nobody offered anything
    ("POST", f"{ROOT}/bookings/{{booking_id}}/no-show"): {409},  # it hasn't begun
    ("POST", "/api/v1/waitlist/{token}/decline"): {410},
    ("DELETE", f"{ROOT}/operators/{{slug}}"): {409},  # she has been booked
    ("DELETE", f"{ROOT}/operators/{{slug}}/services/{{service}}"): {409},
    ("POST", f"{ROOT}/bookings/{{booking_id}}/decline"): {409},  # it needs no approval
    ("POST", f"{ROOT}/bookings/{{booking_id}}/undo-no-show"): {409},
    ("POST", f"{ROOT}/connections"): {422},  # nobody is there
    ("POST", f"{ROOT}/webhooks/{{webhook_id}}/resume"): {409},  # it is active
}
"""Of right calls that this world can't grant."""
FOR_ALL = {"/operators", "/services", "/bookings", "/waitlist", "/pauses", "/reviews", "/connections", "/calendars",
           "/webhooks", "/events", "/status"}  # fmt: skip
"""Lists that everybody with a key may read, each their own part of it."""
FOR_ADMINS = ("/operators", "/outbox", "/tokens", "/audit", "/clients")
"""Where an operator's key opens nothing, or opens nothing new."""


@dataclass(frozen=True)
class Seed:
    """Anna's practice with one of everything, Ben's beside it, and the names of what is there; to be copied."""

    file: Path
    operator_id: int
    known: dict[str, list[str]]
    keys: dict[str, str]


@dataclass(frozen=True)
class World:
    """One's own copy of it."""

    doors: Doors
    seed: Seed


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    folder = tmp_path_factory.mktemp("seed")
    with migrated("sqlite", folder) as database:
        return seeded(
            open_doors(database, talk={"fields": [{"name": "note"}]}, group={"capacity": 3, "confirmation": "approval"})
        )


@pytest.fixture
def world(seed: Seed, tmp_path: Path) -> Iterator[World]:
    shutil.copy(seed.file, tmp_path / "ledger.db")
    database = open_database(f"sqlite:///{tmp_path}/ledger.db")
    yield World(Doors(Desk(database, operator_id=seed.operator_id)), seed)
    database.dispose()


def seeded(doors: Doors) -> Seed:
    """Each path of the document leads somewhere."""
    desk = doors.desk
    booking, pending = desk.book(desk.at(9, 1), "kata"), desk.book(desk.at(10, 1), "jon", "group")
    lines = [desk.join(who, {"start": desk.at(9, 1)}) for who in ("vera", "mark")]
    hold = desk.hold(desk.at(11, 1))
    with desk.database.transaction() as tx:
        account = {
            "operator_id": desk.operator_id, "provider": "caldav", "url": "https://127.0.0.1/", "username": "anna",
            "state_since": desk.now, "created_at": desk.now,
        }  # fmt: skip
        connection = tx.execute(sa.insert(Connection).values(account).returning(Connection.id)).scalar_one()
        calendar = {
            "connection_id": connection,
            "operator_id": desk.operator_id,
            "href": "x",
            "name": "x",
            "writable": False,
        }
        tx.execute(sa.insert(Calendar).values(calendar))
        reviews.ask(tx, "overlap", "x", now=desk.now, operator_id=desk.operator_id, detail={"why": "x"})
    made = {"url": "https://hooks.example/x", "operator": "anna"}
    assert doors.admin("POST", "/webhooks", json=made).status_code == 201
    assert doors.admin("POST", "/pauses", json={"scope": "operator:anna", "automations": ["remind"]}).status_code == 201
    ben = {"slug": "ben", "name": "Ben", "email": "ben@practice.example", "timezone": "UTC"}
    assert doors.admin("POST", "/operators", json=ben).status_code == 201
    known = {
        "operator": ["anna", "ben"], "slug": ["anna", "ben"], "service": ["talk", "group"],
        "token": [desk.seen(booking).token, *lines, hold], "place": lines, "booking_id": [booking, pending],
    }  # fmt: skip
    keys = {scope: doors.token(scope) for scope in ("admin", "read", "operator:ben")}
    return Seed(Path(desk.database.engine.url.database or ""), desk.operator_id, known, keys)


def known(seed: Seed, path: str, name: str) -> list[str]:
    """What stands for a parameter of a path."""
    return seed.known.get("place" if name == "token" and "waitlist" in path else name, ["1"])


def names(path: str) -> list[str]:
    """The parameters of a path."""
    return re.findall(r"{(\w+)}", path)


def sent(doors: Doors, case: Any) -> Any:
    """The answer to a generated call."""
    request = requests.Request(**case.as_transport_kwargs(base_url="http://testserver")).prepare()
    body = request.body.encode() if isinstance(request.body, str) else request.body
    return doors.client.request(request.method, request.url, content=body, headers=dict(request.headers))


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_every_answer_is_as_it_is_written_down(world: World, method: str, path: str) -> None:
    operation = SCHEMA[path][method]
    headers = {"Authorization": f"Bearer {world.seed.keys['admin']}"} if (method, path) in ADMIN else {}
    cases = st.one_of(
        operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
        operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
    )

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=cases, data=st.data())
    def run(case: Any, data: st.DataObject) -> None:
        for name in names(path):
            if data.draw(st.integers(0, 3)):
                case.path_parameters[name] = data.draw(st.sampled_from(known(world.seed, path, name)))
        if path in QUERIES and data.draw(st.booleans()):
            case.query = QUERIES[path]
        right = BODIES.get((method, path))
        if right is not None and data.draw(st.booleans()):
            case.body = mixed(data, right, case.body)
            case.media_type = "application/json"
        case.headers = {**(case.headers or {}), **headers}
        case.validate_response(sent(world.doors, case), checks=CHECKS)

    right = operation.Case(
        path_parameters={name: known(world.seed, path, name)[0] for name in names(path)},
        query=QUERIES.get(path, {}),
        headers=headers,
        **({"body": BODIES[method, path], "media_type": "application/json"} if (method, path) in BODIES else {}),
    )
    for key in ("", "sl_wrong", world.seed.keys["read"], world.seed.keys["operator:ben"]) if headers else ():
        right.headers = {"Authorization": f"Bearer {key}"} if key else {}
        right.validate_response(sent(world.doors, right), checks=CHECKS)  # what is refused is written down as well
    right.headers = headers
    answer = sent(world.doors, right)
    assert answer.status_code in EXPECTED.get((method, path), {200, 201, 202, 204}), answer.text
    right.validate_response(answer, checks=CHECKS)
    run()


def mixed(data: st.DataObject, right: dict[str, Any], other: Any) -> dict[str, Any]:
    """The right body; or with one thing in it as generated."""
    strange = sorted(other) if isinstance(other, dict) else []
    if not strange or data.draw(st.booleans()):
        return right
    name = data.draw(st.sampled_from(strange))
    return {**right, name: other[name]}


def called(world: World, method: str, path: str, key: str | None) -> Any:
    """A call that is right in all but, perhaps, its key."""
    body = BODIES.get((method, path))
    for name in names(path):
        path = path.replace(f"{{{name}}}", known(world.seed, path, name)[0])
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return world.doors.client.request(method, path, json=body, headers=headers)


def test_every_body_that_is_called_right_is_taken() -> None:
    """The lists above are of this document."""
    assert BODIES.keys() <= set(CALLS)
    taking = {(m, p) for m, p in CALLS if "requestBody" in DOCUMENT["paths"][p][m.lower()]}
    assert taking == BODIES.keys()


def test_no_call_is_open_to_who_may_not_make_it(world: World) -> None:
    keys = world.seed.keys
    for method, path in ADMIN:
        for key in (None, "", "sl_wrong", keys["admin"] + "x"):
            refused = called(world, method, path, key)
            assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized"), (method, path)
        read = called(world, method, path, keys["read"])
        if method != "GET" or path.startswith((f"{ROOT}/tokens", f"{ROOT}/audit")):
            assert (read.status_code, read.json()["code"]) == (403, "forbidden"), (method, path)
        else:
            assert read.status_code == 200, (method, path)


def test_another_operators_things_do_not_exist(world: World) -> None:
    for method, path in ADMIN:
        theirs = called(world, method, path, world.seed.keys["operator:ben"])
        what = path.removeprefix(ROOT)
        if method == "GET" and what in FOR_ALL:
            assert theirs.status_code == 200, (method, path)
            assert not re.search("anna|kata|jon|vera", theirs.text, re.IGNORECASE), (method, path)
        elif what.startswith(FOR_ADMINS) and "{slug}" not in what:
            assert (theirs.status_code, theirs.json()["code"]) == (403, "forbidden"), (method, path)
        else:
            assert (theirs.status_code, theirs.json()["code"]) == (404, "not_found"), (method, path)


def test_what_is_refused_changes_nothing(world: World) -> None:
    def counted() -> dict[str, int]:
        with world.doors.desk.database.reading() as tx:
            tables = sa.inspect(tx).get_table_names()
            return {t: tx.execute(sa.select(sa.func.count()).select_from(sa.table(t))).scalar_one() for t in tables}

    before = counted()
    for method, path in ADMIN:
        if method != "GET":
            for key in (None, world.seed.keys["read"], world.seed.keys["operator:ben"]):
                assert called(world, method, path, key).status_code in (401, 403, 404)
    assert counted() == before
