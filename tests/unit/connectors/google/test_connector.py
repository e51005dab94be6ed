"""What is Google's own about the Google connector; what all share is in the contract suite."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connectors.errors import (
    BadAnswer,
    CalendarGone,
    Conflict,
    ConnectorError,
    Gone,
    NeedsReconnect,
    Refused,
    ServerFault,
    SyncTokenExpired,
    Throttled,
    Unreachable,
)
from connectors.google.connector import GoogleConnector
from connectors.model import Attendee, Busy, ChangeSet, Entry, PartStat, Period, Quirks, SyncToken
from connectors.protocol import Channel, Connector, Credentials, Endpoints, Watching
from tests.support.google import OPERATOR, TEAM, GoogleWorld, google_world

BERLIN = ZoneInfo("Europe/Berlin")
WINDOW = Period(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
NINE = datetime(2027, 3, 22, 9, tzinfo=BERLIN)
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
QUIRKS = Quirks()
ADA = Attendee("ada@client.example", "Ada")
BOB = Attendee("bob@client.example")


@pytest.fixture
def world() -> Iterator[GoogleWorld]:
    with google_world() as world:
        yield world


@pytest.fixture
def google(world: GoogleWorld) -> GoogleConnector:
    return world.connect()


def entry(**changes: Any) -> Entry:
    made = Entry(
        key="slbooking0001",
        uid="slbooking0001@slots.example",
        marker="d:1:0",
        period=Period(NINE, NINE + HOUR),
        title="Visit",
        description="Phone",
        timezone="Europe/Berlin",
    )
    return replace(made, **changes)


def pull(google: GoogleConnector, world: GoogleWorld, since: SyncToken | None = None) -> ChangeSet:
    return google.changes(world.calendar, since, WINDOW, dict, quirks=QUIRKS)


def asked(world: GoogleWorld) -> list[str]:
    """Method and last part of the path of each call since the last look."""
    seen = [f"{r['method']} {r['path'].rpartition('/')[2]}" for r in world.control.requests("/calendar/v3/")]
    world.control.clear_requests()
    return seen


def test_it_is_a_connector_that_watches() -> None:
    made = GoogleConnector(Credentials("google", secret='{"refresh_token": "r"}'), Endpoints(), print)
    connector: Connector = made
    assert isinstance(made, Watching)
    connector.close()
    connector.close()


# calendars


def test_calendars_by_role(world: GoogleWorld, google: GoogleConnector) -> None:
    world.control.add_person("boss@practice.example")
    world.control.set_access("boss@practice.example", OPERATOR, "freeBusyReader")
    found = {c.href: c for c in google.calendars()}
    assert [c.primary for c in found.values()] == [True, False, False]
    assert found[OPERATOR].writable
    assert not found["boss@practice.example"].writable
    assert found[TEAM].timezone == "Europe/Berlin"


# pulling


def test_one_change_is_one_request_and_nothing_is_one_too(world: GoogleWorld, google: GoogleConnector) -> None:
    token = pull(google, world).token
    world.control.create(OPERATOR, "E", NINE, NINE + HOUR)
    asked(world)
    changes = pull(google, world, token)
    assert len(changes.changed) == 1
    assert asked(world) == ["GET events"]
    assert pull(google, world, changes.token) == ChangeSet(token=changes.token)
    assert asked(world) == ["GET events"]


def test_a_changed_instance_brings_the_whole_series_with_one_more(world: GoogleWorld, google: GoogleConnector) -> None:
    rule = ["RRULE:FREQ=WEEKLY;COUNT=4"]
    master = world.control.create(OPERATOR, "Team", NINE, NINE + HOUR, recurrence=rule)
    world.control.delete_occurrence(OPERATOR, master, NINE)
    token = pull(google, world).token
    world.control.move_occurrence(OPERATOR, master, NINE + WEEK, NINE + 8 * DAY, NINE + 8 * DAY + HOUR)
    asked(world)
    (event,) = pull(google, world, token).changed
    assert event.href == master
    assert [o.period.start.day for o in event.occurrences] == [30, 5, 12]
    assert len(asked(world)) == 2


def test_a_cancelled_instance_alone_brings_the_whole_series(world: GoogleWorld, google: GoogleConnector) -> None:
    rule = ["RRULE:FREQ=WEEKLY;COUNT=4"]
    master = world.control.create(OPERATOR, "Team", NINE, NINE + HOUR, recurrence=rule)
    first = pull(google, world)
    world.control.delete_occurrence(OPERATOR, master, NINE + WEEK)
    second = pull(google, world, first.token)
    assert second.removed == ()
    assert [o.period.start.day for o in second.changed[0].occurrences] == [22, 5, 12]
    assert second.changed[0].etag != first.changed[0].etag, "even if Google left the master's as it was"


def test_many_changed_series_cost_one_listing(world: GoogleWorld, google: GoogleConnector) -> None:
    rule = ["RRULE:FREQ=WEEKLY;COUNT=4"]
    masters = [world.control.create(OPERATOR, f"S{n}", NINE, NINE + HOUR, recurrence=rule) for n in range(30)]
    token = pull(google, world).token
    for master in masters:
        world.control.delete_occurrence(OPERATOR, master, NINE + WEEK)
    asked(world)
    changes = pull(google, world, token)
    assert {event.href for event in changes.changed} == set(masters)
    assert all(len(event.occurrences) == 3 for event in changes.changed)
    assert len(asked(world)) == 2


def test_this_and_following(world: GoogleWorld, google: GoogleConnector) -> None:
    master = world.control.create(OPERATOR, "S", NINE, NINE + HOUR, recurrence=["RRULE:FREQ=WEEKLY;COUNT=4"])
    token = pull(google, world).token
    later = NINE + 2 * WEEK + DAY
    following = world.control.split_series(OPERATOR, master, NINE + 2 * WEEK, later, later + HOUR)
    found = {event.href: event for event in pull(google, world, token).changed}
    assert [o.period.start for o in found[master].occurrences] == [NINE, NINE + WEEK]
    assert found[following].occurrences[0].period.start == later


def test_a_series_that_stops_repeating(world: GoogleWorld, google: GoogleConnector) -> None:
    master = world.control.create(OPERATOR, "S", NINE, NINE + HOUR, recurrence=["RRULE:FREQ=WEEKLY;COUNT=4"])
    world.control.delete_occurrence(OPERATOR, master, NINE + WEEK)
    token = pull(google, world).token
    world.control.edit(OPERATOR, master, recurrence=None)
    changes = pull(google, world, token)
    assert [(e.href, e.recurring, len(e.occurrences)) for e in changes.changed] == [(master, False, 1)]
    assert changes.removed == ()


@pytest.mark.parametrize("stub", ["minimal", "full"])
def test_an_instance_without_its_series(world: GoogleWorld, google: GoogleConnector, stub: str) -> None:
    """Somebody invited the operator to one instance only: the master can't be seen."""
    world.control.rules(stubs=stub)
    lone = {
        "id": "m0000_20270322T080000Z",
        "recurringEventId": "m0000",
        "iCalUID": "m0000@google.com",
        "status": "confirmed",
        "summary": "Guest",
        "eventType": "default",
        "originalStartTime": {"dateTime": NINE.isoformat(), "timeZone": "Europe/Berlin"},
        "start": {"dateTime": (NINE + HOUR).isoformat(), "timeZone": "Europe/Berlin"},
        "end": {"dateTime": (NINE + 2 * HOUR).isoformat(), "timeZone": "Europe/Berlin"},
    }
    world.control.plant(OPERATOR, lone)
    first = pull(google, world)
    (event,) = first.changed
    assert event.href == lone["id"]
    (only,) = event.occurrences
    assert (only.period.start, only.recurrence_id) == (NINE + HOUR, "20270322T080000Z")
    assert google.fetch(world.calendar, event.href, WINDOW).occurrences == event.occurrences
    world.control.delete(OPERATOR, lone["id"])
    assert lone["id"] in pull(google, world, first.token).removed


def test_an_instance_moved_out_of_the_window_leaves_no_ghost(world: GoogleWorld, google: GoogleConnector) -> None:
    start = datetime(2027, 1, 4, 9, tzinfo=BERLIN)
    master = world.control.create(OPERATOR, "S", start, start + HOUR, recurrence=["RRULE:FREQ=WEEKLY;COUNT=3"])
    earlier = datetime(2026, 12, 20, 9, tzinfo=BERLIN)
    world.control.move_occurrence(OPERATOR, master, start, earlier, earlier + HOUR)
    (event,) = pull(google, world).changed
    assert [o.period.start.day for o in event.occurrences] == [11, 18]


def test_pages_are_read_to_the_end_with_progress(
    world: GoogleWorld, google: GoogleConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.google.reading.PAGE_SIZE", 3)
    for n in range(8):
        world.control.create(OPERATOR, f"E{n}", NINE + n * DAY, NINE + n * DAY + HOUR)
    seen: list[tuple[int, int]] = []
    changes = google.changes(
        world.calendar, None, WINDOW, dict, quirks=QUIRKS, progress=lambda done, total: seen.append((done, total))
    )
    assert len(changes.changed) == 8
    assert seen == [(3, 3), (6, 6), (8, 8)]
    assert changes.listed == {event.href for event in changes.changed}


def test_a_broken_page_token_is_for_later_and_not_for_ever(
    world: GoogleWorld, google: GoogleConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.google.reading.PAGE_SIZE", 2)
    for n in range(5):
        world.control.create(OPERATOR, f"E{n}", NINE, NINE + HOUR)
    world.control.fault("error", name="badRequest", query="pageToken")
    with pytest.raises(ServerFault):
        pull(google, world)
    assert len(pull(google, world).changed) == 5


def test_items_that_come_twice_count_once(world: GoogleWorld, google: GoogleConnector) -> None:
    world.control.create(OPERATOR, "E", NINE, NINE + HOUR)
    world.control.fault("duplicate_item")
    assert len(pull(google, world).changed) == 1


@pytest.mark.parametrize("token", [SyncToken("google", "nonsense"), SyncToken("graph", "x")])
def test_a_token_that_is_none(world: GoogleWorld, google: GoogleConnector, token: SyncToken) -> None:
    with pytest.raises(SyncTokenExpired):
        pull(google, world, token)


def test_a_token_that_google_calls_a_bad_request_has_expired(world: GoogleWorld, google: GoogleConnector) -> None:
    token = pull(google, world).token
    world.control.fault("error", name="badRequest", query="syncToken")
    with pytest.raises(SyncTokenExpired):
        pull(google, world, token)


@pytest.mark.parametrize(
    "body", ["{}", '{"items": [{"status": "confirmed"}]}', '{"items": [], "nextPageToken": "", "nextSyncToken": null}']
)
def test_answers_that_make_no_sense(world: GoogleWorld, google: GoogleConnector, body: str) -> None:
    world.control.fault("status", code=200, body=body, path="/events$")
    with pytest.raises(Unreachable if body == "{}" else BadAnswer):
        pull(google, world)


def test_a_token_of_a_bounded_listing_may_bring_anything(world: GoogleWorld, google: GoogleConnector) -> None:
    token = pull(google, world).token
    long_ago = datetime(2020, 1, 1, 9, tzinfo=BERLIN)
    made = world.control.create(OPERATOR, "Past", long_ago, long_ago + HOUR)
    assert [(e.href, e.occurrences) for e in pull(google, world, token).changed] == [(made, ())]


# gone or not gone


def test_404_is_only_believed_while_the_calendar_answers(world: GoogleWorld, google: GoogleConnector) -> None:
    made = world.control.create(OPERATOR, "E", NINE, NINE + HOUR)
    assert google.fetch(world.calendar, made, WINDOW).href == made
    world.control.delete(OPERATOR, made)
    with pytest.raises(Gone):
        google.fetch(world.calendar, made, WINDOW)  # 200, cancelled
    world.control.purge(OPERATOR, made)
    with pytest.raises(Gone):
        google.fetch(world.calendar, made, WINDOW)  # 404, and the calendar is there
    for lose, back in (
        (lambda: world.control.delete_calendar(OPERATOR), lambda: world.control.undelete_calendar(OPERATOR)),
        (
            lambda: world.control.set_access(OPERATOR, OPERATOR, "none"),
            lambda: world.control.set_access(OPERATOR, OPERATOR, "owner"),
        ),
    ):
        lose()
        for call in (
            lambda: google.fetch(world.calendar, made, WINDOW),
            lambda: pull(google, world),
            lambda: google.find([world.team, world.calendar], "slbooking0001", "", WINDOW),
            lambda: google.create(world.calendar, entry(), quirks=QUIRKS),
            lambda: google.update(world.calendar, entry(), made, "", quirks=QUIRKS),
            lambda: google.update(world.calendar, entry(), made, '"1"', quirks=QUIRKS),
            lambda: google.selftest(world.calendar, write=False),
        ):
            with pytest.raises(CalendarGone):
                call()
        back()
    world.control.fault("error", name="backendError", path="calendarList")
    with pytest.raises(ServerFault):
        google.fetch(world.calendar, made, WINDOW)


@pytest.mark.parametrize("role", ["reader", "freeBusyReader", "writerWithoutPrivateAccess"])
def test_downgraded_access_is_refused_and_is_no_deletion(
    world: GoogleWorld, google: GoogleConnector, role: str
) -> None:
    written = google.create(world.calendar, entry(), quirks=QUIRKS)
    world.control.set_access(OPERATOR, OPERATOR, role)
    with pytest.raises(Refused):
        google.create(world.calendar, entry(key="slbooking0002"), quirks=QUIRKS)
    with pytest.raises(Refused):
        google.update(world.calendar, entry(title="New"), written.href, written.etag, quirks=QUIRKS)
    with pytest.raises(Refused):
        google.delete(world.calendar, written.href)
    assert google.fetch(world.calendar, written.href, WINDOW).occurrences


# our own events


def test_what_is_stored(world: GoogleWorld, google: GoogleConnector) -> None:
    written = google.create(world.calendar, entry(url="https://slots.example/m/1", location="Room"), quirks=QUIRKS)
    stored = world.control.event(OPERATOR, written.href)
    assert written.href == stored["id"] == entry().key
    assert stored["extendedProperties"] == {"private": {"slotledger": entry().key, "marker": "d:1:0"}}
    assert stored["start"] == {"dateTime": "2027-03-22T09:00:00+01:00", "timeZone": "Europe/Berlin"}
    assert stored["visibility"] == "private"
    assert stored["source"]["url"] == "https://slots.example/m/1"
    assert "attendees" not in stored
    assert world.control.mails() == []


@pytest.mark.parametrize(
    "fault", ["commit_then_close", "commit_then_reset", "commit_then_error", "commit_then_hang", "garbage"]
)
def test_a_lost_reply_is_adopted(world: GoogleWorld, fault: str) -> None:
    google = world.connect(timeout=1.0)
    world.control.fault(fault, method="POST", seconds=30)
    try:
        written = google.create(world.calendar, entry(), quirks=QUIRKS)
        assert fault == "commit_then_close", "only there does the library send again by itself"
    except (Unreachable, ServerFault):
        written = google.create(world.calendar, entry(), quirks=QUIRKS)
    assert written.adopted
    assert len(world.control.events(OPERATOR)) == 1


@pytest.mark.parametrize("fault", ["commit_then_close", "commit_then_reset", "commit_then_error"])
def test_a_lost_reply_to_a_patch_is_no_conflict(world: GoogleWorld, google: GoogleConnector, fault: str) -> None:
    written = google.create(world.calendar, entry(), quirks=QUIRKS)
    later = entry(title="Later", period=Period(NINE + DAY, NINE + DAY + HOUR), sequence=1)
    world.control.fault(fault, method="PATCH")
    try:
        after = google.update(world.calendar, later, written.href, written.etag, quirks=QUIRKS)
    except (Unreachable, ServerFault):
        after = google.update(world.calendar, later, written.href, written.etag, quirks=QUIRKS)
    assert after.adopted
    assert after.etag == world.control.event(OPERATOR, written.href)["etag"]


@pytest.mark.parametrize("fault", ["commit_then_close", "commit_then_error"])
def test_a_lost_reply_to_a_delete(world: GoogleWorld, google: GoogleConnector, fault: str) -> None:
    written = google.create(world.calendar, entry(), quirks=QUIRKS)
    world.control.fault(fault, method="DELETE")
    try:
        google.delete(world.calendar, written.href, written.etag)
    except ServerFault:
        google.delete(world.calendar, written.href, written.etag)
    assert world.control.events(OPERATOR) == []


def test_a_foreign_event_under_our_id_is_a_conflict(world: GoogleWorld, google: GoogleConnector) -> None:
    times = {"start": {"dateTime": "2027-03-22T09:00:00Z"}, "end": {"dateTime": "2027-03-22T10:00:00Z"}}
    world.control.insert(OPERATOR, {"id": entry().key, "summary": "Foreign", **times})
    with pytest.raises(Conflict):
        google.create(world.calendar, entry(), quirks=QUIRKS)
    assert world.control.event(OPERATOR, entry().key)["summary"] == "Foreign"


@pytest.mark.parametrize("name", ["duplicate", "conditionNotMet"])
def test_a_refused_insert_that_left_nothing_is_no_deletion(
    world: GoogleWorld, google: GoogleConnector, name: str
) -> None:
    world.control.fault("error", name=name, method="POST")
    with pytest.raises(Conflict):
        google.create(world.calendar, entry(), quirks=QUIRKS)
    assert not google.create(world.calendar, entry(), quirks=QUIRKS).adopted


def test_an_event_that_lost_its_mark_is_still_found(world: GoogleWorld, google: GoogleConnector) -> None:
    google.create(world.calendar, entry(), quirks=QUIRKS)
    world.control.edit(OPERATOR, entry().key, extendedProperties=None)
    found = google.find([world.team, world.calendar], entry().key, "", WINDOW)
    assert found is not None
    assert (found.event.href, found.event.own_key) == (entry().key, "")


@pytest.mark.parametrize("switch", ["refuse", "restore"])
def test_what_was_deleted_is_never_written_to(world: GoogleWorld, google: GoogleConnector, switch: str) -> None:
    world.control.rules(write_to_deleted=switch)
    written = google.create(world.calendar, entry(), quirks=QUIRKS)
    world.control.delete(OPERATOR, written.href)
    for etag in ("", written.etag, world.control.event(OPERATOR, written.href)["etag"]):
        if switch == "refuse" or etag in ("", written.etag):
            with pytest.raises((Gone, Refused)):
                google.update(world.calendar, entry(title="Back"), written.href, etag, quirks=QUIRKS)
    assert world.control.events(OPERATOR) == []


def test_an_event_made_all_day_is_put_back(world: GoogleWorld, google: GoogleConnector) -> None:
    written = google.create(world.calendar, entry(), quirks=QUIRKS)
    world.control.make_all_day(OPERATOR, written.href, "2027-03-22")
    now = google.fetch(world.calendar, written.href, WINDOW)
    assert now.occurrences[0].all_day
    google.update(world.calendar, entry(), written.href, now.etag, quirks=QUIRKS)
    (back,) = google.fetch(world.calendar, written.href, WINDOW).occurrences
    assert (back.all_day, back.period) == (False, entry().period)


def test_our_event_made_a_series_by_the_operator(world: GoogleWorld, google: GoogleConnector) -> None:
    written = google.create(world.calendar, entry(), quirks=QUIRKS)
    world.control.edit(OPERATOR, written.href, recurrence=["RRULE:FREQ=WEEKLY;COUNT=3"])
    world.control.delete_occurrence(OPERATOR, written.href, NINE + WEEK)
    now = google.fetch(world.calendar, written.href, WINDOW)
    assert (now.own_key, now.recurring, len(now.occurrences)) == (entry().key, True, 2)
    google.update(world.calendar, entry(title="New"), written.href, now.etag, quirks=QUIRKS)
    now = google.fetch(world.calendar, written.href, WINDOW)
    google.delete(world.calendar, written.href, now.etag)
    assert world.control.events(OPERATOR) == []


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("private", [True, False])
def test_found_after_a_move_by_id_mark_or_uid(
    world: GoogleWorld, google: GoogleConnector, keeps: bool, private: bool
) -> None:
    world.control.rules(move_keeps_id=keeps, move_keeps_private=private)
    google.create(world.calendar, entry(), quirks=QUIRKS)
    moved = world.control.move_calendar(OPERATOR, entry().key, TEAM)
    found = google.find([world.calendar, world.team], entry().key, entry().uid, WINDOW)
    assert found is not None
    assert (found.calendar, found.event.href) == (TEAM, moved)
    assert google.find([world.calendar], entry().key, entry().uid, WINDOW) is None


def test_the_original_is_found_before_its_copy(world: GoogleWorld, google: GoogleConnector) -> None:
    google.create(world.calendar, entry(), quirks=QUIRKS)
    world.control.copy_calendar(OPERATOR, entry().key, TEAM)
    found = google.find([world.team, world.calendar], entry().key, "", WINDOW)
    assert found is not None
    assert (found.calendar, found.event.href) == (OPERATOR, entry().key)


@pytest.mark.parametrize("fault", ["backendError", "userRateLimitExceeded"])
def test_find_never_says_none_when_a_calendar_did_not_answer(
    world: GoogleWorld, google: GoogleConnector, fault: str
) -> None:
    world.control.fault("error", name=fault, path="team")
    with pytest.raises((ServerFault, Throttled)):
        google.find([world.calendar, world.team], entry().key, "", WINDOW)


def test_selftest(world: GoogleWorld, google: GoogleConnector) -> None:
    assert google.selftest(world.calendar, write=False) == Quirks(sync_token="trusted")
    assert world.control.events(OPERATOR) == []
    assert google.selftest(world.calendar, write=True) == Quirks(
        sync_token="trusted", if_none_match=True, etag_on_put=True
    )
    assert world.control.events(OPERATOR) == []
    assert world.control.mails() == []


# Google as the voice


def test_google_invites_and_tells_each_answer(world: GoogleWorld, google: GoogleConnector) -> None:
    theirs = entry(attendees=(ADA,), conference=True)
    written = google.create(world.calendar, theirs, quirks=QUIRKS)
    google.create(world.calendar, theirs, quirks=QUIRKS)
    assert [(m["kind"], m["to"]) for m in world.control.mails()] == [("request", ADA.email)]
    assert world.control.event(OPERATOR, written.href)["hangoutLink"]
    world.control.answer(OPERATOR, written.href, ADA.email, "declined")
    event = google.fetch(world.calendar, written.href, WINDOW)
    assert event.attendees == (replace(ADA, partstat=PartStat.DECLINED),)
    assert event.occurrences[0].busy is Busy.BUSY, "a client's no is not the operator's"


def test_guests_come_and_go_and_answers_stay(world: GoogleWorld, google: GoogleConnector) -> None:
    written = google.create(world.calendar, entry(attendees=(ADA,)), quirks=QUIRKS)
    world.control.answer(OPERATOR, written.href, ADA.email, "accepted")
    stored = world.control.event(OPERATOR, written.href)
    friend = {"email": "friend@elsewhere.example"}
    world.control.edit(OPERATOR, written.href, attendees=[*stored["attendees"], friend])
    both = entry(attendees=(ADA, BOB))
    with pytest.raises(Conflict):
        google.update(world.calendar, both, written.href, written.etag, quirks=QUIRKS)
    now = google.fetch(world.calendar, written.href, WINDOW)
    google.update(world.calendar, both, written.href, now.etag, quirks=QUIRKS)
    now = google.fetch(world.calendar, written.href, WINDOW)
    assert {a.email: a.partstat for a in now.attendees} == {
        ADA.email: PartStat.ACCEPTED,
        BOB.email: PartStat.NEEDS_ACTION,
    }
    google.update(world.calendar, entry(attendees=(BOB,)), written.href, "", quirks=QUIRKS)
    left = [a["email"] for a in world.control.event(OPERATOR, written.href)["attendees"]]
    assert left == [friend["email"], BOB.email]
    sent = [(m["kind"], m["to"]) for m in world.control.mails()]
    assert ("request", BOB.email) in sent
    assert ("cancel", ADA.email) in sent


def test_a_deletion_is_told_by_google_only_where_google_invited(world: GoogleWorld, google: GoogleConnector) -> None:
    silent = google.create(world.calendar, entry(), quirks=QUIRKS)
    world.control.edit(OPERATOR, silent.href, attendees=[{"email": "friend@elsewhere.example"}])
    google.delete(world.calendar, silent.href)
    assert world.control.mails() == []
    loud = google.create(world.calendar, entry(key="slbooking0002", attendees=(ADA,)), quirks=QUIRKS)
    google.delete(world.calendar, loud.href, loud.etag)
    assert [(m["kind"], m["to"]) for m in world.control.mails()] == [("request", ADA.email), ("cancel", ADA.email)]


# push channels


def watch(google: GoogleConnector, world: GoogleWorld, **changes: Any) -> Channel:
    asked = {
        "channel_id": "channel-1",
        "secret": "s3cret",
        "address": "http://127.0.0.1:9/hooks/google",
        "expires_at": datetime.now(UTC) + 100 * DAY,
    }
    return google.watch(world.calendar, **(asked | changes))


def test_watch_takes_what_google_grants(world: GoogleWorld, google: GoogleConnector) -> None:
    channel = watch(google, world)
    assert channel.id == "channel-1"
    assert channel.resource_id
    assert channel.expires_at < datetime.now(UTC) + 40 * DAY
    assert google.renew(channel, channel.expires_at + DAY) is None
    google.unwatch(channel)
    google.unwatch(channel)
    assert world.control.channels() == []


def test_what_cannot_be_watched_is_refused(world: GoogleWorld, google: GoogleConnector) -> None:
    watch(google, world)
    with pytest.raises(Refused):
        watch(google, world)
    world.control.push(allow_http=False)
    with pytest.raises(Refused):
        watch(google, world, channel_id="channel-2")
    world.control.delete_calendar(OPERATOR)
    with pytest.raises(CalendarGone):
        watch(google, world, channel_id="channel-3")
    world.control.undelete_calendar(OPERATOR)
    for body in ('{"id": "x"}', '{"id": "x", "resourceId": "y", "expiration": "soon"}'):
        world.control.fault("status", code=200, body=body, path="/watch$")
        with pytest.raises(BadAnswer):
            watch(google, world, channel_id="channel-4")


# the account


def test_a_revoked_account_cancels_nothing(world: GoogleWorld, google: GoogleConnector) -> None:
    written = google.create(world.calendar, entry(), quirks=QUIRKS)
    token = pull(google, world).token
    world.control.revoke(OPERATOR)
    for call in (
        lambda: google.calendars(),
        lambda: pull(google, world, token),
        lambda: google.fetch(world.calendar, written.href, WINDOW),
        lambda: google.find([world.calendar], entry().key, "", WINDOW),
        lambda: google.delete(world.calendar, written.href),
    ):
        with pytest.raises(NeedsReconnect):
            call()


@pytest.mark.parametrize("name", ["rateLimitExceeded", "quotaExceeded", "backendError", "forbidden"])
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_no_error_is_ever_taken_for_an_absence(
    world: GoogleWorld, google: GoogleConnector, name: str, method: str
) -> None:
    written = google.create(world.calendar, entry(), quirks=QUIRKS)
    calls = {
        "GET": lambda: google.fetch(world.calendar, written.href, WINDOW),
        "POST": lambda: google.create(world.calendar, entry(key="slbooking0002"), quirks=QUIRKS),
        "PATCH": lambda: google.update(world.calendar, entry(title="N"), written.href, written.etag, quirks=QUIRKS),
        "DELETE": lambda: google.delete(world.calendar, written.href, written.etag),
    }
    world.control.fault("error", name=name, method=method)
    with pytest.raises(ConnectorError) as caught:
        calls[method]()
    assert not isinstance(caught.value, Gone | CalendarGone)
    assert [e["id"] for e in world.control.events(OPERATOR)] == [written.href]
