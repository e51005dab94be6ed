"""Passkeys: made by who is signed in, good for one site, one challenge and one owner.

Covers: api.signin.passkeys.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ledger.db import Database
from ledger.identity import links, users
from tests.support.authenticator import Authenticator
from tests.support.browser import PASSWORD, Browser, signed_in
from tests.support.doors import Doors, open_doors

ORIGIN = "http://localhost:8000"


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    made = open_doors(sqlite)
    site = made.client.app.state.site  # type: ignore[attr-defined]
    made.client.app.state.site = replace(  # type: ignore[attr-defined]
        site, settings=replace(site.settings, base_url=ORIGIN)
    )
    return made


@pytest.fixture
def key() -> Authenticator:
    return Authenticator(ORIGIN, "localhost")


def make(browser: Browser, key: Authenticator, password: str = PASSWORD) -> Any:
    browser.get("/operator/account")
    options = browser.post("/operator/account/passkey/options", password=password)
    if options.status_code != 200:
        return options
    assert options.json()["authenticatorSelection"]["userVerification"] == "required"
    return browser.post("/operator/account/passkey", credential=key.created(options.json()), name="Phone")


def sign_in(browser: Browser, key: Authenticator, wanted: str = "") -> Any:
    browser.get("/login")
    options = browser.post("/login/passkey/options").json()
    return browser.post("/login/passkey", credential=key.signed(options), next=wanted)


def test_from_making_one_to_signing_in_and_removing_it(doors: Doors, key: Authenticator) -> None:
    browser = signed_in(doors, "anna", "operator:anna")
    before = browser.session
    assert make(browser, key).json() == {"next": "/operator/account?did=passkey#links"}
    assert browser.session != before
    assert "Phone" in browser.get("/operator/account").text
    other = Browser(doors)
    assert sign_in(other, key, "/operator/line").json() == {"next": "/operator/line"}
    assert other.get("/operator/line").status_code == 200
    browser.get("/operator/account")
    assert browser.post("/operator/account/links/passkey/1/remove", password="wrong").status_code == 422
    assert browser.post("/operator/account/links/passkey/1/remove", password=PASSWORD).status_code == 303
    assert sign_in(Browser(doors), key).status_code == 401


def test_one_is_made_only_by_who_knows_the_password(doors: Doors, key: Authenticator) -> None:
    browser = signed_in(doors, "anna", "operator:anna")
    assert make(browser, key, "wrong password").status_code == 422
    browser.get("/operator/account")
    assert browser.post("/operator/account/passkey", credential=key.created({"challenge": "eA"})).status_code == 409
    assert Browser(doors).client.post("/operator/account/passkey/options").status_code == 303


@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": "https://evil.example"},
        {"host": "evil.example"},
        {"verified": False},
        {"key": Authenticator("", "").key},
        {"id": b"x" * 32},
    ],
)
def test_an_answer_that_does_not_fit_opens_nothing(doors: Doors, key: Authenticator, wrong: dict[str, Any]) -> None:
    make(signed_in(doors, "anna", "operator:anna"), key)
    browser = Browser(doors)
    answer = sign_in(browser, replace(key, **wrong))
    assert (answer.status_code, answer.json()["code"], browser.session) == (401, "unauthorized", "")
    assert sign_in(browser, key).status_code == 200


def test_a_challenge_is_good_once_in_its_browser_and_in_time(doors: Doors, key: Authenticator) -> None:
    make(signed_in(doors, "anna", "operator:anna"), key)
    browser, other = Browser(doors), Browser(doors)
    browser.get("/login")
    answer = key.signed(browser.post("/login/passkey/options").json())
    consent = browser.client.cookies["slotledger_consent"]
    other.get("/login")
    other.post("/login/passkey/options")
    assert other.post("/login/passkey", credential=answer).status_code == 401
    assert browser.post("/login/passkey", credential=answer).status_code == 200
    again = Browser(doors)
    again.client.cookies.set("slotledger_consent", consent, domain="127.0.0.1", path="/")
    again.get("/login")
    assert again.post("/login/passkey", credential=answer).status_code == 401
    late = Browser(doors)
    late.get("/login")
    answer = key.signed(late.post("/login/passkey/options").json())
    doors.desk.now += links.PATIENCE
    assert late.post("/login/passkey", credential=answer).status_code == 401


def test_a_copy_that_counts_behind_is_refused(doors: Doors, key: Authenticator) -> None:
    make(signed_in(doors, "anna", "operator:anna"), key)
    key.count = 7
    assert sign_in(Browser(doors), key).status_code == 200
    key.count = 3
    assert sign_in(Browser(doors), key).status_code == 401


def test_one_passkey_is_one_users(doors: Doors, key: Authenticator) -> None:
    make(signed_in(doors, "anna", "operator:anna"), key)
    assert make(signed_in(doors, "bob", "operator:anna"), key).status_code == 409
    with doors.desk.database.reading() as tx:
        assert links.passkeys(tx, users.by_email(tx, "bob@practice.example").id) == []


@pytest.mark.parametrize("nonsense", ["", "{}", "[]", "null", "x", '{"id": 1}', '{"id": "a\\u0000b"}'])
def test_nonsense_is_refused_alike(doors: Doors, nonsense: str) -> None:
    browser = Browser(doors)
    browser.get("/login")
    browser.post("/login/passkey/options")
    assert browser.post("/login/passkey", credential=nonsense).status_code == 401
    signed = signed_in(doors, "anna", "operator:anna")
    signed.get("/operator/account")
    signed.post("/operator/account/passkey/options", password=PASSWORD)
    assert signed.post("/operator/account/passkey", credential=nonsense).status_code == 422


def test_forms_that_are_not_ours_begin_nothing(doors: Doors) -> None:
    browser = Browser(doors)
    browser.get("/login")
    assert browser.post("/login/passkey/options", csrf="wrong").status_code == 403
    assert browser.post("/login/passkey", csrf="wrong").status_code == 403


def test_at_a_bare_address_there_are_none(sqlite: Database) -> None:
    doors = open_doors(sqlite)  # http://127.0.0.1:8000
    browser = Browser(doors)
    assert "data-passkey=" not in browser.get("/login").text
    assert browser.post("/login/passkey/options").status_code == 404
