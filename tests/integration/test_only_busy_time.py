"""Of foreign events only busy time is kept (P14): every column of every table is searched for what they say.

The one exception is what an operator writes into a calendar that opens hours, to name a service.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.emulators.radicale import RunningServer
from connectors.protocol import Credentials
from ledger import clock
from ledger.db import Database
from ledger.tables import Calendar, RemoteEvent
from ledger.vault import Vault, fingerprint
from sync.accounts import Accounts
from tests.support.dump import holding
from tests.support.microsoft import CLIENT_ID
from tests.support.practices import Practice
from tests.support.provider_accounts import Account, account_at
from tests.support.servers import OtherClient, credentials, ics, radicale

CLUES = {
    "title": "Quarzmarktitle", "description": "Quarzmarkdescription", "location": "Quarzmarkplace",
    "guest": "quarzmarkguest", "name": "Quarzmarkname", "uid": "quarzmarkuid", "category": "Quarzmarkcategory",
    "comment": "Quarzmarkcomment", "organizer": "quarzmarkorganizer",
}  # fmt: skip
EVERYTHING = "quarzmark"
SPOKEN = (
    f"DESCRIPTION:{CLUES['description']}",
    f"LOCATION:{CLUES['location']}",
    f"CATEGORIES:{CLUES['category']}",
    f"COMMENT:{CLUES['comment']}",
    f"ORGANIZER;CN={CLUES['name']}:mailto:{CLUES['organizer']}@x.example",
    f"ATTENDEE;CN={CLUES['name']};PARTSTAT=ACCEPTED:mailto:{CLUES['guest']}@x.example",
    "BEGIN:VALARM",
    "ACTION:DISPLAY",
    f"DESCRIPTION:{CLUES['description']}",
    "TRIGGER:-PT10M",
    "END:VALARM",
)
BROKEN = (f"RRULE:FREQ={CLUES['title']}", f"X-{CLUES['title'].upper()}:{CLUES['comment']}")
NO_TIME = f"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:{CLUES['uid']}-3\r\nDTSTART:{CLUES['title']}\r\n".encode()


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with radicale() as running:
        yield running


def test_a_caldav_calendar_leaves_times_alone(database: Database, server: RunningServer) -> None:
    run = secrets.token_hex(4)
    url = server.make_calendar("anna", f"private-{run}")
    app = OtherClient(url)
    day = datetime(2026, 11, 24, 9, tzinfo=UTC)
    app.put("a.ics", ics(f"{CLUES['uid']}-1", day, *SPOKEN, summary=CLUES["title"]))
    app.put("b.ics", ics(f"{CLUES['uid']}-2", day, *SPOKEN, "RRULE:FREQ=WEEKLY;COUNT=5", summary=CLUES["title"]))
    practice = Practice(database, credentials(server.url))
    [calendar] = [r.id for r in map(practice.calendar, practice.connect().values()) if run in r.href]
    practice.assign(calendar, busy=True)
    practice.pull(calendar)
    assert len(practice.busy(calendar)) >= 6
    app.put("a.ics", ics(f"{CLUES['uid']}-1", day + timedelta(hours=3), *SPOKEN, summary=f"{CLUES['title']} again"))
    app.delete("b.ics")
    practice.pull(calendar)
    assert practice.failures == []
    assert holding(database, EVERYTHING) == []
    hashes = {row.uid_hash for row in practice.rows(RemoteEvent, RemoteEvent.calendar_id == calendar)}
    assert fingerprint(f"{CLUES['uid']}-1") in hashes  # the event was read: its UID is known without being told
    app.close()


def test_what_can_not_be_read_is_not_quoted(database: Database) -> None:
    practice = Practice(database)
    there = practice.server.add_calendar("private")
    day = datetime(2026, 11, 24, 9, tzinfo=UTC)
    for extra in (BROKEN, (f"RDATE:{CLUES['title']}",), (f"EXDATE;TZID={CLUES['title']}:20261124T090000",)):
        raw = ics(f"{CLUES['uid']}-{len(extra[0])}", day, *SPOKEN, *extra, summary=CLUES["title"])
        practice.server.put(there, raw)
    for number, raw in enumerate((NO_TIME, f"{CLUES['title']}\r\n".encode(), b"")):
        practice.server.put(there, raw, f"{there.href}{number}.ics")
    [calendar] = practice.connect().values()
    practice.assign(calendar, busy=True)
    practice.pull(calendar)
    assert practice.failures == []
    assert sum(row.problem != "" for row in practice.remote(calendar)) >= 3
    assert holding(database, EVERYTHING) == []


@contextmanager
def practice_at(provider: str, database: Database) -> Iterator[tuple[Practice, Account, int]]:
    """A practice whose default calendar counts as busy."""
    with account_at(provider) as account:
        google = provider == "google"
        secret = json.dumps(account.control.grant(account.email)) if google else account.control.grant(CLIENT_ID)
        practice = Practice(database, Credentials(provider, username="u", secret=secret))
        practice.accounts = Accounts(database, Vault("a key that is only for tests"), account.endpoints)
        practice.now = clock.now()
        practice.connect()
        (calendar,) = (row.id for row in practice.rows(Calendar, Calendar.primary))
        yield practice, account, calendar


def insert(account: Account, start: datetime, weekly: bool) -> None:
    """An event that says a lot, as the operator makes it in the provider's own app."""
    end = start + timedelta(hours=1)
    guests = [f"{CLUES['guest']}@x.example"]
    if account.provider == "google":
        more: dict[str, Any] = {"recurrence": ["RRULE:FREQ=WEEKLY;COUNT=4"]} if weekly else {}
        account.control.create(
            account.primary.href, CLUES["title"], start, end, description=CLUES["description"],
            location=CLUES["location"], attendees=[{"email": guests[0], "displayName": CLUES["name"]}],
            extendedProperties={"private": {"x": CLUES["comment"]}}, **more,
        )  # fmt: skip
        return
    pattern = {
        "type": "weekly",
        "interval": 1,
        "daysOfWeek": [start.strftime("%A").lower()],
        "firstDayOfWeek": "monday",
    }
    until = {"type": "numbered", "numberOfOccurrences": 4, "startDate": f"{start:%Y-%m-%d}"}
    account.control.create_event(
        CLUES["title"], start, end, attendees=guests, categories=[CLUES["category"]],
        recurrence={"pattern": pattern, "range": until} if weekly else None,
        fields={
            "body": {"contentType": "text", "content": CLUES["description"]},
            "location": {"displayName": CLUES["location"]},
        },
    )  # fmt: skip


@pytest.mark.parametrize("provider", ["google", "microsoft"])
def test_an_account_leaves_times_alone(database: Database, provider: str) -> None:
    with practice_at(provider, database) as (practice, account, calendar):
        start = (practice.now + timedelta(days=2)).replace(minute=0, second=0, microsecond=0)
        insert(account, start, weekly=False)
        insert(account, start + timedelta(hours=3), weekly=True)
        practice.assign(calendar, busy=True)
        practice.pull(calendar)
        assert len(practice.busy(calendar)) >= 5
        insert(account, start + timedelta(hours=6), weekly=False)
        practice.pull(calendar)
        assert len(practice.busy(calendar)) >= 6
        assert practice.failures == []
        assert holding(database, EVERYTHING) == []


def test_hours_that_are_opened_keep_only_what_names_a_service(database: Database, server: RunningServer) -> None:
    run = secrets.token_hex(4)
    url = server.make_calendar("anna", f"open-{run}")
    app = OtherClient(url)
    day = datetime(2026, 11, 24, 9, tzinfo=UTC)
    app.put("a.ics", ics(f"{CLUES['uid']}-1", day, *SPOKEN, summary=f"Yoga {CLUES['title']} 8 seats"))
    practice = Practice(database, credentials(server.url))
    [calendar] = [r.id for r in map(practice.calendar, practice.connect().values()) if run in r.href]
    practice.assign(calendar, availability=True)
    practice.pull(calendar)
    assert [(label, seats) for _, label, seats in practice.openings()] == [
        (f"yoga {CLUES['title']} 8 seats {CLUES['category']}".lower(), 8)
    ]
    others = [clue for kind, clue in CLUES.items() if kind not in ("title", "category")]
    assert holding(database, *others) == []
    assert {(t, c) for t, c, _ in holding(database, EVERYTHING)} == {("opening", "label")}
    app.close()
