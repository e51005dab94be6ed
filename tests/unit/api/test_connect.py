"""Links by which operators connect accounts: what they allow, to whom, and how often.

Covers: api.connect, sync.consents, sync.tickets, booking.notices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import sqlalchemy as sa

from ledger import clock
from ledger.db import Database
from ledger.tables import Calendar, Connection, OAuthFlow, OutboxMessage, Review
from sync import tickets
from sync.accounts import Accounts
from sync.errors import BadLink, LinkExpired, LinkUsed
from tests.support.browser import signed_in
from tests.support.doors import Doors, open_doors
from tests.support.provider_accounts import Account, account_at
from tests.support.servers import ANNA, radicale


@dataclass
class Visit:
    """One operator's browser, and the deployment behind the pages."""

    doors: Doors
    account: Account
    accounts: Accounts

    @property
    def provider(self) -> str:
        return self.account.provider

    def link(self, **options: Any) -> str:
        """A new link; its ticket."""
        database, vault = self.accounts.database, self.accounts.vault
        with database.transaction() as tx:
            options = {"provider": self.provider, "now": self.doors.now(), **options}
            flow = tickets.issue(tx, operator_id=self.doors.desk.operator_id, **options)
            return tickets.link(tx, vault, flow, "").partition("ticket=")[2]

    def press(self, ticket: str, provider: str = "") -> httpx.Response:
        return self.doors.client.post(f"/connect/{provider or self.provider}", data={"ticket": ticket})

    def consent(self, ticket: str) -> str:
        """Press the button and do what the provider's page wants; the address that the browser comes back to."""
        begun = self.press(ticket)
        assert begun.status_code == 303, begun.text
        back = httpx.get(begun.headers["location"], trust_env=False)
        assert back.status_code == 302, back.text
        parts = urlsplit(back.headers["location"])
        return f"{parts.path}?{parts.query}"

    def come_back(self, ticket: str) -> httpx.Response:
        return self.doors.client.get(self.consent(ticket))

    def connect(self, **options: Any) -> str:
        """All the way to the choice of calendars; its address."""
        landed = self.come_back(self.link(**options))
        assert landed.status_code == 303, landed.text
        return str(landed.headers["location"])

    def rows(self, table: Any) -> list[Any]:
        with self.accounts.database.reading() as tx:
            return list(tx.execute(sa.select(table.__table__).order_by(table.__table__.c.id)))


@pytest.fixture(params=["google", "microsoft"])
def visit(request: pytest.FixtureRequest, sqlite: Database) -> Iterator[Visit]:
    with account_at(request.param) as account:
        yield visit_to(sqlite, account)


def visit_to(database: Database, account: Account) -> Visit:
    doors = open_doors(database)
    doors.desk.now = clock.now()  # ids and tokens of the emulators are dated by the machine's clock
    site = doors.client.app.state.site  # type: ignore[attr-defined]
    accounts = Accounts(database, site.vault, account.endpoints)
    doors.client.app.state.site = replace(site, accounts=accounts)  # type: ignore[attr-defined]
    doors.client.base_url = "http://127.0.0.1:8000"
    return Visit(doors, account, accounts)


def test_the_whole_way(visit: Visit) -> None:
    ticket = visit.link(voice="provider")
    page = visit.doors.client.get(f"/connect/{visit.provider}?ticket={ticket}")
    assert page.status_code == 200
    assert f'action="/connect/{visit.provider}"' in page.text
    landed = visit.come_back(ticket)
    choice = visit.doors.client.get(landed.headers["location"])
    (connection,) = visit.rows(Connection)
    assert (connection.provider, connection.voice, connection.state) == (visit.provider, "provider", "ok")
    assert connection.account == visit.account.email
    assert connection.username != visit.account.email
    assert connection.secret.startswith("v1.")
    calendars = visit.rows(Calendar)
    assert all(calendar.name in choice.text for calendar in calendars)
    first = next(c.id for c in calendars if c.primary)
    assert f'name="busy:{first}" aria-label' in choice.text
    form = {"ticket": ticket, f"busy:{first}": "on", "bookings": str(first)}
    done = visit.doors.client.post(f"/connect/{visit.provider}/calendars", data=form)
    assert (done.status_code, "is connected" in done.text) == (200, True)
    assert "/connections" not in done.text  # who was only sent a link has no page to go back to
    assert [(c.busy, c.bookings, c.availability) for c in visit.rows(Calendar) if c.id == first] == [
        (True, True, False)
    ]
    assert {m.kind for m in visit.rows(OutboxMessage)} == {"PullCalendar"}


def test_who_is_signed_in_finds_the_way_back(visit: Visit) -> None:
    browser = signed_in(visit.doors, "anna", "operator:anna")
    visit.doors.client.cookies.update(browser.client.cookies)
    form = {"ticket": visit.connect().partition("ticket=")[2], "bookings": ""}
    done = visit.doors.client.post(f"/connect/{visit.provider}/calendars", data=form)
    assert 'href="/operator/connections"' in done.text


def test_opening_a_link_changes_nothing(visit: Visit) -> None:
    ticket = visit.link()
    before = visit.rows(OAuthFlow)
    for _ in range(3):
        assert visit.doors.client.get(f"/connect/{visit.provider}?ticket={ticket}").status_code == 200
    assert visit.rows(OAuthFlow) == before
    assert visit.account.control.requests() == []


def test_the_pages_are_kept_by_nobody_and_tell_nobody(visit: Visit) -> None:
    answer = visit.doors.client.get(f"/connect/{visit.provider}?ticket={visit.link()}")
    rules = answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in rules
    endpoints = visit.accounts.endpoints
    origin = endpoints.google_oauth_root if visit.provider == "google" else endpoints.microsoft_authority
    assert f"form-action 'self' {origin};" in rules
    assert (answer.headers["referrer-policy"], answer.headers["cache-control"]) == ("no-referrer", "no-store")


def test_the_cookie_is_for_these_pages_alone(visit: Visit) -> None:
    cookie = visit.press(visit.link()).headers["set-cookie"].lower()
    assert {"httponly", "samesite=lax", "path=/connect"} <= {part.strip() for part in cookie.split(";")}


@pytest.mark.parametrize("ticket", ["", "1", "1.", "x.y", "999.AAAA", "1.AAAAAAAAAAAAAAAAAAAAAAAA", "é.é", "9" * 400])
def test_a_made_up_link_leads_nowhere(visit: Visit, ticket: str) -> None:
    visit.link()
    for answer in (
        visit.doors.client.get(f"/connect/{visit.provider}", params={"ticket": ticket}),
        visit.press(ticket),
        visit.doors.client.get(f"/connect/{visit.provider}/calendars", params={"ticket": ticket}),
    ):
        assert answer.status_code == 400
        assert "not valid any more" in answer.text
    assert visit.rows(Connection) == []


@pytest.mark.parametrize("provider", ["elsewhere", "a%00b", "%F0%9F%98%80"])
def test_a_provider_that_nobody_has_is_no_link_either(database: Database, provider: str) -> None:
    doors = open_doors(database)
    for path in (f"/connect/{provider}?ticket=1.a%00", f"/connect/{provider}/callback?state=%00&code=x"):
        assert doors.client.get(path).status_code in (400, 404)
    assert doors.client.post(f"/connect/{provider}", data={"ticket": "1.\x00"}).status_code in (400, 404, 422)


def test_a_link_is_for_one_provider_and_expires(visit: Visit) -> None:
    ticket = visit.link()
    other = {"google": "microsoft", "microsoft": "google"}[visit.provider]
    assert visit.press(ticket, other).status_code == 400
    assert visit.doors.client.get(f"/connect/elsewhere?ticket={ticket}").status_code == 400
    back = visit.consent(ticket)
    visit.doors.desk.now += timedelta(hours=25)
    assert visit.press(ticket).status_code == 400
    assert visit.doors.client.get(back).status_code == 400
    assert visit.rows(Connection) == []


def test_a_link_works_once(visit: Visit) -> None:
    ticket = visit.link()
    assert visit.come_back(ticket).status_code == 303
    assert visit.doors.client.get(f"/connect/{visit.provider}?ticket={ticket}").status_code == 400
    assert visit.press(ticket).status_code == 400


def test_a_return_works_once_and_only_in_the_browser_that_began(visit: Visit) -> None:
    back = visit.consent(visit.link())
    cookies = dict(visit.doors.client.cookies)
    visit.doors.client.cookies.clear()
    assert visit.doors.client.get(back).status_code == 400
    visit.doors.client.cookies.set("slotledger_connect", "guessed")
    assert visit.doors.client.get(back).status_code == 400
    assert visit.rows(Connection) == []
    visit.doors.client.cookies.clear()
    visit.doors.client.cookies.update(cookies)
    assert visit.doors.client.get(back).status_code == 303
    assert visit.doors.client.get(back).status_code == 400


def test_somebody_elses_state_is_refused(visit: Visit) -> None:
    back = visit.consent(visit.link())
    state = httpx.URL(back).params["state"]
    assert visit.doors.client.get(back.replace(state, state[::-1])).status_code == 400
    assert visit.doors.client.get(f"/connect/{visit.provider}/callback?code=x").status_code == 400
    assert visit.rows(Connection) == []


def test_a_consent_begun_again_replaces_the_first(visit: Visit) -> None:
    ticket = visit.link()
    first = visit.consent(ticket)
    second = visit.consent(ticket)
    assert visit.doors.client.get(first).status_code == 400
    assert visit.doors.client.get(second).status_code == 303


def test_who_refuses_may_open_the_link_again(visit: Visit) -> None:
    ticket = visit.link()
    visit.account.deny(True)
    refused = visit.come_back(ticket)
    assert (refused.status_code, "did not give permission" in refused.text) == (400, True)
    assert f'href="/connect/{visit.provider}?ticket={ticket}">Try again' in refused.text
    visit.account.deny(False)
    assert visit.come_back(ticket).status_code == 303


def test_another_browser_is_not_told_the_link(visit: Visit) -> None:
    ticket = visit.link()
    visit.account.deny(True)
    back = visit.consent(ticket)
    visit.doors.client.cookies.clear()
    assert ticket not in visit.doors.client.get(back).text


def test_too_few_permissions_are_named(visit: Visit) -> None:
    ticket = visit.link()
    visit.account.grant_less(True)
    answer = visit.come_back(ticket)
    assert (answer.status_code, "A permission is missing" in answer.text) == (400, True)
    assert visit.rows(Connection) == []
    visit.account.grant_less(False)
    assert visit.come_back(ticket).status_code == 303


def test_a_provider_that_fails_leaves_the_link_good(visit: Visit) -> None:
    ticket = visit.link()
    back = visit.consent(ticket)
    if visit.provider == "google":
        visit.account.control.fault("status", status=503, method="POST", path="/token$", count=9)
    else:
        visit.account.control.add_fault("status", status=503, method="POST", path="/token$", count=9)
    answer = visit.doors.client.get(back)
    assert (answer.status_code, "does not answer" in answer.text) == (502, True)
    visit.account.control.clear_faults()
    assert visit.come_back(ticket).status_code == 303


def test_a_deployment_that_is_not_registered_says_so(visit: Visit) -> None:
    visit.accounts.endpoints = replace(visit.accounts.endpoints, google_client_id="", microsoft_client_id="")
    answer = visit.press(visit.link())
    assert (answer.status_code, "refuses the connection" in answer.text) == (400, True)


def test_the_choice_of_calendars_belongs_to_the_browser(visit: Visit) -> None:
    address = visit.connect()
    assert visit.doors.client.get(address).status_code == 200
    visit.doors.client.cookies.clear()
    assert visit.doors.client.get(address).status_code == 400
    ticket = httpx.URL(address).params["ticket"]
    answer = visit.doors.client.post(f"/connect/{visit.provider}/calendars", data={"ticket": ticket, "bookings": "1"})
    assert answer.status_code == 400
    assert not any(c.bookings for c in visit.rows(Calendar))


def test_the_choice_of_calendars_is_not_there_before_the_account_is(visit: Visit) -> None:
    ticket = visit.link()
    visit.press(ticket)
    assert visit.doors.client.get(f"/connect/{visit.provider}/calendars?ticket={ticket}").status_code == 400


def test_bookings_move_from_one_calendar_to_another_and_away(visit: Visit) -> None:
    address = visit.connect()
    ticket = httpx.URL(address).params["ticket"]
    ids = [c.id for c in visit.rows(Calendar)]

    def choose(**form: str) -> httpx.Response:
        return visit.doors.client.post(f"/connect/{visit.provider}/calendars", data={"ticket": ticket, **form})

    for chosen in (ids[0], ids[1], None):
        assert choose(bookings=str(chosen or "")).status_code == 200
        assert [c.id for c in visit.rows(Calendar) if c.bookings] == ([chosen] if chosen else [])


def test_a_calendar_that_refuses_the_test_event_is_told(visit: Visit) -> None:
    address = visit.connect()
    ticket = httpx.URL(address).params["ticket"]
    first = next(c for c in visit.rows(Calendar) if c.primary)
    with visit.accounts.database.transaction() as tx:
        tx.execute(sa.update(Calendar).values(writable=False))
    form = {"ticket": ticket, "bookings": str(first.id)}
    answer = visit.doors.client.post(f"/connect/{visit.provider}/calendars", data=form)
    assert (answer.status_code, "can only be read" in answer.text) == (422, True)


# --- reconnecting -----------------------------------------------------------------------------------------------------


def test_reconnecting_keeps_calendars_roles_and_voice(visit: Visit) -> None:
    visit.connect(voice="provider")
    (before,) = visit.rows(Connection)
    first = next(c.id for c in visit.rows(Calendar) if c.primary)
    visit.accounts.assign(first, busy=True, bookings=True, now=visit.doors.now())
    known = [(c.id, c.href, c.busy, c.bookings) for c in visit.rows(Calendar)]
    with visit.accounts.database.transaction() as tx:
        tx.execute(sa.update(Connection).values(state="reconnect"))
    ticket = visit.link(connection_id=before.id)
    assert visit.account.email in visit.doors.client.get(f"/connect/{visit.provider}?ticket={ticket}").text
    assert visit.come_back(ticket).status_code == 303
    (after,) = visit.rows(Connection)
    assert (after.id, after.state, after.voice) == (before.id, "ok", "provider")
    assert after.secret != before.secret
    assert [(c.id, c.href, c.busy, c.bookings) for c in visit.rows(Calendar)] == known


def test_another_account_does_not_reconnect_this_one(visit: Visit) -> None:
    visit.connect()
    (before,) = visit.rows(Connection)
    with visit.accounts.database.transaction() as tx:
        tx.execute(sa.update(Connection).values(username="somebody else"))
    answer = visit.come_back(visit.link(connection_id=before.id))
    assert (answer.status_code, "another account" in answer.text) == (400, True)
    assert "Try again" in answer.text
    (after,) = visit.rows(Connection)
    assert after.secret == before.secret


def test_a_second_account_is_a_second_connection(visit: Visit) -> None:
    if visit.provider != "google":
        pytest.skip("the other emulator takes the hinted account")
    visit.connect()
    visit.account.control.add_person("eve@practice.example", "Eve")
    visit.account.control.consent(account="eve@practice.example")
    visit.connect()
    assert [c.account for c in visit.rows(Connection)] == [visit.account.email, "eve@practice.example"]


def test_a_failed_grant_is_told_once_with_a_link_that_mends_it(visit: Visit) -> None:
    from connectors.errors import NeedsReconnect

    visit.connect()
    (connection,) = visit.rows(Connection)
    for _ in range(3):
        with visit.accounts.database.transaction() as tx:
            visit.accounts.note_failure(tx, connection.id, NeedsReconnect("revoked"), now=visit.doors.now())
    mails = [m for m in visit.rows(OutboxMessage) if m.kind == "SendMail"]
    assert [m.body["about"] for m in mails] == ["reconnect"]
    assert [r.kind for r in visit.rows(Review)] == ["reconnect"]
    with visit.accounts.database.reading() as tx:
        ticket = tickets.link(tx, visit.accounts.vault, mails[0].body["revision"], "").partition("ticket=")[2]
    assert visit.come_back(ticket).status_code == 303
    assert [(r.kind, r.state) for r in visit.rows(Review)] == [("reconnect", "approved")]


# --- a password -------------------------------------------------------------------------------------------------------


def test_caldav_asks_for_a_password_and_connects(sqlite: Database) -> None:
    with radicale() as server, account_at("google") as account:
        visit = visit_to(sqlite, account)
        visit.accounts.endpoints = replace(visit.accounts.endpoints, allow_private_networks=True)
        (name, password), *_ = ANNA.items()
        server.make_calendar(name, "work", timezone="Europe/Berlin")
        ticket = visit.link(provider="caldav")
        form = {"ticket": ticket, "url": server.url, "username": name, "password": "wrong"}
        wrong = visit.doors.client.post("/connect/caldav", data=form)
        assert (wrong.status_code, "does not accept" in wrong.text) == (422, True)
        assert "wrong" not in wrong.text
        landed = visit.doors.client.post("/connect/caldav", data=form | {"password": password})
        assert landed.status_code == 303
        assert "work" in visit.doors.client.get(landed.headers["location"]).text
        (connection,) = visit.rows(Connection)
        again = visit.link(provider="caldav", connection_id=connection.id)
        landed = visit.doors.client.post("/connect/caldav", data={"ticket": again, "password": password})
        assert landed.status_code == 303
        assert len(visit.rows(Connection)) == 1


# --- tickets ----------------------------------------------------------------------------------------------------------


def test_tickets_say_why_they_are_no_good(visit: Visit) -> None:
    database, vault, now = visit.accounts.database, visit.accounts.vault, visit.doors.now()
    ticket = visit.link()
    with database.reading() as tx:
        assert tickets.read(tx, vault, ticket, visit.provider, now=now).operator_id == visit.doors.desk.operator_id
        with pytest.raises(BadLink):
            tickets.read(tx, vault, ticket, visit.provider, now=now, used=True)
        with pytest.raises(LinkExpired):
            tickets.read(tx, vault, ticket, visit.provider, now=now + timedelta(hours=24))
    visit.come_back(ticket)
    with database.reading() as tx, pytest.raises(LinkUsed):
        tickets.read(tx, vault, ticket, visit.provider, now=now)
    with database.transaction() as tx:
        assert tickets.forget_old(tx, now + timedelta(days=30)) == 0
        assert tickets.forget_old(tx, now + timedelta(days=32)) == 1


def test_a_booking_that_the_account_invites_to_offers_no_second_entry(sqlite: Database) -> None:
    """The provider's event has a UID of its own; a file of ours beside it would double it in the client's calendar."""
    doors = open_doors(sqlite)
    booking = doors.desk.book(doors.desk.at(9, 1))
    address = f"/en/b/{doors.desk.seen(booking).token}"
    assert "invite.ics" in doors.client.get(address).text
    with sqlite.transaction() as tx:
        tx.execute(sa.text("UPDATE booking SET voice = 'provider'"))
    assert "invite.ics" not in doors.client.get(address).text
