"""Every change is written down with who, from where, what and when, in the transaction that makes it.

Covers: api.admin.record, api.admin.shapes, ledger.audit.
"""

from __future__ import annotations

import ast
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from api.cli.common import by_hand
from api.tables import ApiToken
from ledger import audit
from ledger.audit import Actor, AuditEntry
from ledger.db import Database
from tests.support.doors import Doors, open_doors

ROOT = Path(__file__).parents[3]


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    return open_doors(sqlite, talk={}, group={"capacity": 3, "confirmation": "approval"})


def written(doors: Doors, **filters: str) -> list[dict[str, Any]]:
    answer = doors.admin("GET", "/audit", params=filters)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def test_an_edit_is_written_down_with_what_was_before(doors: Doors) -> None:
    token = doors.token("admin")
    doors.admin("PATCH", "/operators/anna", token=token, json={"timezone": "Europe/Berlin", "name": "Anna"})
    (entry,) = written(doors)
    with doors.desk.database.reading() as tx:
        token_id = tx.execute(sa.select(sa.func.min(ApiToken.id))).scalar_one()
    assert entry == {
        "id": entry["id"], "at": "2027-01-11T06:00:00Z", "kind": "token", "actor_id": str(token_id), "actor": "admin",
        "address": "testclient", "action": "operator.changed", "target": "operator:anna", "operator": "anna",
        "before": {"timezone": "UTC"}, "after": {"timezone": "Europe/Berlin"},
    }  # fmt: skip


def test_what_failed_is_not_written_down(doors: Doors) -> None:
    assert doors.admin("PATCH", "/operators/anna", json={"timezone": "Mars"}).status_code == 422
    assert doors.admin("POST", "/bookings/none/cancel").status_code == 404
    assert doors.admin("PATCH", "/operators/anna", json={"name": "A"}, scope="read").status_code == 403
    assert written(doors) == []


def test_what_is_done_to_bookings_is_written_down_without_their_clients(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1), "kata")
    vera = doors.desk.join("vera", {"start": doors.desk.at(9, 1)})
    entry_id = doors.admin("GET", "/waitlist").json()["items"][0]["id"]
    doors.admin("POST", f"/waitlist/{entry_id}/prioritise", json={"priority": 3})
    doors.admin("POST", f"/bookings/{booking}/reschedule", json={"start": "2027-01-12T11:00:00Z"})
    doors.admin("POST", f"/bookings/{booking}/address", json={"email": "kata@new.example"})
    doors.admin("POST", f"/bookings/{booking}/cancel", json={"reason": "kata@example.org asked for it"})
    doors.admin("POST", f"/waitlist/{entry_id}/remove")
    told = written(doors)
    assert [(e["action"], e["target"]) for e in reversed(told)] == [
        ("waitlist.prioritised", f"waitlist:{entry_id}"),
        ("booking.rescheduled", f"booking:{booking}"),
        ("booking.address_changed", f"booking:{booking}"),
        ("booking.cancelled", f"booking:{booking}"),
        ("waitlist.removed", f"waitlist:{entry_id}"),
    ]
    assert told[1]["before"] == {"status": "confirmed", "revision": 2}
    assert told[1]["after"] == {"status": "cancelled", "revision": 3}
    assert (told[2]["before"], told[2]["after"]) == ({"revision": 1}, {"revision": 2})
    for secret in ("example.org", "new.example", "Kata", "Vera", vera):
        assert secret not in str(told)


def test_keys_and_secrets_are_not_in_it(doors: Doors) -> None:
    token = doors.admin("POST", "/tokens", json={"name": "ops", "scope": "read"}).json()["token"]
    made = doors.admin("POST", "/webhooks", json={"url": "https://hooks.example/x?key=theirs"}).json()
    again = doors.admin("POST", f"/webhooks/{made['id']}/rotate").json()
    told = str(written(doors))
    assert "webhook.secret_changed" in told
    for secret in (token, made["secret"], again["secret"], "theirs"):
        assert secret not in told


def test_it_is_read_page_by_page_and_by_whom_one_looks_for(doors: Doors) -> None:
    for name in ("A", "B", "C"):
        doors.admin("PATCH", "/operators/anna", json={"name": name})
    doors.desk.now += timedelta(hours=1)
    doors.admin("POST", "/pauses", json={"scope": "operator:anna", "automations": ["all"]})
    first = doors.admin("GET", "/audit?limit=3").json()
    rest = doors.admin("GET", f"/audit?limit=3&cursor={first['cursor']}").json()
    assert [e["action"] for e in first["items"]] == ["pause.begun", "operator.changed", "operator.changed"]
    assert [e["after"] for e in rest["items"]] == [{"name": "A"}]
    assert rest["cursor"] is None
    assert len(written(doors, action="operator.changed")) == 3
    assert len(written(doors, target="operator:anna", operator="anna", kind="token", actor="admin")) == 3
    assert len(written(doors, **{"from": "2027-01-11T06:30:00Z"})) == 1
    assert len(written(doors, to="2027-01-11T06:30:00Z")) == 3
    assert written(doors, kind="cli") == written(doors, operator="ben") == []


@pytest.mark.parametrize("scope", ["read", "operator:anna"])
def test_only_admins_read_it(doors: Doors, scope: str) -> None:
    assert doors.admin("GET", "/audit", scope=scope).status_code == 403


def test_it_is_there_with_the_change_or_not_at_all(doors: Doors) -> None:

    def change_its_mind() -> None:
        with doors.desk.database.transaction() as tx:
            audit.record(tx, Actor("cli", "root"), "x.done", "x:1", now=doors.desk.now)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change_its_mind()
    assert written(doors) == []


def test_a_signed_in_person_is_written_down_as_one(doors: Doors) -> None:
    person = Actor("user", "Anna", id="7", address="192.0.2.4")
    with doors.desk.database.transaction() as tx:
        audit.record(
            tx, person, "service.changed", "service:anna/talk", now=doors.desk.now, operator_id=doors.desk.operator_id,
            before={"password": "x", "capacity": 1, "nested": {"token": "x", "at": doors.desk.now}}, after={"capacity": 2},
        )  # fmt: skip
    (entry,) = written(doors)
    assert (entry["kind"], entry["actor"], entry["actor_id"], entry["address"]) == ("user", "Anna", "7", "192.0.2.4")
    assert entry["before"] == {"capacity": 1, "nested": {"at": "2027-01-11T06:00:00Z"}}


def test_what_is_old_is_forgotten(doors: Doors) -> None:
    doors.admin("PATCH", "/operators/anna", json={"name": "B"})
    with doors.desk.database.transaction() as tx:
        assert audit.forget(tx, doors.desk.now + audit.KEEP) == 0
        assert audit.forget(tx, doors.desk.now + audit.KEEP + timedelta(seconds=1)) == 1
        assert tx.execute(sa.select(AuditEntry.id)).first() is None


def test_no_admin_route_opens_a_transaction_of_its_own() -> None:
    """All go through `Acting.changing`, which writes down what was done; `Accounts.connect` is told what to note."""
    for path in sorted((ROOT / "api" / "admin").glob("*.py")):
        found = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if _opens(node)]
        assert len(found) == (1 if path.name == "common.py" else 0), path.name


def test_no_verb_changes_anything_without_a_record() -> None:
    silent = []
    for path in sorted((ROOT / "api" / "cli").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            inside = [n for n in ast.walk(node) if isinstance(n, ast.Call)]
            calls = {ast.unparse(n.func) for n in inside}
            if isinstance(node, ast.FunctionDef) and any(_opens(n) for n in inside) and "record" not in calls:
                silent.append(f"{path.name}: {node.name}")
            silent += [
                f"{path.name}:{n.lineno}"
                for n in inside
                if ast.unparse(n.func).partition("accounts.")[2] in ("assign", "connect", "set_voice", "disable")
                and "noted" not in {keyword.arg for keyword in n.keywords}
            ]
    assert silent == []


def _opens(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "transaction"


def test_the_command_line_names_its_user() -> None:
    actor = by_hand()
    assert actor.kind == "cli"
    assert actor.name
    assert actor.address == ""
