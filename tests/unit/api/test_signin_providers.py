"""Signing in with an account elsewhere: whose word counts, and for whom.

Covers: api.signin.providers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import pytest

from ledger import clock
from ledger.db import Database
from ledger.identity import links, users
from sync.accounts import Accounts
from tests.support.browser import HASHED, PASSWORD, Browser
from tests.support.doors import Doors, open_doors
from tests.support.provider_accounts import Account, account_at


@dataclass
class Visit:
    """A deployment that is registered at a provider, and somebody's account there."""

    doors: Doors
    account: Account

    @property
    def provider(self) -> str:
        return self.account.provider

    def user(self, email: str, role: str = "operator:anna") -> int:
        with self.doors.desk.database.transaction() as tx:
            return users.add(tx, email=email, role=role, password_hash=HASHED, now=self.doors.now())

    def browser(self) -> Browser:
        return Browser(self.doors)

    def press(self, browser: Browser, wanted: str = "") -> httpx.Response:
        browser.get("/login")
        return browser.post(f"/login/{self.provider}", next=wanted)

    def consent(self, begun: httpx.Response) -> str:
        """What the provider's page does; the address that the browser comes back to."""
        assert begun.status_code == 303, begun.text
        back = httpx.get(begun.headers["location"], trust_env=False)
        assert back.status_code == 302, back.text
        parts = urlsplit(back.headers["location"])
        return f"{parts.path}?{parts.query}"

    def sign_in(self, browser: Browser, wanted: str = "") -> httpx.Response:
        return browser.get(self.consent(self.press(browser, wanted)))

    def link(self, browser: Browser, email: str, password: str = PASSWORD) -> httpx.Response:
        browser.get("/login")
        browser.post("/login", email=email, password=PASSWORD)
        browser.get("/operator/account")
        begun = browser.post(f"/operator/account/link/{self.provider}", password=password)
        return browser.get(self.consent(begun))


@pytest.fixture(params=["google", "microsoft"])
def visit(request: pytest.FixtureRequest, sqlite: Database) -> Iterator[Visit]:
    with account_at(request.param) as account:
        doors = open_doors(sqlite)
        doors.desk.now = clock.now()  # tokens of the emulators are dated by the machine's clock
        site = doors.client.app.state.site  # type: ignore[attr-defined]
        accounts = Accounts(sqlite, site.vault, account.endpoints)
        doors.client.app.state.site = replace(site, accounts=accounts)  # type: ignore[attr-defined]
        yield Visit(doors, account)


def test_an_account_that_was_linked_opens_the_door(visit: Visit) -> None:
    visit.user("anna@practice.example")
    linked = visit.link(visit.browser(), "anna@practice.example")
    assert (linked.status_code, linked.headers["location"]) == (303, "/operator/account?did=linked#links")
    browser = visit.browser()
    answer = visit.sign_in(browser, "/operator/line")
    assert (answer.status_code, answer.headers["location"]) == (303, "/operator/line")
    page = browser.get("/operator/account").text
    assert visit.account.email in page
    assert browser.get("/operator/line").status_code == 200


def test_no_calendar_is_asked_for(visit: Visit) -> None:
    begun = visit.press(visit.browser())
    assert "alendar" not in begun.headers["location"]
    assert "openid" in begun.headers["location"]


def test_a_stranger_stays_outside_and_learns_nothing(visit: Visit) -> None:
    visit.user("anna@practice.example")
    browser = visit.browser()
    answer = visit.sign_in(browser)
    assert (answer.status_code, browser.session) == (401, "")
    assert "This account opens nothing here." in answer.text


def test_the_very_address_opens_only_where_the_provider_vouches_for_it(visit: Visit) -> None:
    """Google says `email_verified`; at Microsoft anybody may write anybody's address into their own tenant."""
    user_id = visit.user(visit.account.email)
    browser = visit.browser()
    answer = visit.sign_in(browser)
    with visit.doors.desk.database.reading() as tx:
        known = links.identities(tx, user_id)
    if visit.provider == "google":
        assert (answer.status_code, [row["email"] for row in known]) == (303, [visit.account.email])
    else:
        assert (answer.status_code, known, browser.session) == (401, [], "")


def test_a_return_works_once_in_the_browser_that_began_it_and_in_time(visit: Visit) -> None:
    visit.user("anna@practice.example")
    visit.link(visit.browser(), "anna@practice.example")
    browser, other = visit.browser(), visit.browser()
    back = visit.consent(visit.press(browser))
    assert other.get(back).status_code == 401
    visit.press(other)
    assert other.get(back).status_code == 401
    assert browser.get(back).status_code == 303
    again = visit.browser()
    again.client.cookies = browser.client.cookies
    assert again.get(back).status_code == 401
    late = visit.browser()
    back = visit.consent(visit.press(late))
    visit.doors.desk.now += links.PATIENCE + timedelta(seconds=1)
    assert late.get(back).status_code == 401
    assert not late.session


def test_a_state_or_code_of_somebody_else_is_refused(visit: Visit) -> None:
    visit.user("anna@practice.example")
    visit.link(visit.browser(), "anna@practice.example")
    attacker, victim = visit.browser(), visit.browser()
    stolen = visit.consent(visit.press(attacker))
    visit.press(victim)
    answer = victim.get(stolen)
    assert (answer.status_code, victim.session) == (401, "")


def test_a_refusal_leads_back_to_the_form(visit: Visit) -> None:
    browser = visit.browser()
    visit.press(browser)
    answer = browser.get(f"/login/{visit.provider}/callback?error=access_denied&state=x")
    assert (answer.status_code, 'action="/login"' in answer.text) == (401, True)


def test_an_account_opens_one_door_only(visit: Visit) -> None:
    visit.user("anna@practice.example")
    visit.user("bob@practice.example")
    visit.link(visit.browser(), "anna@practice.example")
    bob = visit.browser()
    assert visit.link(bob, "bob@practice.example").headers["location"].startswith("/operator/account?problem=in_use")
    assert "another user" in bob.get("/operator/account?problem=in_use").text


def test_linking_asks_for_the_password_and_the_same_session(visit: Visit) -> None:
    user_id = visit.user("anna@practice.example")
    browser = visit.browser()
    browser.get("/login")
    browser.post("/login", email="anna@practice.example", password=PASSWORD)
    browser.get("/operator/account")
    assert "problem=password" in browser.post(f"/operator/account/link/{visit.provider}").headers["location"]
    begun = browser.post(f"/operator/account/link/{visit.provider}", password=PASSWORD)
    back = visit.consent(begun)
    with visit.doors.desk.database.transaction() as tx:
        users.end_sessions(tx, user_id)
    assert browser.get(back).status_code == 401
    with visit.doors.desk.database.reading() as tx:
        assert links.identities(tx, user_id) == []


def test_a_form_that_is_not_ours_begins_nothing(visit: Visit) -> None:
    browser = visit.browser()
    browser.get("/login")
    assert browser.post(f"/login/{visit.provider}", csrf="wrong").status_code == 403
    assert browser.post(f"/login/{visit.provider}", {"Origin": "https://evil.example"}).status_code == 403


def test_a_provider_that_we_are_not_registered_at_has_no_page(sqlite: Database) -> None:
    browser = Browser(open_doors(sqlite))
    page = browser.get("/login")
    assert "/login/google" not in page.text
    for provider in ("google", "microsoft", "caldav"):
        browser.get("/login")
        assert browser.post(f"/login/{provider}").status_code == 404
        assert browser.get(f"/login/{provider}/callback").status_code == 404


def test_the_sign_in_page_may_lead_to_the_providers_page_and_nowhere_else(visit: Visit) -> None:
    rules = visit.browser().get("/login").headers["content-security-policy"]
    (form_action,) = [rule.strip() for rule in rules.split(";") if "form-action" in rule]
    begun = visit.press(visit.browser()).headers["location"]
    parts = urlsplit(begun)
    assert form_action == f"form-action 'self' {parts.scheme}://{parts.netloc}"
