"""One message, from its row to its row: begin, handle, settle or note the failure. Never raises what a broker would see."""

from __future__ import annotations

import random
import time
from pathlib import PurePath

from dramatiq.middleware import Interrupt

from connectors.errors import ConnectorError
from ledger import observe, outbox
from ledger.backoff import NotYet
from ledger.observe import Event
from ledger.outbox import Leased, LeaseLost
from workers.world import World


def run_message(world: World, message_id: int) -> None:
    """Do what an outbox row asks for. A row that is done, paused or in other hands is left alone.

    Whatever goes wrong is noted in the row, which is the only retry; nothing is raised, because the embedded broker would
    keep a failed message for ever.
    """
    started = time.monotonic()
    try:
        leased, error = _attempt(world, message_id)
        if leased is None:
            return
        kind = type(leased.message).__name__
        if error is None:
            outcome = "done"
            observe.log.debug(Event.MESSAGE_DONE, kind=kind, id=leased.id, attempt=leased.attempt)
        else:
            outcome = _note(world, leased, error)
        observe.messages_total.labels(kind, outcome).inc()
        observe.message_seconds.labels(kind).observe(time.monotonic() - started)
        if leased.message.line != leased.message.key:
            world.database.wake()  # the next in its line may go now
    except Exception as error:
        # The database is away, or the row is of another version: its lease ends, and it is handed out again.
        observe.log.error(Event.MESSAGE_UNREADABLE, id=message_id, error=type(error).__name__, where=place(error))


def _attempt(world: World, message_id: int) -> tuple[Leased | None, BaseException | None]:
    leased: Leased | None = None
    try:
        with world.database.transaction() as tx:
            leased = outbox.begin(tx, message_id, now=world.clock(), lease_for=world.leases.lease_for)
            if leased is None:
                return None, None
            react = world.reactions.get(type(leased.message))
            if react is not None:
                react(world, tx, leased)
                outbox.settle(tx, leased, now=world.clock())
                return leased, None
    except (Exception, Interrupt) as error:
        if leased is None:
            raise
        return _begun_again(world, message_id), error
    try:
        with world.leases.holding(leased.lease):
            world.handlers[type(leased.message)](world, leased)
    except (Exception, Interrupt) as error:
        return leased, error
    return leased, None


def _begun_again(world: World, message_id: int) -> Leased | None:
    """A failed reaction was rolled back together with its beginning; begin again, to have something to note it in."""
    with world.database.transaction() as tx:
        return outbox.begin(tx, message_id, now=world.clock(), lease_for=world.leases.lease_for)


def _note(world: World, leased: Leased, error: BaseException) -> str:
    ids = {"kind": type(leased.message).__name__, "id": leased.id, "attempt": leased.attempt}
    if isinstance(error, LeaseLost):
        observe.log.info(Event.MESSAGE_TAKEN_OVER, **ids)
        return "taken_over"
    now = world.clock()
    try:
        with world.database.transaction() as tx:
            again = outbox.fail(tx, leased, error, now=now, spread=random.random())  # noqa: S311 -- no secret
    except LeaseLost:
        observe.log.info(Event.MESSAGE_TAKEN_OVER, **ids)
        return "taken_over"
    if isinstance(error, NotYet):
        observe.log.debug(Event.MESSAGE_DELAYED, **ids)
        return "delayed"
    # What an error says may name people; its class and where it came from don't.
    ids |= {"error": type(error).__name__}
    ids |= {"code": error.code} if isinstance(error, ConnectorError) else {"where": place(error)}
    if again is None:
        observe.log.error(Event.MESSAGE_PARKED, **ids)
        return "parked"
    observe.log.warning(Event.MESSAGE_RETRIED, **ids, seconds=round((again - now).total_seconds(), 1))
    return "retried"


def place(error: BaseException) -> str:
    """``folder/file.py:line``, where the error was raised."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return "/".join(PurePath(trace.tb_frame.f_code.co_filename).parts[-2:]) + f":{trace.tb_lineno}"
