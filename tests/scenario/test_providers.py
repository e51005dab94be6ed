"""The loop on Google and Microsoft, as its people live it: consent in a browser, the operator in their own app, push or polling.

The providers are the local emulators, played through their control; the product runs as its own processes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.brokers import broker_url
from tests.support.databases import postgres_url
from tests.support.provider_accounts import BERLIN, Account, Living, account_at, go_through_consent
from tests.support.service import CONSULTATION, Practice, Service, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LENGTH = timedelta(minutes=50)


@dataclass
class AtProvider(Practice):
    """A practice whose calendars are in one account. bookings: the default calendar, which also blocks time."""

    account: Account = None  # type: ignore[assignment]
    token: str = ""

    def event(self, start: str) -> Living:
        """The one event at that start, in the bookings calendar."""
        return self.account.at(self.account.primary, at(start))

    def told(self, who: str) -> list[tuple[str | None, int | None, str | None]]:
        """What we mailed to somebody."""
        return [(m.method, m.sequence, m.uid) for m in self.service.mails(f"{who}@example.org")]

    def admin(self, method: str, path: str) -> Any:
        """A successful call of the admin API."""
        answer = self.service.call(method, f"/admin{path}", headers={"Authorization": f"Bearer {self.token}"})
        assert answer.is_success, answer.text
        return answer.json()

    def calendars(self) -> dict[str, dict[str, Any]]:
        """Rows of the calendars by their provider's id."""
        return {row["url"]: row for row in self.admin("GET", "/calendars")["items"]}

    def read_all(self) -> None:
        """Have every calendar with a role read now."""
        for row in self.calendars().values():
            if row["roles"]:
                self.admin("POST", f"/calendars/{row['id']}/pull")


@contextmanager
def at_provider(
    folder: Path, provider: str, *, push: bool, mode: str = "embedded", voice: str = "service"
) -> Iterator[AtProvider]:
    """A running practice that was connected by a link. push: polls are so rare that only calls of the provider help;
    without, no channel can be opened."""
    with ExitStack() as stack:
        account = stack.enter_context(account_at(provider))
        if not push:
            account.forbid_push()
        extra = {f"SLOTLEDGER_{name}": value for name, value in account.settings.items()}
        extra["SLOTLEDGER_POLL_SECONDS"] = "3600" if push else "1"
        database = f"sqlite:///{folder}/ledger.db" if mode == "embedded" else stack.enter_context(postgres_url())
        service = Service(folder, mode, database, stack.enter_context(broker_url(mode)), extra=extra)
        service.cli("migrate")
        (folder / "service.toml").write_text(CONSULTATION)
        service.cli(
            "operator",
            "add",
            "anna",
            "--name",
            "Anna",
            "--email",
            "anna@practice.example",
            "--timezone",
            "Europe/Berlin",
        )
        service.cli("service", "add", "anna/consultation", "--file", "service.toml")
        stack.callback(service.stop)
        service.start()
        token = service.cli("token", "create", "--scope", "admin", "--name", "test").split()[-1]
        made = AtProvider(service, None, None, None, account=account, token=token)  # type: ignore[arg-type]
        link = service.cli("connect", provider, "anna", "--voice", voice).strip()
        done = go_through_consent(link, lambda _: roles(made))
        assert "connected" in done.text, done.text
        wait_until(lambda: made.starts())
        if push:
            wait_until(lambda: made.calendars()[account.primary.href]["push"] == "open")
        yield made


def roles(made: AtProvider) -> dict[str, str]:
    """The default calendar blocks and takes bookings, the second one blocks."""
    rows = made.calendars()
    first, second = rows[made.account.primary.href]["id"], rows[made.account.second.href]["id"]
    return {f"busy:{first}": "on", f"busy:{second}": "on", "bookings": str(first)}


@pytest.fixture(
    scope="module",
    params=[
        ("google", True, "embedded"), ("google", False, "embedded"), ("google", True, "redis"),
        ("microsoft", True, "embedded"), ("microsoft", False, "embedded"),
    ],
    ids=lambda p: f"{p[0]}-{'push' if p[1] else 'polling'}-{p[2]}",
)  # fmt: skip
def anna(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtProvider]:
    """One practice for all tests of a provider and a mode; each test uses starts of its own."""
    provider, push, mode = request.param
    with at_provider(tmp_path_factory.mktemp("service"), provider, push=push, mode=mode) as made:
        yield made


def at(start: str) -> datetime:
    return datetime.fromisoformat(start).astimezone(UTC)


def test_a_booking_is_one_event_and_one_invitation_of_ours(anna: AtProvider) -> None:
    start = anna.starts()[0]
    booking = anna.in_calendar(anna.book(start, "kata")["token"])
    event = anna.event(start)
    assert (event.period.end, event.guests) == (at(start) + LENGTH, {})
    assert "Kata" in event.title
    wait_until(lambda: anna.told("kata") == [("REQUEST", 0, booking["uid"])])
    assert anna.account.mails("kata@example.org") == []
    assert start not in anna.starts()


def test_a_busy_event_closes_its_starts_and_gives_them_back(anna: AtProvider) -> None:
    start = anna.starts()[2]
    href = anna.account.block(anna.account.primary, at(start), at(start) + LENGTH)
    wait_until(lambda: start not in anna.starts())
    anna.account.hands.delete(anna.account.primary, href)
    wait_until(lambda: start in anna.starts())


def test_the_operator_deletes_and_the_first_in_line_gets_the_place(anna: AtProvider) -> None:
    start = anna.starts()[4]
    booking = anna.in_calendar(anna.book(start, "lena")["token"])
    first = anna.wait_in_line(start, "vera")
    old = anna.event(start)
    anna.account.hands.delete(anna.account.primary, old.href)
    wait_until(lambda: anna.booking(booking["token"])["status"] == "cancelled")
    place = wait_until(lambda: p if (p := anna.service.get(f"/waitlist/{first}"))["status"] == "promoted" else None)
    promoted = anna.in_calendar(place["booking"])
    assert anna.event(start).href != old.href
    wait_until(lambda: len(anna.told("lena")) == 2 and len(anna.told("vera")) == 2)
    assert anna.told("lena") == [("REQUEST", 0, booking["uid"]), ("CANCEL", 1, booking["uid"])]
    assert anna.told("vera")[1] == ("REQUEST", 0, promoted["uid"])
    assert start not in anna.starts()


def test_the_operator_moves_and_the_booking_follows(anna: AtProvider) -> None:
    free = anna.starts()
    start, target = free[6], free[9]
    booking = anna.in_calendar(anna.book(start, "nina")["token"])
    href = anna.event(start).href
    anna.account.hands.move(anna.account.primary, href, at(target), at(target) + LENGTH)
    followed = wait_until(lambda: b if (b := anna.booking(booking["token"]))["start"] == target else None)
    assert (followed["uid"], followed["revision"], followed["status"]) == (booking["uid"], 1, "confirmed")
    wait_until(lambda: anna.told("nina")[1:] == [("REQUEST", 1, booking["uid"])])
    wait_until(lambda: start in anna.starts() and target not in anna.starts())
    assert anna.event(target).href == href


def test_the_client_moves_and_cancels_and_the_event_follows(anna: AtProvider) -> None:
    free = anna.starts()
    start, target = free[11], free[13]
    booking = anna.in_calendar(anna.book(start, "otto")["token"])
    href = anna.event(start).href
    answer = anna.service.call("POST", f"/bookings/{booking['token']}/reschedule", json={"start": target})
    assert answer.status_code == 200, answer.text
    wait_until(lambda: any(e.href == href and e.period.start == at(target) for e in living(anna)))
    assert anna.service.call("POST", f"/bookings/{booking['token']}/cancel", json={}).status_code == 200
    wait_until(lambda: all(e.href != href for e in living(anna)))
    wait_until(lambda: len(anna.told("otto")) == 3)
    assert [method for method, _, _ in anna.told("otto")] == ["REQUEST", "REQUEST", "CANCEL"]
    wait_until(lambda: start in anna.starts() and target in anna.starts())


def test_a_series_loses_one_occurrence_and_gains_another_time(anna: AtProvider) -> None:
    # A week ahead, so that no other test's booking is near; in local time, as calendar apps make series.
    free = anna.starts()
    first = at(next(s for s in free if at(s).astimezone(BERLIN).weekday() == 0 and free.index(s) > 40))
    local = first.astimezone(BERLIN)
    second, third, fourth = (local + timedelta(days=n) for n in (1, 2, 3))
    moved_to = third + timedelta(hours=3)
    blocked = {first, moved_to.astimezone(UTC), fourth.astimezone(UTC)}
    before = set(anna.starts())
    href = anna.account.block(
        anna.account.primary, local, local + LENGTH, rrule="FREQ=DAILY;COUNT=4",
        moved={third: (moved_to, moved_to + LENGTH)}, deleted=(second,),
    )  # fmt: skip
    gone = {s for s in before if at(s) in blocked}
    assert len(gone) == 3
    wait_until(lambda: before - set(anna.starts()) == gone)
    anna.account.hands.delete(anna.account.primary, href)
    wait_until(lambda: gone <= set(anna.starts()))


def test_an_all_day_event_closes_its_day(anna: AtProvider) -> None:
    day = at(anna.starts()[60]).astimezone(BERLIN).date()
    of_day = {s for s in anna.starts() if at(s).astimezone(BERLIN).date() == day}
    href = anna.account.block(anna.account.primary, day, day + timedelta(days=1))  # type: ignore[arg-type]
    wait_until(lambda: not of_day & set(anna.starts()))
    anna.account.hands.delete(anna.account.primary, href)
    wait_until(lambda: of_day <= set(anna.starts()))


def test_an_event_that_is_dragged_to_another_calendar_and_back_stays_booked(anna: AtProvider) -> None:
    start = anna.starts()[15]
    token = anna.in_calendar(anna.book(start, "emil")["token"])["token"]
    primary, second = anna.account.primary, anna.account.second
    if anna.account.provider == "microsoft":
        anna.account.control.advance(120)  # in the first minute nobody can tell where an event of Graph's is
    anna.account.hands.move_to(primary, anna.event(start).href, second)
    wait_until(lambda: any(e.period.start == at(start) for e in anna.account.living(second)))
    nudge(anna)
    assert anna.booking(token)["status"] == "confirmed"
    anna.account.hands.move_to(second, anna.account.at(second, at(start)).href, primary)
    nudge(anna)
    assert anna.booking(token)["status"] == "confirmed"
    assert len([e for e in living(anna) if e.period.start == at(start)]) == 1
    # It is still ours: deleting it cancels.
    anna.account.hands.delete(primary, anna.event(start).href)
    if anna.account.provider == "microsoft":
        nudge(anna)
    wait_until(lambda: anna.booking(token)["status"] == "cancelled")


def living(anna: AtProvider) -> list[Living]:
    return anna.account.living(anna.account.primary)


def nudge(anna: AtProvider) -> None:
    """Everything is read now, and what comes of it is done."""
    anna.read_all()
    wait_until(
        lambda: not any(m["kind"] in ("LookForEvent", "PullCalendar") for m in anna.admin("GET", "/outbox")["items"])
    )


# --- grants -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["google", "microsoft"])
def test_a_revoked_grant_cancels_nothing_and_reconnecting_honours_what_happened_meanwhile(
    provider: str, tmp_path: Path
) -> None:
    with at_provider(tmp_path, provider, push=True) as anna:
        free = anna.starts()
        kept, lost = (anna.in_calendar(anna.book(s, "kata")["token"]) for s in (free[3], free[5]))
        before = anna.calendars()
        anna.account.revoke()
        anna.read_all()
        wait_until(lambda: {row["state"] for row in anna.calendars().values()} == {"reconnect"})
        mail = wait_until(
            lambda: m[0] if (m := [m for m in anna.service.mails("anna@practice") if "econnect" in m.subject]) else None
        )
        anna.account.hands.delete(anna.account.primary, anna.event(lost["start"]).href)
        later = anna.book(free[7], "late")
        assert {anna.booking(b["token"])["status"] for b in (kept, lost, later)} <= {"confirmed", "pending"}

        raw = (tmp_path / "mail" / f"{mail.id}.eml").read_bytes() if (tmp_path / "mail").is_dir() else b""
        link = link_in(raw)
        done = go_through_consent(link, lambda _: roles(anna))
        assert "connected" in done.text
        wait_until(lambda: anna.booking(lost["token"])["status"] == "cancelled")
        anna.in_calendar(later["token"])
        assert anna.booking(kept["token"])["status"] == "confirmed"
        after = anna.calendars()
        assert {url: row["id"] for url, row in after.items()} == {url: row["id"] for url, row in before.items()}
        assert {row["roles"] for row in after.values()} >= {"busy bookings", "busy"}
        wait_until(lambda: anna.calendars()[anna.account.primary.href]["push"] == "open")


def link_in(raw: bytes) -> str:
    from email import message_from_bytes, policy

    text = message_from_bytes(raw, policy=policy.default).get_body(("plain",)).get_content()  # type: ignore[union-attr]
    return re.search(r"http://\S+/connect/\S+", text).group(0)  # type: ignore[union-attr]


# --- the provider's voice -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["google", "microsoft"])
def test_where_the_account_is_the_voice_it_alone_invites(provider: str, tmp_path: Path) -> None:
    with at_provider(tmp_path, provider, push=True, voice="provider") as anna:
        free = anna.starts()
        start, target = free[3], free[6]
        booking = anna.in_calendar(anna.book(start, "kata")["token"])
        event = anna.event(start)
        assert list(event.guests) == ["kata@example.org"]
        assert anna.account.mails("kata@example.org") == ["request"]
        wait_until(lambda: anna.told("kata") == [(None, None, None)])

        answer = anna.service.call("POST", f"/bookings/{booking['token']}/reschedule", json={"start": target})
        assert answer.status_code == 200
        wait_until(lambda: anna.account.mails("kata@example.org") == ["request", "update"])
        anna.in_calendar(booking["token"])

        anna.account.answer(anna.account.primary, event.href, "kata@example.org", "declined")
        wait_until(lambda: anna.booking(booking["token"])["status"] == "cancelled")
        wait_until(lambda: not living(anna))
        wait_until(lambda: anna.account.mails("kata@example.org") == ["request", "update", "cancel"])
        assert {method for method, _, _ in anna.told("kata")} == {None}
        wait_until(lambda: target in anna.starts())
