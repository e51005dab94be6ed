"""Worker and relay as processes of their own, for a broker of its own: ``slotledger worker`` and ``slotledger relay``."""

from __future__ import annotations

import signal
import threading
from types import FrameType

import dramatiq
from dramatiq import Worker, cli
from dramatiq.middleware import Middleware

from ledger import observe
from ledger.db import Database
from ledger.observe import Event
from ledger.settings import BadSettings, Settings
from workers.actors import run_message
from workers.broker import Post, declare_actors, open_broker
from workers.inbound import InboundMailbox
from workers.leader import FileLock, lock_file
from workers.middleware import SlowLane
from workers.notices import Listener, Notifier
from workers.opening import open_world
from workers.relay import Relay
from workers.ticker import Ticker, chores
from workers.world import World

SLOW_THREADS = 8


def run_worker(settings: Settings, processes: int = 1, threads: int = 8) -> int:
    """Run Dramatiq's worker processes until a signal ends them. Returns the exit code.

    threads: of each process for what is quick; slow calendars have others. The processes read the settings again.
    Raises `BadSettings` where the broker is embedded: there is nothing to connect to.
    """
    _needs_broker(settings)
    parser = cli.make_argument_parser()  # type: ignore[no-untyped-call]
    arguments = ["workers.main", "--processes", str(processes), "--threads", str(threads), "--skip-logging"]
    return int(cli.main(parser.parse_args(arguments)) or 0)  # type: ignore[no-untyped-call]


def run_relay(settings: Settings, stopping: threading.Event | None = None) -> int:
    """Relay and ticker until a signal (or `stopping`) ends them; a second one relays too, and ticks when the first is gone.

    Raises `BadSettings` where the broker is embedded.
    """
    _needs_broker(settings)
    if stopping is None:
        stopping = _until_signal()
    world = open_world(settings)
    share = _share(world.database)
    post = Post(open_broker(settings.broker_url))
    relay = Relay(world.database, post, world.clock)
    listener = Listener(world.database, relay.wake)
    ticker = Ticker(world.database, world.clock, chores(settings))
    mailbox = InboundMailbox(world)
    listener.start()
    relay.start()
    ticker.start()
    mailbox.start()
    observe.log.info(Event.SERVICE_STARTED, part="relay")
    stopping.wait()
    mailbox.stop()
    ticker.stop()
    listener.stop()
    relay.stop()
    post.close()
    share.resign()
    world.close()
    observe.log.info(Event.SERVICE_STOPPED, part="relay")
    return 0


def open_worker(settings: Settings) -> dramatiq.Broker:
    """A broker with our actors on this process's world; the world closes when its worker has shut down."""
    _needs_broker(settings)
    world = open_world(settings)
    broker = open_broker(settings.broker_url)
    broker.add_middleware(SlowLane(SLOW_THREADS))
    broker.add_middleware(_Housekeeping(world))
    declare_actors(broker, lambda message_id: run_message(world, message_id))
    return broker


class _Housekeeping(Middleware):
    """The threads beside the workers, and the end of it all."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._notifier = Notifier(world.database)
        self._share = _share(world.database)
        self._workers = 0

    def before_worker_boot(self, broker: dramatiq.Broker, worker: Worker) -> None:  # noqa: ARG002
        self._workers += 1
        self._world.leases.start()
        self._notifier.start()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: Worker) -> None:  # noqa: ARG002
        self._workers -= 1
        if self._workers == 0:
            self._notifier.stop()
            self._share.resign()
            self._world.close()


def _share(database: Database) -> FileLock:
    """On SQLite tell an embedded service which starts that it isn't alone."""
    lock = FileLock(lock_file(database, "service"))
    if database.dialect == "sqlite":
        lock.take(shared=True)
    return lock


def _needs_broker(settings: Settings) -> None:
    if settings.broker_url.startswith("embedded"):
        raise BadSettings("SLOTLEDGER_BROKER_URL must name a broker (redis:, amqp:); `slotledger serve` works without")


def _until_signal() -> threading.Event:
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return stopping
