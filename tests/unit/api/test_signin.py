"""The door for people: who gets in, what a form needs, how one gets out.

Covers: api.signin.routes, api.signin.visits, api.signin.pages, api.signin.account, api.signin.words, api.signin.doors.
"""

from __future__ import annotations

import html
import re
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
import segno
import sqlalchemy as sa

from api.signin.visits import safe_next
from api.signin.words import browser_name
from ledger import audit
from ledger.db import Database
from ledger.identity import sessions, users
from ledger.identity.tables import UserSession
from tests.support.browser import HASHED, PASSWORD, Browser, signed_in, user
from tests.support.doors import Doors, open_doors


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    return open_doors(sqlite)


def written(doors: Doors) -> list[str]:
    """What is on record, oldest first."""
    with doors.desk.database.reading() as tx:
        return [entry["action"] for entry in reversed(audit.listing(tx))]


def test_from_the_door_to_the_desk_and_out(doors: Doors) -> None:
    user(doors, "anna", "operator:anna")
    browser = Browser(doors)
    turned_away = browser.get("/operator/line")
    assert turned_away.status_code == 303
    assert turned_away.headers["location"] == "/login?next=%2Foperator%2Fline"
    wanted = parse_qs(urlsplit(turned_away.headers["location"]).query)["next"][0]
    browser.get(turned_away.headers["location"])
    answer = browser.post("/login", email="Anna@practice.example ", password=PASSWORD, next=wanted)
    assert (answer.status_code, answer.headers["location"]) == (303, "/operator/line")
    assert browser.get("/operator/line").status_code == 200
    assert browser.get("/login").headers["location"] == "/operator/"
    browser.get("/operator/")
    assert browser.post("/logout").headers["location"] == "/login"
    assert browser.get("/operator/").status_code == 303
    assert not browser.session


@pytest.mark.parametrize(
    "given",
    [
        {"password": "wrong password here"},
        {"email": "nobody@practice.example"},
        {"email": "google@practice.example"},  # has no password
        {"email": "coded@practice.example"},  # has codes, and gives none
        {"email": "coded@practice.example", "code": "000000"},
        {"email": "", "password": ""},
        {"email": "a\0b", "password": "\0"},
        {"email": "x" * 5000, "password": "x" * 5000},
    ],
)
def test_whatever_is_wrong_looks_the_same(doors: Doors, given: dict[str, str]) -> None:
    user(doors, "anna", "operator:anna")
    user(doors, "coded", "admin")
    with doors.desk.database.transaction() as tx:
        users.add(tx, email="google@practice.example", role="admin", now=doors.now())
        secret = pyotp.random_base32()
        coded = users.by_email(tx, "coded@practice.example").id
        vault = doors.client.app.state.site.vault  # type: ignore[attr-defined]
        users.start_codes(tx, vault, coded, secret=secret, code=pyotp.TOTP(secret).at(doors.now()), now=doors.now())
    browser = Browser(doors)
    browser.get("/login")
    wrong = browser.post("/login", email="anna@practice.example", password="no no no no no")
    answer = browser.post("/login", **{"email": "anna@practice.example", "password": PASSWORD, **given})

    def plain(page: str) -> str:
        return re.sub(r'(id="email".*?value=)"[^"]*"', r"\1", page, flags=re.S)

    assert (answer.status_code, wrong.status_code) == (401, 401)
    assert plain(answer.text) == plain(wrong.text)
    assert answer.headers.keys() == wrong.headers.keys()
    assert not browser.session


def test_a_code_is_asked_for_and_taken_once(doors: Doors) -> None:
    browser = signed_in(doors, "anna", "operator:anna")
    browser.get("/operator/account")
    assert browser.post("/operator/account/codes", password="not the password").status_code == 422
    setup = browser.post("/operator/account/codes", password=PASSWORD)
    browser.shown = setup
    secret = "".join(re.search(r'class="big secret"><bdi>(.*?)</bdi>', setup.text, re.S)[1].split())  # type: ignore[index]
    sealed = re.search(r'name="secret" value="([^"]+)"', setup.text)[1]  # type: ignore[index]
    assert f"secret={secret}" in setup.text  # the link for the phone
    assert browser.post("/operator/account/codes", secret=sealed, code="123456").status_code == 422
    assert browser.post("/operator/account/codes", secret="v1.nonsense", code="123456").status_code == 404
    before = browser.session
    done = browser.post("/operator/account/codes", secret=sealed, code=pyotp.TOTP(secret).at(doors.now()))
    recovery = re.findall(r"<code>([a-z2-7-]+)</code>", done.text)
    assert len(recovery) == 8
    assert browser.session != before
    browser.shown = done  # its forms are the renewed session's
    assert browser.post("/operator/account/codes", password="not the password").status_code == 422
    other = Browser(doors)
    doors.desk.now += timedelta(minutes=1)
    code = pyotp.TOTP(secret).at(doors.now())
    assert other.sign_in("anna").status_code == 401
    assert other.sign_in("anna", code=code).status_code == 303
    assert Browser(doors).sign_in("anna", code=code).status_code == 401  # a replay
    assert Browser(doors).sign_in("anna", code=recovery[3]).status_code == 303
    assert Browser(doors).sign_in("anna", code=recovery[3]).status_code == 401
    browser.get("/operator/account")
    assert "7 recovery codes are left." in browser.shown.text
    assert browser.post("/operator/account/codes/off", password="wrong").status_code == 422
    assert browser.post("/operator/account/codes/off", password=PASSWORD).status_code == 303
    assert written(doors) == ["user.codes_on", "user.codes_off"]
    assert Browser(doors).sign_in("anna").status_code == 303


# --- sessions -----------------------------------------------------------------------------------------------------


def test_a_session_that_was_there_before_is_not_the_one_afterwards(doors: Doors) -> None:
    """Fixation: neither a cookie of an attacker's choosing nor an attacker's own session goes on after signing in."""
    user(doors, "anna", "operator:anna")
    attacker = signed_in(doors, "eve", "read")
    for planted in ("chosen-by-an-attacker", attacker.session):
        browser = Browser(doors)
        browser.client.cookies.set("slotledger_session", planted, domain="127.0.0.1", path="/")
        browser.client.cookies.set("slotledger_stranger", "x" * 32, domain="127.0.0.1", path="/")
        page = browser.client.get("/login", headers={"cookie": "slotledger_stranger=" + "x" * 32})
        browser.shown = page
        answer = browser.post("/login", email="anna@practice.example", password=PASSWORD)
        assert answer.status_code == 303
        given = re.search(r"slotledger_session=([^;]+)", answer.headers["set-cookie"])
        assert given is not None
        assert given[1] != planted
    assert attacker.get("/admin/").status_code == 303  # it ended when another one signed in over it


def test_signing_in_again_makes_another_session(doors: Doors) -> None:
    browser = signed_in(doors, "anna", "operator:anna")
    first = browser.session
    browser.get("/operator/")
    browser.post("/logout")
    browser.sign_in("anna")
    assert browser.session not in ("", first)


def test_expired_and_revoked_sessions_open_nothing(doors: Doors) -> None:
    browser = signed_in(doors, "anna", "operator:anna")
    doors.desk.now += sessions.IDLE
    assert browser.get("/operator/").status_code == 303
    doors.desk.now -= sessions.IDLE
    assert browser.get("/operator/").status_code == 200
    with doors.desk.database.transaction() as tx:
        users.end_sessions(tx, users.by_email(tx, "anna@practice.example").id)
    assert browser.get("/operator/").status_code == 303
    assert browser.post("/operator/pauses", csrf="x", scope="operator:anna").headers["location"] == "/login"


def test_using_a_session_keeps_it_alive(doors: Doors) -> None:
    browser = signed_in(doors, "anna", "operator:anna")
    for _ in range(3):
        doors.desk.now += sessions.IDLE - timedelta(minutes=1)
        assert browser.get("/operator/").status_code == 200


def test_sessions_are_listed_and_ended_one_by_one_and_all(doors: Doors) -> None:
    here = signed_in(doors, "anna", "operator:anna")
    phone, laptop, stranger = Browser(doors), Browser(doors), signed_in(doors, "ben", "admin")
    for browser in (phone, laptop):
        browser.sign_in("anna")
    page = here.get("/operator/account")
    ends = re.findall(r'action="(/operator/account/sessions/\d+/end)"', page.text)
    assert len(ends) == 2
    stranger.get("/admin/account")
    assert stranger.post(ends[0].replace("/operator/", "/admin/")).status_code == 404
    assert here.post(ends[0]).status_code == 303
    assert written(doors) == ["user.session_ended"]
    alive = [b.get("/operator/").status_code for b in (here, phone, laptop)]
    assert sorted(alive) == [200, 200, 303]
    assert alive[0] == 200
    here.get("/operator/account")
    here.post("/logout", everywhere="yes")
    assert [b.get("/operator/").status_code for b in (here, phone, laptop)] == [303, 303, 303]
    assert stranger.get("/admin/").status_code == 200


def test_another_password_renews_this_session_and_ends_the_others(doors: Doors) -> None:
    here, elsewhere = signed_in(doors, "anna", "operator:anna"), Browser(doors)
    elsewhere.sign_in("anna")
    here.get("/operator/account")
    before = here.session
    for given in ({"password": "wrong", "new": "a new good password"}, {"password": PASSWORD, "new": "short"}):
        assert here.post("/operator/account/password", **given).status_code == 422
    done = here.post("/operator/account/password", password=PASSWORD, new="a new good password")
    assert done.status_code == 303
    assert written(doors) == ["user.password_changed"]
    assert here.session != before
    assert here.get("/operator/account?did=password").status_code == 200
    assert elsewhere.get("/operator/").status_code == 303
    stolen = Browser(doors)
    stolen.client.cookies.set("slotledger_session", before, domain="127.0.0.1", path="/")
    assert stolen.get("/operator/").status_code == 303
    assert Browser(doors).sign_in("anna").status_code == 401
    assert Browser(doors).sign_in("anna", "a new good password").status_code == 303


def test_another_role_signs_out(doors: Doors) -> None:
    browser = signed_in(doors, "anna", "admin")
    with doors.desk.database.transaction() as tx:
        users.add(tx, email="anna@practice.example", role="read", now=doors.now(), replace=True)
    assert browser.get("/admin/").status_code == 303


# --- forms --------------------------------------------------------------------------------------------------------


def pauses(doors: Doors) -> int:
    answer = doors.admin("GET", "/pauses")
    return len(answer.json()["items"])


@pytest.mark.parametrize(
    ("field", "headers"),
    [
        (None, {}),
        ("", {}),
        ("wrong", {}),
        ("other", {}),
        ("right", {"Origin": "https://evil.example"}),
        ("right", {"Origin": "null"}),
        ("right", {"Origin": "http://127.0.0.1:8001"}),
        ("right", {"Origin": "http://127.0.0.1.evil.example:8000"}),
        ("right", {"Referer": "https://evil.example/page"}),
        ("right", {"Sec-Fetch-Site": "cross-site"}),
        ("right", {"Sec-Fetch-Site": "same-site"}),
    ],
)
def test_a_form_that_is_not_ours_changes_nothing(doors: Doors, field: str | None, headers: dict[str, str]) -> None:
    browser, other = signed_in(doors, "anna", "operator:anna"), Browser(doors)
    other.sign_in("anna")
    other.get("/operator/pauses")
    browser.get("/operator/pauses")
    token = {"right": browser.token(), "other": other.token()}.get(field or "", field)
    answer = browser.post("/operator/pauses", headers, csrf=token, scope="operator:anna")
    assert (answer.status_code, pauses(doors)) == (403, 0)
    assert "text/html" in answer.headers["content-type"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://localhost:8000", "Host": "localhost:8000"},
        {"Referer": "http://127.0.0.1:8000/operator/pauses"},
    ],
)
def test_our_own_form_is_taken(doors: Doors, headers: dict[str, str]) -> None:
    browser = signed_in(doors, "anna", "operator:anna")
    browser.get("/operator/pauses")
    headers = {**headers, "Cookie": f"slotledger_session={browser.session}"}
    answer = browser.post("/operator/pauses", headers, scope="operator:anna")
    assert (answer.status_code, pauses(doors)) == (303, 1)


def test_a_token_of_an_ended_session_is_worth_nothing(doors: Doors) -> None:
    browser = signed_in(doors, "anna", "operator:anna")
    browser.get("/operator/pauses")
    old = browser.token()
    browser.post("/logout")
    browser.sign_in("anna")
    assert browser.post("/operator/pauses", csrf=old, scope="operator:anna").status_code == 403
    assert pauses(doors) == 0


def test_nobody_is_signed_in_by_anothers_form(doors: Doors) -> None:
    """Login CSRF: an attacker's password from an attacker's page opens an attacker's desk in nobody's browser."""
    user(doors, "eve", "admin")
    eve, victim = Browser(doors), Browser(doors)
    eve.get("/login")
    given = {"email": "eve@practice.example", "password": PASSWORD}
    assert victim.post("/login", csrf=eve.token(), **given).status_code == 403  # without a cookie
    victim.get("/login")
    assert victim.post("/login", csrf=eve.token(), **given).status_code == 403  # with one of their own
    assert victim.post("/login", {"Origin": "https://evil.example"}, **given).status_code == 403
    assert not victim.session
    assert victim.post("/login", **given).status_code == 303


def test_every_form_behind_the_doors_carries_its_token(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1), "kata")
    doors.desk.join("eva", {"start": doors.desk.at(9, 1)})
    for who, role, door in (("anna", "operator:anna", "operator"), ("root", "admin", "admin")):
        browser = signed_in(doors, who, role)
        for path in ("", "line", "reviews", "pauses", "connections", "account", f"bookings/{booking}"):
            page = browser.get(f"/{door}/{path}").text
            forms = re.findall(r'<form[^>]*method="post".*?</form>', page, re.S)
            assert forms, path
            assert all(f'name="csrf" value="{browser.token()}"' in form for form in forms), path


# --- cookies and headers ------------------------------------------------------------------------------------------


def test_cookies_are_the_servers_alone(doors: Doors) -> None:
    user(doors, "anna", "operator:anna")
    browser = Browser(doors)
    cookies = browser.get("/login").headers.get_list("set-cookie")
    cookies += browser.sign_in("anna").headers.get_list("set-cookie")
    assert {c.split("=")[0] for c in cookies} == {"slotledger_session", "slotledger_stranger"}
    for cookie in cookies:
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Path=/" in cookie
        assert "Domain" not in cookie


def test_behind_https_cookies_are_host_bound_and_secure(doors: Doors) -> None:
    user(doors, "anna", "operator:anna")
    app = doors.client.app
    site = app.state.site  # type: ignore[attr-defined]
    app.state.site = replace(  # type: ignore[attr-defined]
        site, settings=replace(site.settings, base_url="https://book.example.org")
    )
    browser = Browser(doors)
    browser.client.base_url = "https://book.example.org"
    browser.get("/login")
    answer = browser.sign_in("anna")
    (session,) = [c for c in answer.headers.get_list("set-cookie") if "session=" in c]
    assert session.startswith("__Host-slotledger_session=")
    assert "Secure" in session
    assert browser.get("/operator/").status_code == 200


def test_pages_behind_the_doors_are_not_kept_framed_or_scripted(doors: Doors) -> None:
    browser = signed_in(doors, "anna", "operator:anna")
    for path in ("/login", "/operator/", "/operator/account", "/operator/pauses"):
        answer = browser.get(path) if path != "/login" else Browser(doors).get(path)
        rules = answer.headers["content-security-policy"]
        assert "script-src 'self'" in rules
        assert "unsafe" not in rules
        assert "frame-ancestors 'none'" in rules
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|javascript:", answer.text)


@pytest.mark.parametrize(
    ("wanted", "went"),
    [
        ("/operator/line?after=3", "/operator/line?after=3"),
        ("/admin/reviews", "/admin/reviews"),
        ("https://evil.example/", ""),
        ("//evil.example/operator/", ""),
        ("/operator//evil.example", ""),
        ("/\\evil.example", ""),
        ("/operator/../../api", ""),
        ("/en/anna", ""),
        ("/operator/\r\nSet-Cookie: a=b", ""),
        ("", ""),
    ],
)
def test_one_goes_on_to_our_own_pages_only(wanted: str, went: str) -> None:
    assert safe_next(wanted) == went


def test_the_password_is_in_no_answer_and_the_token_in_no_table(doors: Doors) -> None:
    browser = signed_in(doors, "anna", "operator:anna")
    assert PASSWORD not in browser.get("/operator/account").text
    assert HASHED not in browser.shown.text
    with doors.desk.database.reading() as tx:
        stored = tx.execute(sa.select(UserSession.hash)).scalars().all()
    assert browser.session
    assert browser.session not in stored


def test_numbers_and_origins_beyond_all_bounds_are_refused(doors: Doors) -> None:
    browser = signed_in(doors, "anna", "operator:anna")
    browser.get("/operator/account")
    far = 2**64
    for path in (f"pauses/{far}", f"line/{far}", f"reviews/{far}", f"account/sessions/{far}/end"):
        assert browser.post(f"/operator/{path}").status_code == 422, path
    assert browser.get(f"/operator/pauses/{far}").status_code == 422
    browser.get("/operator/account")
    assert browser.post("/logout", {"origin": "http://[bad"}).status_code == 403
    assert browser.get("/operator/").status_code == 200


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36", "Chrome · Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/126.0 Safari/537.36 Edg/126.0", "Edge · Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Version/17.5 Mobile/15E148 Safari/604.1", "Safari · iPhone"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:127.0) Gecko/20100101 Firefox/127.0", "Firefox · macOS"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("", "–"),
    ],
)  # fmt: skip
def test_a_browser_is_called_what_people_call_it(agent: str, name: str) -> None:
    assert browser_name(agent) == name


def test_the_key_for_codes_is_there_as_a_picture_too(doors: Doors) -> None:
    browser = signed_in(doors, "anna", "operator:anna")
    browser.get("/operator/account")
    setup = html.unescape(browser.post("/operator/account/codes", password=PASSWORD).text)
    address = re.search(r'href="(otpauth:[^"]+)"', setup)[1]  # type: ignore[index]
    picture = re.search(r'<img class="qr" src="(data:image/svg\+xml[^"]+)" alt="[^"]+"', setup)[1]  # type: ignore[index]
    assert picture == html.unescape(segno.make(address).svg_data_uri(light="#fff"))
