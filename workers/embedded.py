"""Everything that happens later, as threads of one process: Dramatiq's workers on a broker in memory, relay and ticker."""

from __future__ import annotations

from dramatiq import Worker

from ledger import observe, outbox
from ledger.observe import Event
from workers.actors import run_message
from workers.broker import Post, declare_actors, open_broker
from workers.inbound import InboundMailbox
from workers.leader import FileLock, lock_file
from workers.middleware import SlowLane
from workers.relay import Relay
from workers.ticker import Ticker, chores
from workers.world import World

IDLE = 200
"""Milliseconds after which an idle thread looks whether to stop."""
PATIENCE = 0.7
"""Seconds that work in progress gets at the end; what isn't done by then is repeated at the next start."""


class Embedded:
    """Start and stop of the whole workers' room. quick, slow: threads for what is quick, and for slow calendars."""

    def __init__(self, world: World, *, quick: int = 6, slow: int = 4) -> None:
        self.world = world
        self.broker = open_broker("embedded:")
        self.broker.add_middleware(SlowLane(slow, timeout=PATIENCE))
        declare_actors(self.broker, lambda message_id: run_message(world, message_id))
        self.relay = Relay(world.database, Post(self.broker), world.clock)
        self.ticker = Ticker(world.database, world.clock, chores(world.settings))
        self.mailbox = InboundMailbox(world)
        self._worker = Worker(self.broker, worker_threads=quick, worker_timeout=IDLE)
        self._alone = FileLock(lock_file(world.database, "service")) if world.database.dialect == "sqlite" else None

    def start(self) -> None:
        """Take up what is there, and go on. After a crash nothing waits for a lease: alone on its file, it frees all."""
        if self._alone is not None and self._alone.take():
            with self.world.database.transaction() as tx:
                freed = outbox.release_all(tx)
            if freed:
                observe.log.info(Event.LEASES_RELEASED, count=freed)
        self.world.leases.start()
        self.broker.emit_after("process_boot")
        self._worker.start()
        self.relay.start()
        self.ticker.start()
        self.mailbox.start()

    def stop(self) -> None:
        """End within two seconds; work in progress that takes longer is repeated at the next start. Repeatable."""
        self.mailbox.stop()
        self.ticker.stop()
        self.relay.stop()
        self._worker.stop(timeout=int(PATIENCE * 1000))
        self.world.leases.stop()
        self.broker.close()
        if self._alone is not None:
            self._alone.resign()
