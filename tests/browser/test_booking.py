"""Booking as a visitor does it, in a real Chromium: with a keyboard, without JavaScript, and on a phone."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.chromium import faults, needs_chromium, open_chromium
from tests.support.pictures import with_palette
from tests.support.service import Practice, practice, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600), needs_chromium]


class QuietFiles(SimpleHTTPRequestHandler):
    """Files of a folder, without a word on the terminal."""

    def log_message(self, *said: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def anna(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    """A practice for all of these."""
    with practice(tmp_path_factory.mktemp("service"), "radicale", "embedded") as made:
        yield made


@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    """One browser."""
    with open_chromium() as browser:
        yield browser


@pytest.fixture(params=[True, False], ids=["javascript", "no-javascript"])
def tab(request: pytest.FixtureRequest, chromium: object) -> Iterator[object]:
    """An empty tab of a phone's width; pages must work with and without JavaScript."""
    context = chromium.new_context(  # type: ignore[attr-defined]
        java_script_enabled=request.param,
        viewport={"width": 400, "height": 800},
        timezone_id="Europe/Berlin",
        locale="en-GB",
    )
    yield context.new_page()
    context.close()


def test_a_visitor_books_moves_and_cancels(anna: Practice, tab: object, request: pytest.FixtureRequest) -> None:
    who = f"vis{'js' if 'no-' not in request.node.name else 'plain'}"
    tab.goto(f"{anna.service.url}/anna/consultation")  # type: ignore[attr-defined]
    tab.locator("a.choice:not(.full)").first.click()  # type: ignore[attr-defined]
    tab.get_by_label("Your name").fill(who.title())  # type: ignore[attr-defined]
    tab.get_by_label("Your mail address").fill(f"{who}@example.org")  # type: ignore[attr-defined]
    tab.get_by_role("button", name="Book this time").press("Enter")  # type: ignore[attr-defined]
    tab.wait_for_url(re.compile(r"/en/b/"))  # type: ignore[attr-defined]
    assert tab.locator(".badge").first.inner_text() == "Confirmed"  # type: ignore[attr-defined]
    wait_until(lambda: anna.service.mails(f"{who}@example.org"))
    tab.locator("#reschedule summary").click()  # type: ignore[attr-defined]
    tab.get_by_role("button", name="Move my appointment").click()  # type: ignore[attr-defined]
    tab.get_by_text("Your appointment has a new time.").wait_for()  # type: ignore[attr-defined]
    tab.locator("#cancel summary").click()  # type: ignore[attr-defined]
    tab.get_by_role("button", name="Cancel my appointment").click()  # type: ignore[attr-defined]
    tab.get_by_text("Your appointment is cancelled.").wait_for()  # type: ignore[attr-defined]
    wait_until(lambda: [m.method for m in anna.service.mails(f"{who}@example.org")] == ["REQUEST", "REQUEST", "CANCEL"])


def test_a_new_appointment_tells_by_itself_when_it_is_in_the_calendar(anna: Practice, chromium: object) -> None:
    """And when its mail is on the way: nobody has to open the page again."""
    page = chromium.new_page(viewport={"width": 400, "height": 800})  # type: ignore[attr-defined]
    page.goto(f"{anna.service.url}/en/anna/consultation?tz=Europe/Berlin")
    page.locator("a.choice:not(.full)").nth(3).click()
    page.get_by_label("Your name").fill("Livia")
    page.get_by_label("Your mail address").fill("livia@example.org")
    page.get_by_role("button", name="Book this time").press("Enter")
    page.wait_for_url(re.compile(r"/en/b/"))
    page.get_by_text("The invitation goes to livia@example.org.").wait_for()
    page.get_by_text("It is in the calendar of").wait_for()
    page.get_by_text("Mail handed over").first.wait_for()
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "ar"])
def test_axe_finds_nothing_on_a_clients_own_pages(anna: Practice, chromium: object, language: str, scheme: str) -> None:
    context = chromium.new_context(  # type: ignore[attr-defined]
        viewport={"width": 400, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    page, address = context.new_page(), f"{anna.service.url}/{language}/anna/consultation?tz=America/New_York"
    found = {}
    for name, path in (("month", ""), ("range", "&wait=any"), ("nothing", "&month=2030-01")):
        page.goto(address + path)
        found[name] = faults(page)
    page.goto(address)
    page.locator("a.choice:not(.full)").last.click()
    form = page.url
    page.locator("#name").fill("Mia")
    page.locator("#email").fill(f"mia-{language}-{scheme}@example.org")
    page.locator("form.card button.main").press("Enter")
    page.wait_for_url(re.compile(f"/{language}/b/"))
    for each in page.locator("details").all():
        each.locator("summary").click()
    found["booking"] = faults(page)
    page.goto(form)
    found["taken"] = faults(page)
    page.goto(f"{address}&wait=any")
    page.locator("#to").fill(page.locator("#from").input_value())
    page.locator("#name").fill("Nora")
    page.locator("#email").fill(f"nora-{language}-{scheme}@example.org")
    page.locator("form.card button.main").press("Enter")
    page.wait_for_url(re.compile(f"/{language}/w/"))
    found["line"] = faults(page)
    page.goto(f"{anna.service.url}/{language}/w/none")
    found["nowhere"] = faults(page)
    context.close()
    assert not any(found.values()), found


def test_a_visitor_books_inside_somebody_elses_site(anna: Practice, chromium: object, tmp_path: Path) -> None:
    """From another origin, in a frame that takes the height of what is in it."""
    embed = f'<script src="{anna.service.url}/embed.js" data-service="anna/consultation" data-language="en"></script>'
    (tmp_path / "index.html").write_text(f"<!doctype html><html lang=en><title>Practice</title><p>Hello.</p>{embed}")
    handler = partial(QuietFiles, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        page = chromium.new_page(viewport={"width": 800, "height": 700})  # type: ignore[attr-defined]
        page.goto(f"http://localhost:{site.server_port}/")
        frame = page.frame_locator("iframe")
        frame.locator("a.choice:not(.full)").nth(2).click()
        frame.get_by_label("Your name").fill("Frida")
        frame.get_by_label("Your mail address").fill("frida@example.org")
        frame.get_by_role("button", name="Book this time").click()
        frame.get_by_text("Confirmed").first.wait_for()
        inner = page.frames[1].evaluate("document.documentElement.offsetHeight")
        page.wait_for_function(f"Math.abs(document.querySelector('iframe').offsetHeight - {inner}) < 3")
        page.close()
        site.shutdown()
    wait_until(lambda: [m.method for m in anna.service.mails("frida@example.org")] == ["REQUEST"])


def test_a_month_needs_few_requests_and_bytes(anna: Practice, chromium: object) -> None:
    """PERFORMANCE row 14: three requests, 70 kB."""
    page = chromium.new_page()  # type: ignore[attr-defined]
    sizes: list[int] = []
    page.on("response", lambda answer: sizes.append(len(answer.body())) if answer.url.startswith("http") else None)
    page.goto(f"{anna.service.url}/en/anna/consultation?tz=Europe/Berlin")
    page.wait_for_load_state("networkidle")
    page.close()
    assert len(sizes) <= 3  # the page, its style, its script; the icon is in the page
    assert sum(sizes) <= 70_000, sizes


@pytest.mark.parametrize("language", ["en", "hu", "de", "fr", "es", "it", "ar"])
def test_no_page_is_wider_than_a_phone(anna: Practice, chromium: object, language: str) -> None:
    page = chromium.new_page(viewport={"width": 360, "height": 800})  # type: ignore[attr-defined]
    for path in ("anna/consultation", "anna/consultation?wait=any", "anna"):
        page.goto(f"{anna.service.url}/{language}/{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, (language, path)
        assert page.evaluate("document.documentElement.dir") == ("rtl" if language == "ar" else "ltr")
        unlabelled = page.evaluate(
            "[...document.querySelectorAll('input:not([type=hidden]), select')].filter(e => !e.labels.length).length"
        )
        assert unlabelled == 0
    page.close()


def test_pictures_for_the_readme(anna: Practice, chromium: object) -> None:
    """Written only when asked for: `make screenshots`."""
    folder = os.environ.get("SCREENSHOTS")
    if not folder:
        pytest.skip("SCREENSHOTS names no folder")

    def keep(page: Any, name: str, **options: Any) -> None:
        (Path(folder) / f"{name}.png").write_bytes(with_palette(page, page.screenshot(**options)))

    light = chromium.new_context(viewport={"width": 900, "height": 760}, bypass_csp=True)  # type: ignore[attr-defined]
    page = light.new_page()
    page.goto(f"{anna.service.url}/en/anna/consultation?tz=Europe/Berlin")
    keep(page, "service")
    page.locator("a.choice:not(.full)").nth(1).click()
    keep(page, "book")
    page.get_by_label("Your name").fill("Nora Lindqvist")
    page.get_by_label("Your mail address").fill("nora@example.org")
    page.get_by_role("button", name="Book this time").press("Enter")
    page.get_by_text("It is in the calendar of").wait_for()
    page.get_by_text("Mail handed over").first.wait_for()
    page.set_viewport_size({"width": 760, "height": 760})
    page.locator("#reschedule summary").click()
    keep(page, "booking", full_page=True)
    light.close()
    dark = chromium.new_context(  # type: ignore[attr-defined]
        viewport={"width": 900, "height": 820}, color_scheme="dark", bypass_csp=True
    )
    page = dark.new_page()
    page.goto(f"{anna.service.url}/ar/anna/consultation?tz=Europe/Berlin")
    keep(page, "arabic-dark")
    dark.close()
