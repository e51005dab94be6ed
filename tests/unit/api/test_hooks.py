"""Where providers call: only a channel's own secret does anything, and what it does is rows. Covers: api.hooks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from api.limits import LARGEST_BODY
from ledger.db import Database
from ledger.messages import CloseChannel, OpenChannel, PullCalendar
from ledger.tables import Calendar, Channel, Connection, OutboxMessage
from ledger.vault import Vault
from sync.hints import secret_context
from tests.support.doors import Doors, open_doors

VAULT = Vault("for-tests-only-0123456789")
SECRET = "the secret of this channel"


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    return open_doors(sqlite)


def channel(doors: Doors, provider: str, *, state: str = "open", number: int = 1, **values: Any) -> str:
    """A channel of a calendar of its own; its id."""
    now, channel_id = doors.desk.now, f"{number:032x}"
    with doors.desk.database.transaction() as tx:
        connection = tx.execute(
            sa.insert(Connection)
            .values(operator_id=doors.desk.operator_id, provider=provider, state_since=now, created_at=now)
            .returning(Connection.id)
        ).scalar_one()
        calendar = tx.execute(
            sa.insert(Calendar)
            .values(
                connection_id=connection, operator_id=doors.desk.operator_id, href="c", busy=True,
                due_at=now + timedelta(minutes=30),
            )
            .returning(Calendar.id)
        ).scalar_one()  # fmt: skip
        known = {"remote_id": channel_id if provider == "google" else f"sub-{number}", "resource_id": "resource"}
        tx.execute(
            sa.insert(Channel).values(
                **{
                    "id": channel_id, "calendar_id": calendar, "provider": provider, "state": state, "created_at": now,
                    "address": "x", "secret": VAULT.seal(f"{channel_id}.{SECRET}", secret_context(channel_id)),
                    "next_at": now, "opened_at": now, "expires_at": now + timedelta(days=6), **known, **values,
                }
            )
        )  # fmt: skip
    return channel_id


def row(doors: Doors, channel_id: str) -> Any:
    with doors.desk.database.reading() as tx:
        return tx.execute(sa.select(Channel.__table__).where(Channel.id == channel_id)).one()


def asked(doors: Doors) -> list[tuple[str, str]]:
    """Kinds and states of everything in the outbox."""
    with doors.desk.database.reading() as tx:
        return [tuple(r) for r in tx.execute(sa.select(OutboxMessage.kind, OutboxMessage.state))]


def ring(doors: Doors, channel_id: str, **headers: str) -> Any:
    given = {
        "X-Goog-Channel-ID": channel_id,
        "X-Goog-Channel-Token": f"{channel_id}.{SECRET}",
        "X-Goog-Resource-ID": "resource",
        "X-Goog-Resource-State": "exists",
        "X-Goog-Message-Number": "7",
    }
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return doors.client.post("/hooks/google", headers=given)


def test_google_asks_for_a_pull_and_a_burst_is_one(doors: Doors) -> None:
    known = channel(doors, "google", silent=3)
    for _ in range(3):
        answer = ring(doors, known)
        assert (answer.status_code, answer.content) == (204, b"")
    assert asked(doors) == [("PullCalendar", "waiting")]
    assert (row(doors, known).heard_at, row(doors, known).silent) == (doors.desk.now, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"X_Goog_Channel_ID": "f" * 32}, {"X_Goog_Channel_ID": ""}, {"X_Goog_Channel_Token": ""},
        {"X_Goog_Channel_Token": f"{1:032x}.{SECRET} "}, {"X_Goog_Channel_Token": SECRET},
        {"X_Goog_Resource_ID": "another"}, {"X_Goog_Resource_ID": ""}, {"X_Goog_Channel_ID": "x" * 5000},
    ],
)  # fmt: skip
def test_google_without_the_secret_leaves_nothing_behind(doors: Doors, wrong: dict[str, str]) -> None:
    known = channel(doors, "google")
    answer = ring(doors, known, **wrong)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_channel")
    assert asked(doors) == []
    assert row(doors, known).heard_at is None


def test_googles_first_message_tells_what_the_lost_answer_did_not(doors: Doors) -> None:
    known = channel(doors, "google", state="opening", remote_id="", resource_id="", expires_at=None, opened_at=None)
    answer = ring(doors, known, X_Goog_Resource_State="sync", X_Goog_Channel_Expiration="Mon, 18 Jan 2027 06:00:00 GMT")
    assert answer.status_code == 204
    found = row(doors, known)
    assert (found.state, found.remote_id, found.resource_id) == ("opening", known, "resource")
    assert found.expires_at == datetime(2027, 1, 18, 6, tzinfo=UTC)
    assert asked(doors) == [("PullCalendar", "waiting")]


@pytest.mark.parametrize("state", ["lost", "refused", "closed"])
def test_a_channel_that_nobody_knew_to_be_open_is_closed_by_its_own_call(doors: Doors, state: str) -> None:
    known = channel(doors, "google", state=state, remote_id="", resource_id="")
    assert ring(doors, known).status_code == 204
    assert row(doors, known).state == "closing"
    assert {kind for kind, _ in asked(doors)} == {CloseChannel.__name__, PullCalendar.__name__}


def test_an_unreadable_expiry_is_no_reason_to_refuse(doors: Doors) -> None:
    known = channel(doors, "google")
    assert ring(doors, known, X_Goog_Channel_Expiration="soon").status_code == 204


def test_a_changed_key_of_the_deployment_opens_nothing(doors: Doors) -> None:
    known = channel(doors, "google")
    with doors.desk.database.transaction() as tx:
        sealed = Vault("another key, long enough").seal(f"{known}.{SECRET}", secret_context(known))
        tx.execute(sa.update(Channel).values(secret=sealed))
    assert ring(doors, known).status_code == 404


# --- Microsoft --------------------------------------------------------------------------------------------------------


def item(channel_id: str, number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "subscriptionId": f"sub-{number}", "clientState": f"{channel_id}.{SECRET}", "changeType": "updated",
        "resource": "Users/1/Events/2", "resourceData": {"id": "2"}, **changes,
    }  # fmt: skip


def post(doors: Doors, *items: Any) -> Any:
    return doors.client.post("/hooks/microsoft", json={"value": list(items)})


@pytest.mark.parametrize("token", ["abc", "Validation: <script>alert(1)</script> & more", "é 漢"])
def test_the_handshake_repeats_the_token_as_plain_text(doors: Doors, token: str) -> None:
    answer = doors.client.post("/hooks/microsoft", params={"validationToken": token})
    assert (answer.status_code, answer.text) == (200, token)
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert asked(doors) == []


def test_each_item_is_judged_by_its_own_secret(doors: Doors) -> None:
    one, two = channel(doors, "microsoft"), channel(doors, "microsoft", number=2)
    answer = post(
        doors,
        item(one),
        item(one),
        item(two, 2, clientState=f"{two}.wrong"),
        item(two, 1),
        item("f" * 32, 3),
        item(one, clientState=None),
        "no object",
    )
    assert (answer.status_code, answer.content) == (202, b"")
    assert asked(doors) == [("PullCalendar", "waiting")]
    assert row(doors, one).heard_at is not None
    assert row(doors, two).heard_at is None


@pytest.mark.parametrize("odd", ["\x00", "\ud800", "a" * 100_000, "\x00" * 32, "é" * 32, "%s" * 16])
def test_whatever_is_sent_no_database_stumbles(database: Database, odd: str) -> None:
    doors = open_doors(database)
    known = channel(doors, "microsoft")
    sent = [item(odd), item(known, clientState=odd), item(known, subscriptionId=odd), item(known, lifecycleEvent=odd)]
    answer = doors.client.post("/hooks/microsoft", content=json.dumps({"value": sent}))
    assert answer.status_code == 202
    assert asked(doors) == [("PullCalendar", "waiting")]  # the last one is the channel's, with an unknown event


def test_graphs_views_lag_so_the_calendar_is_read_again_soon(doors: Doors) -> None:
    known = channel(doors, "microsoft")
    post(doors, item(known))
    with doors.desk.database.reading() as tx:
        due = tx.execute(sa.select(Calendar.due_at)).scalar_one()
    assert timedelta(seconds=30) <= due - doors.desk.now <= timedelta(seconds=60)


@pytest.mark.parametrize(
    ("lifecycle", "kinds", "state"),
    [
        ("missed", {PullCalendar}, "open"),
        ("reauthorizationRequired", {OpenChannel}, "open"),
        ("subscriptionRemoved", {OpenChannel, PullCalendar}, "closed"),
    ],
)
def test_lifecycle_events(doors: Doors, lifecycle: str, kinds: set[type], state: str) -> None:
    known = channel(doors, "microsoft", next_at=doors.desk.now + timedelta(days=2))
    assert post(doors, item(known, lifecycleEvent=lifecycle)).status_code == 202
    assert {kind for kind, _ in asked(doors)} == {kind.__name__ for kind in kinds}
    assert row(doors, known).state == state
    if lifecycle == "reauthorizationRequired":
        assert row(doors, known).next_at == doors.desk.now


def test_an_answer_that_was_lost_is_known_by_the_first_notification(doors: Doors) -> None:
    known = channel(doors, "microsoft", state="lost", remote_id="", resource_id="")
    assert post(doors, item(known, 7)).status_code == 202
    found = row(doors, known)
    assert (found.state, found.remote_id) == ("closing", "sub-7")


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"value": 1}', b"\xff\xfe", b"null"])
def test_what_is_no_notification_is_refused(doors: Doors, body: bytes) -> None:
    answer = doors.client.post("/hooks/microsoft", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, asked(doors)) == (400, [])


def test_many_notifications_fit_into_one_call(doors: Doors) -> None:
    known = channel(doors, "microsoft")
    many = [item(known, resource="x" * 500) for _ in range(300)]
    assert len(str(many)) > 2 * LARGEST_BODY
    assert post(doors, *many).status_code == 202
    assert asked(doors) == [("PullCalendar", "waiting")]
    assert doors.client.post("/hooks/microsoft", content=b" " * (1024 * 1024 + 1)).status_code == 413


@pytest.mark.parametrize("path", ["/hooks/google", "/hooks/microsoft"])
def test_only_posts_come_in(doors: Doors, path: str) -> None:
    known = channel(doors, path.rpartition("/")[2])
    answer = doors.client.get(f"{path}?validationToken=x", headers={"X-Goog-Channel-ID": known})
    assert answer.status_code >= 300
    assert asked(doors) == []
