"""A browser without JavaScript: keeps cookies, reads forms out of pages, and sends them as people do."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi.testclient import TestClient

from ledger.identity import passwords, users
from tests.support.doors import Doors

PASSWORD = "a good long password"
HASHED = passwords.hashed(PASSWORD)


def user(doors: Doors, who: str, role: str) -> int:
    """Somebody who may sign in with `PASSWORD`; the id. who: before the @."""
    with doors.desk.database.transaction() as tx:
        return users.add(
            tx, email=f"{who}@practice.example", role=role, name=who.title(), password_hash=HASHED, now=doors.now()
        )


@dataclass
class Browser:
    """One browser; every one has its own cookies."""

    doors: Doors
    client: TestClient = field(init=False)
    shown: httpx.Response = field(init=False)

    def __post_init__(self) -> None:
        self.client = TestClient(self.doors.client.app, raise_server_exceptions=False, follow_redirects=False)
        self.client.base_url = "http://127.0.0.1:8000"

    @property
    def session(self) -> str:
        """The cookie of its session."""
        return self.client.cookies.get("slotledger_session") or ""

    def get(self, path: str) -> httpx.Response:
        """Open a page and remember it."""
        self.shown = self.client.get(path)
        return self.shown

    def token(self) -> str:
        """The token of the first form of the page that was opened last."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.shown.text)
        assert found is not None, self.shown.text
        return html.unescape(found[1])

    def post(self, path: str, headers: dict[str, str] | None = None, /, **fields: Any) -> httpx.Response:
        """Send a form with the token of the page that was opened last; a field ``csrf`` replaces it, None leaves it out."""
        given = {"csrf": fields.pop("csrf")} if "csrf" in fields else {"csrf": self.token()}
        data = {k: v for k, v in {**given, **fields.pop("data", {}), **fields}.items() if v is not None}
        return self.client.post(path, data=data, headers=headers)

    def sign_in(self, who: str, password: str = PASSWORD, **more: str) -> httpx.Response:
        """By the form; who: before the @."""
        self.get("/login")
        return self.post("/login", email=f"{who}@practice.example", password=password, **more)


def signed_in(doors: Doors, who: str, role: str) -> Browser:
    """Somebody new at their start page."""
    user(doors, who, role)
    browser = Browser(doors)
    answer = browser.sign_in(who)
    assert answer.status_code == 303, answer.text
    assert browser.get(answer.headers["location"]).status_code == 200
    return browser
