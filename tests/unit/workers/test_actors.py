"""One message: what is done is settled, what fails is noted, and the broker never sees an error."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from dramatiq.middleware import TimeLimitExceeded

from connectors.errors import Refused, Throttled, Unreachable
from ledger import messages, outbox, pauses, reviews
from ledger.backoff import NotYet
from ledger.db import Database, Tx
from ledger.outbox import Leased
from tests.support.worlds import Errand, Refresh, Step, append, known, states, world_of
from workers.actors import place, run_message
from workers.world import World

pytestmark = pytest.mark.usefixtures("kinds")


@pytest.fixture
def kinds() -> Iterator[None]:
    with known(Errand, Step, Refresh):
        yield


def queued(database: Database, now: datetime, message: Any = None) -> int:
    append(database, message or Errand(1), now=now)
    with database.transaction() as tx:
        ((row_id, _),) = outbox.lease(tx, now=now)
    return row_id


def settling(world: World, leased: Leased) -> None:
    with world.database.transaction() as tx:
        outbox.settle(tx, leased, now=world.clock())


def row(database: Database, row_id: int) -> dict[str, Any]:
    with database.reading() as tx:
        return next(r for state in ("", "done") for r in outbox.listing(tx, state=state) if r["id"] == row_id)


def test_a_handler_settles_and_a_second_delivery_finds_nothing_to_do(
    database: Database, now: datetime, tmp_path: Path
) -> None:
    seen: list[Leased] = []

    def handle(world: World, leased: Leased) -> None:
        seen.append(leased)
        settling(world, leased)

    world = world_of(database, tmp_path, handlers={Errand: handle}, now=lambda: now)
    row_id = queued(database, now)
    run_message(world, row_id)
    run_message(world, row_id)
    run_message(world, 999)
    assert [(leased.id, leased.attempt) for leased in seen] == [(row_id, 1)]
    assert row(database, row_id)["state"] == "done"


def test_a_reaction_and_its_settling_are_one_transaction(database: Database, now: datetime, tmp_path: Path) -> None:
    def react(world: World, tx: Tx, leased: Leased) -> None:
        reviews.ask(tx, "test", f"test:{leased.attempt}", now=now, operator_id=1)
        if leased.attempt == 1:
            raise RuntimeError("in the middle")

    world = world_of(database, tmp_path, reactions={Errand: react}, now=lambda: now)
    row_id = queued(database, now)
    run_message(world, row_id)
    failed = row(database, row_id)
    assert (failed["state"], failed["attempts"]) == ("waiting", 1)
    assert failed["last_error"] == "RuntimeError: in the middle"
    with database.transaction() as tx:
        assert reviews.listing(tx) == []
        assert outbox.lease(tx, now=failed["not_before"]) == [(row_id, "Errand")]
    run_message(world, row_id)
    with database.reading() as tx:
        assert [review["key"] for review in reviews.listing(tx)] == ["test:2"]
    assert row(database, row_id)["state"] == "done"


@pytest.mark.parametrize(
    ("error", "state", "after"),
    [
        (Unreachable("no answer"), "waiting", None),
        (Throttled("slow down", retry_after=77), "waiting", timedelta(seconds=77)),
        (NotYet("the pull", timedelta(seconds=5)), "waiting", timedelta(seconds=5)),
        (Refused("never"), "parked", None),
        (ValueError("a bug"), "waiting", None),
        (TimeLimitExceeded(), "waiting", None),
    ],
)
def test_a_failure_lives_in_the_row(
    sqlite: Database, now: datetime, tmp_path: Path, error: BaseException, state: str, after: timedelta | None
) -> None:
    def handle(world: World, leased: Leased) -> None:
        raise error

    world = world_of(sqlite, tmp_path, handlers={Errand: handle}, now=lambda: now)
    row_id = queued(sqlite, now)
    run_message(world, row_id)
    noted = row(sqlite, row_id)
    assert noted["state"] == state
    assert noted["attempts"] == (0 if isinstance(error, NotYet) else 1)
    assert noted["last_error"].startswith(type(error).__name__)
    if after is not None:
        assert noted["not_before"] == now + after


def test_the_log_names_the_row_and_the_class_of_the_error_and_not_its_words(
    sqlite: Database, now: datetime, tmp_path: Path
) -> None:
    def handle(world: World, leased: Leased) -> None:
        raise Refused("Jana Novak may not")

    world = world_of(sqlite, tmp_path, handlers={Errand: handle}, now=lambda: now)
    row_id = queued(sqlite, now)
    with structlog.testing.capture_logs() as log:
        run_message(world, row_id)
    (line,) = log
    assert (line["event"], line["log_level"], line["kind"], line["id"]) == ("message_parked", "error", "Errand", row_id)
    assert (line["error"], line["code"], line["attempt"]) == ("Refused", "refused", 1)
    assert "Jana" not in str(log)


def test_who_lost_the_lease_stores_nothing(database: Database, now: datetime, tmp_path: Path) -> None:
    later = now + timedelta(minutes=5)

    def slow(world: World, leased: Leased) -> None:
        with database.transaction() as tx:  # somebody else takes it over meanwhile
            outbox.lease(tx, now=later)
            assert outbox.begin(tx, leased.id, now=later) is not None
        settling(world, leased)

    def broken(world: World, leased: Leased) -> None:
        with database.transaction() as tx:
            outbox.lease(tx, now=later)
            assert outbox.begin(tx, leased.id, now=later) is not None
        raise Unreachable("too late anyway")

    for number, handler in enumerate((slow, broken)):
        world = world_of(database, tmp_path, handlers={Errand: handler}, now=lambda: now)
        row_id = queued(database, now, Errand(number))
        with structlog.testing.capture_logs() as log:
            run_message(world, row_id)
        assert row(database, row_id)["state"] == "running"
        assert row(database, row_id)["last_error"] == ""
        assert [line["event"] for line in log] == ["message_taken_over"]


def test_what_is_paused_between_queue_and_worker_waits(database: Database, now: datetime, tmp_path: Path) -> None:
    world = world_of(database, tmp_path, handlers={Refresh: settling}, now=lambda: now)
    row_id = queued(database, now, Refresh(1))
    with database.transaction() as tx:
        pauses.pause(tx, scope="global", target="", automations=["push"], now=now)
    run_message(world, row_id)
    assert states(database) == {row_id: "queued"}


def test_the_next_in_line_is_woken(sqlite: Database, now: datetime, tmp_path: Path) -> None:
    world = world_of(sqlite, tmp_path, handlers={Step: settling, Errand: settling}, now=lambda: now)
    append(sqlite, Step("a", 1), Step("a", 2), Errand(1), now=now)
    with sqlite.transaction() as tx:
        first, alone = outbox.lease(tx, now=now)
    woken: list[int] = []
    sqlite.on_commit(lambda: woken.append(1))
    run_message(world, alone[0])
    assert woken == []
    run_message(world, first[0])
    assert woken == [1]


def test_a_row_of_another_version_is_left_for_whoever_knows_it(
    sqlite: Database, now: datetime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(sqlite, tmp_path, now=lambda: now)
    row_id = queued(sqlite, now)
    monkeypatch.delitem(messages.KINDS, "Errand")
    with structlog.testing.capture_logs() as log:
        run_message(world, row_id)
    assert [line["event"] for line in log] == ["message_unreadable"]
    assert states(sqlite) == {row_id: "queued"}


def test_place_names_the_line() -> None:
    with pytest.raises(AttributeError) as raised:
        settling(None, None)  # type: ignore[arg-type]
    assert place(raised.value).startswith("workers/test_actors.py:")
    assert place(ValueError()) == ""
