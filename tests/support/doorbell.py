"""The door where providers call, alone: the product's own hooks behind a real socket, for tests that have no service."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from types import SimpleNamespace, TracebackType

import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint

from api import hooks
from connectors.emulators.radicale import free_port
from ledger.db import Database
from ledger.vault import Vault
from tests.support.provider_accounts import Account


class Doorbell:
    """A running door. before: called ahead of each request that comes in. statuses: what was answered."""

    def __init__(self) -> None:
        self.before: Callable[[], object] = lambda: None
        self.statuses: list[int] = []
        self._app = FastAPI()
        self._app.include_router(hooks.router)
        self._app.add_middleware(BaseHTTPMiddleware, dispatch=self._watch)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        config = uvicorn.Config(self._app, host="127.0.0.1", port=port, log_config=None, lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def answer_with(self, database: Database, vault: Vault, now: Callable[[], datetime]) -> None:
        """The deployment behind the door."""
        self._app.state.site = SimpleNamespace(database=database, vault=vault, now=now)

    def settle(self, account: Account) -> None:
        """Wait until the provider has delivered everything that it wanted to tell."""
        if account.provider == "google":
            account.control.notifications()
        else:
            account.world.emulator._running._app.subscriptions.settle()  # type: ignore[union-attr]

    async def _watch(self, request: Request, go_on: RequestResponseEndpoint) -> Response:
        self.before()
        answer = await go_on(request)
        self.statuses.append(answer.status_code)
        return answer

    def __enter__(self) -> Doorbell:
        self._thread.start()
        end = time.monotonic() + 20
        while not self._server.started:
            assert time.monotonic() < end
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
