"""The tag that an operator puts on an appointment's event, in each provider's own words, and nothing else of them (P14)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from connectors.protocol import Credentials
from ledger import clock
from ledger.db import Database
from ledger.messages import NoShowTagged
from ledger.tables import Calendar
from ledger.vault import Vault
from sync.accounts import Accounts
from sync.tags import says_no_show
from tests.support.microsoft import CLIENT_ID
from tests.support.practices import Practice, at
from tests.support.provider_accounts import account_at

TITLE = "Talk – Kata"


@pytest.mark.parametrize(
    ("title", "categories", "tagged"),
    [
        (TITLE, (), False),
        (TITLE, ("no-show",), True),
        (TITLE, ("blue", " No-Show "), True),
        (TITLE, ("no show",), True),
        (TITLE, ("no-show fee",), False),
        (f"no-show {TITLE}", (), True),
        (f"{TITLE} #noshow", (), True),
        (f"[NO_SHOW] {TITLE}", (), True),
        (f"{TITLE} techno-show", (), False),
        (f"{TITLE} no-shows", (), False),
    ],
)
def test_what_is_a_tag(title: str, categories: tuple[str, ...], tagged: bool) -> None:
    assert says_no_show(title, categories, TITLE) is tagged


def test_our_own_words_are_no_tag() -> None:
    assert not says_no_show("No-show follow-up – Kata", (), "No-show follow-up – Kata")
    assert says_no_show("no-show: No-show follow-up – Kata", (), "No-show follow-up – Kata")


@dataclass
class Bench:
    """A practice in one account, and how its operator edits the one event there. tag, untag: by category, or in the title."""

    practice: Practice
    calendar: int
    edit: Callable[[str, tuple[str, ...]], None]
    categories: bool

    def seen(self) -> bool:
        self.practice.pull(self.calendar)
        return bool(self.practice.event(self.slot).no_show)

    slot: int = 0


@pytest.fixture(params=["caldav", "google", "microsoft"])
def bench(request: pytest.FixtureRequest, sqlite: Database) -> Iterator[Bench]:
    with ExitStack() as stack:
        if request.param == "caldav":
            yield _in_objects(sqlite)
            return
        account = stack.enter_context(account_at(request.param))
        google = request.param == "google"
        secret = json.dumps(account.control.grant(account.email)) if google else account.control.grant(CLIENT_ID)
        practice = Practice(sqlite, Credentials(account.provider, username="u", secret=secret))
        practice.accounts = Accounts(sqlite, Vault("a key that is only for tests"), account.endpoints)
        practice.now = clock.now()
        practice.connect()
        (calendar,) = (row.id for row in practice.rows(Calendar, Calendar.primary))

        def edit(title: str, categories: tuple[str, ...]) -> None:
            (event,) = account.living(account.primary)
            if google:
                account.control.edit(account.primary.href, event.href, summary=title)
            else:
                account.control.set_fields(event.href, {"subject": title, "categories": list(categories)})

        yield _begun(Bench(practice, calendar, edit, categories=not google))


def _in_objects(sqlite: Database) -> Bench:
    """iCalendar objects, as a CalDAV server keeps them."""
    practice = Practice(sqlite)
    collection = practice.server.add_calendar("work")
    calendar = practice.connect()["work"]

    def edit(title: str, categories: tuple[str, ...]) -> None:
        (href,) = practice.server.hrefs(collection)
        lines = practice.server.raw(collection, href).decode().splitlines()
        kept = [line for line in lines if not line.startswith(("SUMMARY", "CATEGORIES"))]
        words = [f"SUMMARY:{title}", *([f"CATEGORIES:{','.join(categories)}"] if categories else [])]
        at_end = kept.index("END:VEVENT")
        raw = "\r\n".join([*kept[:at_end], *words, *kept[at_end:], ""])
        practice.server.put(collection, raw.encode(), href)

    return _begun(Bench(practice, calendar, edit, categories=True))


def _begun(bench: Bench) -> Bench:
    bench.practice.assign(bench.calendar, bookings=True, busy=True)
    bench.practice.work()
    start = at(9) if bench.practice.now.year == 2026 and bench.practice.now < at(9) else bench.practice.now
    bench.slot = bench.practice.book(start.replace(minute=0, second=0, microsecond=0), title=TITLE)
    bench.practice.work()
    return bench


def test_a_tag_in_the_title_and_its_removal_are_told(bench: Bench) -> None:
    assert not bench.seen()
    assert bench.practice.facts("NoShowTagged") == []
    bench.edit(f"{TITLE} no-show", ())
    assert bench.seen()
    assert bench.practice.facts("NoShowTagged") == [NoShowTagged(bench.practice.event(bench.slot).id, bench.slot)]
    bench.edit(TITLE, ())
    assert not bench.seen()


def test_a_category_is_a_tag_as_well(bench: Bench) -> None:
    if not bench.categories:
        pytest.skip("Google's events have no categories")
    bench.edit(TITLE, ("blue", "no-show"))
    assert bench.seen()
    bench.edit(TITLE, ("blue",))
    assert not bench.seen()


def test_nothing_of_the_words_is_kept(bench: Bench) -> None:
    bench.edit("Kata is ill, no-show, call her mother", ())
    assert bench.seen()
    event = bench.practice.event(bench.slot)
    assert "mother" not in str(event)
    assert not any("mother" in str(fact) for fact in bench.practice.facts("NoShowTagged"))
