"""The tracker: not there unless it is set up, not loaded before a yes, and never where it has no business.

Covers: api.pages.consent, api.pages.tracker.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from api.pages.tracker import SHOWN_ON
from booking.i18n import LANGUAGES
from ledger.db import Database
from tests.support.doors import Doors, open_doors

ID = "BP-a1B2c3D4e5-07"
HOST = "https://pixel.barion.com"
OURS = {"origin": "http://testserver"}
PUBLIC = ("/", "/en/anna", "/en/anna/talk")
_URL = re.compile(r"""(?:src|href|action)=["']?(?:https?:)?//""")


@pytest.fixture
def doors(sqlite: Database) -> Iterator[Doors]:
    opened = open_doors(sqlite)
    site = opened.client.app.state.site  # type: ignore[attr-defined]
    opened.client.app.state.site = replace(site, settings=replace(site.settings, pixel_id=ID))  # type: ignore[attr-defined]
    with opened.client:
        yield opened


def choose(doors: Doors, answer: str, back: str = "/en/anna/talk", **headers: str) -> httpx.Response:
    return doors.client.post("/consent", data={"answer": answer, "back": back}, headers={**OURS, **headers})


def foreign(answer: httpx.Response) -> bool:
    """Does the page or its policy name anybody else?"""
    return (
        "barion.com" in answer.text
        or "://" in answer.headers["content-security-policy"]
        or bool(_URL.search(answer.text))
    )


def test_without_an_id_there_is_nothing_of_it(sqlite: Database) -> None:
    bare = open_doors(sqlite)
    bare.client.cookies.set("sl_tracking", "yes")
    for path in PUBLIC:
        answer = bare.client.get(path)
        assert answer.status_code == 200
        assert "/consent" not in answer.text
        assert not foreign(answer)
        assert "vary" not in answer.headers or "Cookie" not in answer.headers["vary"]


@pytest.mark.parametrize("path", PUBLIC)
def test_before_a_choice_nothing_is_loaded_or_named(doors: Doors, path: str) -> None:
    answer = doors.client.get(path)
    assert 'action="/consent"' in answer.text
    assert ID not in answer.text
    assert not foreign(answer)


@pytest.mark.parametrize("path", PUBLIC)
def test_after_a_yes_there_is_the_one_script(doors: Doors, path: str) -> None:
    answer = choose(doors, "yes", path)
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    assert {"HttpOnly", "SameSite=lax"} <= set(answer.headers["set-cookie"].split("; "))
    page = doors.client.get(path)
    named = re.findall(r"https?://[^\"' ]+", page.text)
    assert [url for url in named if url != "http://www.w3.org/2000/svg"] == [
        f"{HOST}/bp.js"
    ]  # an XML namespace is no place
    assert f'data-id="{ID}"' in page.text
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert {name for name, value in policy.items() if "://" in value} == {
        "script-src",
        "connect-src",
        "img-src",
        "frame-src",
    }
    assert policy["script-src"] == f"'self' {HOST}"
    assert all("unsafe" not in value for value in policy.values())
    assert page.headers["vary"].split(", ") == ["Cookie", "Sec-Fetch-Dest"]


def test_a_no_is_kept_and_loads_nothing(doors: Doors) -> None:
    choose(doors, "no")
    page = doors.client.get("/en/anna/talk")
    assert not foreign(page)
    assert "Your visit is not counted." in page.text
    assert "May Barion" not in page.text


def test_a_yes_can_be_taken_back_from_any_page(doors: Doors) -> None:
    choose(doors, "yes")
    assert 'value="no"' in doors.client.get("/en/anna").text
    choose(doors, "no")
    assert not foreign(doors.client.get("/en/anna"))
    choose(doors, "ask")
    assert "May Barion" in doors.client.get("/en/anna").text


def test_it_is_nowhere_else(doors: Doors) -> None:
    booking_id = doors.desk.book(doors.desk.at(9))
    token = doors.desk.seen(booking_id).token
    place = doors.desk.join("imre", {"start": doors.desk.at(9)})
    choose(doors, "yes")
    start = "2027-01-11T10:00:00%2B00:00"
    for path in (
        f"/en/b/{token}", f"/en/w/{place}", f"/en/anna/talk?start={start}", f"/en/anna/talk?wait={start}", "/en/nobody",
        f"/operator/bookings/{booking_id}",
    ):  # fmt: skip
        answer = doors.client.get(path, follow_redirects=True)
        assert "barion" not in answer.text.lower(), path
        assert HOST not in answer.headers.get("content-security-policy", ""), path
    assert {"home.html", "operator.html", "service.html"} == SHOWN_ON


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"origin": "null"}, {"origin": ""}])
def test_nobody_says_yes_for_somebody_else(doors: Doors, headers: dict[str, str]) -> None:
    assert "set-cookie" not in choose(doors, "yes", **headers).headers
    assert not foreign(doors.client.get("/en/anna/talk"))


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example/", "/\\evil.example", "", "javascript:x", "/a\r\nb"]
)
def test_the_way_back_stays_on_this_site(doors: Doors, back: str) -> None:
    assert choose(doors, "no", back).headers["location"] == "/"


def test_a_cookie_of_somebody_elses_making_counts_as_no_choice(doors: Doors) -> None:
    doors.client.cookies.set("sl_tracking", "perhaps")
    page = doors.client.get("/en/anna/talk")
    assert "May Barion" in page.text
    assert not foreign(page)


@pytest.mark.parametrize("language", [code for code in LANGUAGES if code != "en"])
def test_it_is_asked_in_the_readers_language(doors: Doors, language: str) -> None:
    page = doors.client.get(f"/{language}/anna/talk").text
    assert "Barion" in page
    assert "May Barion" not in page
