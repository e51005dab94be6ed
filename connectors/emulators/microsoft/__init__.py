"""Microsoft's login service and Graph calendars on this machine, for tests and the demo (PROVIDERS G).

Answers as the documentation says; where it is silent or contradicts reports, a switch takes either position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from connectors.emulators.microsoft.control import Control
from connectors.emulators.microsoft.page import Page
from connectors.emulators.microsoft.server import App, Observer, Running
from connectors.emulators.microsoft.store import Store
from connectors.emulators.microsoft.switches import Switches
from connectors.emulators.microsoft.wire import Fault, Reply, Request

__all__ = ["Control", "Fault", "Observer", "Reply", "Request", "RunningEmulator", "Switches", "start_microsoft"]


@dataclass(frozen=True)
class RunningEmulator:
    """One running emulator. graph_root, authority: for `Endpoints`. control: everything behind Microsoft's back,
    also over HTTP below ``control_root``."""

    graph_root: str
    authority: str
    control_root: str
    control: Control
    _running: Running

    @property
    def crashes(self) -> list[str]:
        """Requests on which the emulator itself failed; empty unless it has a fault of its own."""
        return self._running.crashes

    def stop(self) -> None:
        """End it; idempotent."""
        self._running.stop()


def start_microsoft(
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    path: Path | None = None,
    accounts: Sequence[tuple[str, str, str]] = (("operator@example.com", "Operator", "Europe/Berlin"),),
    switches: Switches | None = None,
    observe: Observer | None = None,
) -> RunningEmulator:
    """Start on a port (0: a free one). path: a JSON file whose data survives a restart. accounts: (e-mail, name,
    IANA zone), made unless the file has some. observe: sees every request and reply."""
    store = Store(switches or Switches(), path)
    if not store.accounts:
        for email, name, zone in accounts:
            store.add_account(email, name, zone)
    app = App(store, observe)
    control = Control(app)
    page = Page(store, control)
    app.side = lambda request: (control if request.segments[:1] == ("_ctl",) else page).handle(request)
    running = Running(app, host, port)
    return RunningEmulator(running.address, running.address, f"{running.address}/_ctl", control, running)
