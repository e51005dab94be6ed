"""The doors and the workers as running processes."""

from __future__ import annotations

import signal
import socket
import threading
from dataclasses import replace
from types import FrameType
from urllib.parse import urlsplit

import uvicorn

from api.app import create_app
from api.deps import Site
from ledger import observe
from ledger.migrate import migrate
from ledger.observe import Event
from ledger.settings import BadSettings, Settings
from workers.embedded import Embedded
from workers.notices import Notifier
from workers.opening import open_world
from workers.world import World

HOST = "127.0.0.1"
KEPT_OPEN = 75
"""Seconds that an idle connection is kept: longer than proxies keep theirs to us (nginx 60), or they would send a booking
into one that is just being closed, and their client gets a 502."""


def serve_embedded(settings: Settings, *, host: str, port: int, demo: bool = False) -> None:
    """Everything in one process, until a signal ends it. The database is migrated first. Raises OSError where nothing can
    listen there."""
    door = _taken(host, port)
    world = open_world(settings)
    try:
        migrate(world.database, now=world.clock())
        embedded = Embedded(world)
        embedded.start()
        try:
            _run(world, door, demo)
        finally:
            embedded.stop()
    finally:
        world.close()


def serve_api(settings: Settings, *, host: str, port: int) -> None:
    """The doors alone; workers and relay run elsewhere and are woken through PostgreSQL, or sweep. Raises as `serve_embedded`."""
    door = _taken(host, port)
    world = open_world(settings)
    notifier = Notifier(world.database)
    notifier.start()
    try:
        _run(world, door, demo=False)
    finally:
        notifier.stop()
        world.close()


def linked(settings: Settings, port: int) -> Settings:
    """With links that lead to where we listen, where nobody said what the public address is. port: 0 where none was given."""
    follows = port and "base_url" not in settings.origin
    return replace(settings, base_url=f"http://{HOST}:{port}") if follows else settings


def port_of(settings: Settings) -> int:
    """The port of BASE_URL where it names one, else 8000 (a proxy stands before us)."""
    return urlsplit(settings.base_url).port or 8000


def free_port(wanted: int, *, tries: int = 50) -> int:
    """`wanted`, or the next one that nobody listens on. Raises `BadSettings`."""
    for port in range(wanted, wanted + tries):
        if is_free(port):
            return port
    raise BadSettings(f"no free port from {wanted} on")


def is_free(port: int) -> bool:
    """Could we listen there?"""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _taken(host: str, port: int) -> socket.socket:
    """The address, before anything else is begun: a service that nobody can reach must not work in the background."""
    door = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((host, port))
    except OSError as error:
        door.close()
        raise OSError(f"can't listen on port {port} of {host}: {error.strerror}") from error
    return door


def _run(world: World, door: socket.socket, demo: bool) -> None:
    site = Site(world.settings, world.database, world.terms, world.vault, world.accounts, world.clock, demo)
    config = uvicorn.Config(
        create_app(site),
        log_config=None,
        access_log=False,
        forwarded_allow_ips=world.settings.trusted_proxies,
        lifespan="off",
        timeout_graceful_shutdown=2,
        timeout_keep_alive=KEPT_OPEN,
    )
    observe.log.info(Event.SERVICE_STARTED, part="api")
    if threading.current_thread() is threading.main_thread():
        # uvicorn sends a signal on once it has stopped; SIGTERM would then end us before the rest is closed.
        signal.signal(signal.SIGTERM, _leave)
    uvicorn.Server(config).run(sockets=[door])
    observe.log.info(Event.SERVICE_STOPPED, part="api")


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
