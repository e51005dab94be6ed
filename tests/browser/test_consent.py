"""The tracker in a real Chromium: the browser asks nobody else for anything before a yes, and our policy lets it work after."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import uvicorn

from connectors.emulators.radicale import free_port
from ledger.db import Database
from tests.support.chromium import needs_chromium, open_chromium
from tests.support.doors import open_doors

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), needs_chromium]
NOBODY_ELSE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
ID = "BP-a1B2c3D4e5-07"
STAND_IN = "console.log(JSON.stringify(window.bp.q.map(one => Array.from(one))))"
"""What we serve in Barion's place: it tells what it was told."""


@contextmanager
def served(database: Database) -> Iterator[str]:
    """Anna's pages with a tracker, on a port."""
    port = free_port()
    app: Any = open_doors(database).client.app
    settings = replace(app.state.site.settings, pixel_id=ID, base_url=f"http://127.0.0.1:{port}")
    app.state.site = replace(app.state.site, settings=settings)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


@contextmanager
def tab(**options: Any) -> Iterator[Any]:
    """An empty tab that writes down what it asks for outside of us, and what scripts say."""
    with open_chromium(NOBODY_ELSE) as browser:
        page = browser.new_context(locale="en-GB", **options).new_page()
        page.outside, page.said = [], []
        page.on("request", lambda r: page.outside.append(r.url) if "127.0.0.1" not in r.url else None)
        page.on("console", lambda message: page.said.append(message.text))
        page.route(
            "https://pixel.barion.com/**",
            lambda r: r.fulfill(status=200, content_type="text/javascript", body=STAND_IN),
        )
        yield page


def test_a_yes_loads_it_and_a_no_takes_it_away(sqlite: Database) -> None:
    with served(sqlite) as url, tab() as page:
        page.goto(f"{url}/en/anna/talk", wait_until="networkidle")
        assert page.outside == []
        with page.expect_console_message():
            page.get_by_role("button", name="Yes, that is fine").click()
        assert page.outside == ["https://pixel.barion.com/bp.js"]
        assert page.said == [f'[["init","addBarionPixelId","{ID}"]]']  # and nothing that our policy refused
        page.get_by_role("button", name="Stop counting").click()
        page.get_by_text("Your visit is not counted.").wait_for()
        page.goto(f"{url}/en/anna", wait_until="networkidle")
        assert len(page.outside) == 1


def test_a_no_needs_no_script(sqlite: Database) -> None:
    with served(sqlite) as url, tab(java_script_enabled=False) as page:
        page.goto(f"{url}/en/anna/talk")
        page.get_by_role("button", name="No", exact=True).click()
        page.get_by_text("Your visit is not counted.").wait_for()
        assert page.get_by_text("May Barion").count() == 0
        assert page.outside == []
