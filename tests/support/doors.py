"""The doors without a network: FastAPI's test client on a ledger, with a clock of one's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fastapi.testclient import TestClient

from api import keys
from api.app import create_app
from api.deps import Site
from connectors.protocol import Endpoints
from ledger.db import Database
from ledger.settings import Settings
from ledger.vault import Vault
from sync.accounts import Accounts
from tests.support.desk import TERMS, Desk


@dataclass
class Doors:
    """A desk with its doors open. desk: the same ledger from inside; its clock is the doors'. settings: without what
    slows programs down."""

    desk: Desk
    settings: Settings = field(default_factory=lambda: Settings(form_seconds=0, rate_per_minute=0))
    client: TestClient = field(init=False)

    def __post_init__(self) -> None:
        vault = Vault("for-tests-only-0123456789")
        accounts = Accounts(self.desk.database, vault, Endpoints(allow_private_networks=True))
        site = Site(self.settings, self.desk.database, TERMS, vault, accounts, self.now)
        self.client = TestClient(create_app(site), raise_server_exceptions=False, follow_redirects=False)

    def now(self) -> datetime:
        """The desk's clock."""
        return self.desk.now

    def token(self, scope: str) -> str:
        """A new key."""
        with self.desk.database.transaction() as tx:
            return keys.create_token(tx, name=scope, scope=scope, now=self.desk.now)

    def admin(self, method: str, path: str, *, scope: str = "admin", token: str = "", **options: Any) -> Any:
        """A call of the admin API. headers_more: beside the key."""
        headers = {"Authorization": f"Bearer {token or self.token(scope)}", **options.pop("headers_more", {})}
        return self.client.request(method, f"/api/v1/admin{path}", headers=headers, **options)


def open_doors(database: Database, **services: dict[str, Any]) -> Doors:
    """Anna with these services, and her doors."""
    return Doors(Desk(database).open(**services or {"talk": {}}))
