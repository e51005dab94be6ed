"""Behind the doors in a real Chromium: signing in with a keyboard and without JavaScript, every page under axe, a passkey."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.support.chromium import faults, needs_chromium, open_chromium
from tests.support.service import Practice, practice

PASSWORD = "a good long password"
PAGES = ("", "line", "reviews", "pauses", "connections", "account")
pytestmark = [pytest.mark.browser, pytest.mark.timeout(600), needs_chromium]


@pytest.fixture(scope="module")
def anna(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    """A practice whose people may sign in. Under a name, because passkeys need one."""
    with practice(tmp_path_factory.mktemp("service"), "radicale", "embedded") as made:
        for who, role in (("anna", "operator:anna"), ("root", "admin")):
            made.service.cli("user", "add", f"{who}@practice.example", "--role", role, stdin=PASSWORD + "\n")
        yield made


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One browser."""
    with open_chromium() as browser:
        yield browser


def sign_in(tab: Any, address: str, who: str) -> None:
    tab.goto(f"{address}/login")
    tab.get_by_label("Your mail address").fill(f"{who}@practice.example")
    tab.get_by_label("Password", exact=True).fill(PASSWORD)
    tab.get_by_label("Password", exact=True).press("Enter")
    tab.get_by_role("heading", name="Today").wait_for()


@pytest.mark.parametrize("scripts", [True, False], ids=["javascript", "no-javascript"])
def test_an_operator_signs_in_pauses_and_leaves(anna: Practice, chromium: Any, scripts: bool) -> None:
    context = chromium.new_context(java_script_enabled=scripts, viewport={"width": 400, "height": 800}, locale="en-GB")
    tab = context.new_page()
    tab.goto(f"{anna.service.url}/operator/pauses")
    tab.wait_for_url(re.compile("/login"))
    tab.get_by_label("Your mail address").fill("anna@practice.example")
    tab.get_by_label("Password", exact=True).fill(PASSWORD)
    tab.get_by_label("Password", exact=True).press("Enter")
    tab.wait_for_url(re.compile("/operator/pauses"))  # where one wanted to go
    tab.get_by_label("Why, for the records").fill("I look myself")
    tab.get_by_role("button", name="Pause", exact=True).click()
    tab.get_by_text("I look myself").wait_for()
    tab.get_by_role("link", name=re.compile("waiting matter")).first.click()
    tab.get_by_role("button", name="Go on").click()
    tab.get_by_text("Nothing is paused.").wait_for()
    tab.get_by_role("button", name="Sign out").first.click()
    tab.get_by_role("heading", name="Sign in").wait_for()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(anna: Practice, chromium: Any, scheme: str) -> None:
    context = chromium.new_context(
        viewport={"width": 400, "height": 900}, color_scheme=scheme, locale="en-GB", bypass_csp=True
    )
    tab = context.new_page()
    found = {}
    tab.goto(f"{anna.service.url}/login")
    found["/login"] = faults(tab)
    for path in ("consultation?wait=any", "consultation"):
        tab.goto(f"{anna.service.url}/en/anna/{path}")
    tab.locator("a.choice:not(.full)").first.click()
    found["the form with its trap"] = faults(tab)
    sign_in(tab, anna.service.url, "anna")
    for page in PAGES:
        tab.goto(f"{anna.service.url}/operator/{page}")
        found[page] = faults(tab)
    tab.locator("#password-codes").fill(PASSWORD)
    tab.get_by_role("button", name="Set up codes").click()
    found["codes"] = faults(tab)
    context.close()
    assert not any(found.values()), found


@pytest.mark.parametrize("language", ["en", "hu", "de", "fr", "es", "it", "ar"])
def test_no_page_behind_the_doors_is_wider_than_a_phone(anna: Practice, chromium: Any, language: str) -> None:
    english = chromium.new_context(locale="en-GB")
    sign_in(english.new_page(), anna.service.url, "root")
    context = chromium.new_context(
        viewport={"width": 360, "height": 800}, locale=language, storage_state=english.storage_state()
    )
    tab = context.new_page()
    for page in PAGES:
        tab.goto(f"{anna.service.url}/admin/{page}")
        assert tab.evaluate("document.documentElement.lang") == language
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360, (language, page)
    context.close()
    english.close()


def test_a_passkey_is_made_and_opens_the_door(anna: Practice, chromium: Any) -> None:
    """With Chromium's own virtual authenticator; passkeys need a name instead of an address."""
    service = replace(
        anna.service, extra={**anna.service.extra, "SLOTLEDGER_BASE_URL": f"http://localhost:{anna.service.port}"}
    )
    anna.service.stop()
    service.running = []
    service.start()
    try:
        address = f"http://localhost:{service.port}"
        context = chromium.new_context(locale="en-GB")
        tab = context.new_page()
        devtools = context.new_cdp_session(tab)
        devtools.send("WebAuthn.enable")
        about = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
        devtools.send(
            "WebAuthn.addVirtualAuthenticator",
            {"options": {**about, "isUserVerified": True, "automaticPresenceSimulation": True}},
        )
        sign_in(tab, address, "anna")
        tab.goto(f"{address}/operator/account")
        making = tab.locator("[data-passkey-new]")
        making.get_by_label("A name for the new passkey").fill("My laptop")
        making.get_by_label("Your password").fill(PASSWORD)
        making.get_by_role("button", name="Make a passkey").click()
        tab.get_by_text("My laptop").wait_for()
        tab.get_by_role("button", name="Sign out").first.click()
        tab.get_by_role("button", name="With a passkey").click()
        tab.get_by_role("heading", name="Today").wait_for()
        context.close()
    finally:
        service.stop()
        anna.service.running.clear()
        anna.service.start()
