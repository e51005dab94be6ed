"""Whatever the operator does and whatever breaks, a mirror that pulls changes ends up equal to Google's own truth.

The truth is expanded by the emulator's own code over dateutil, which the connector knows nothing of.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from connectors.emulators.google import series
from connectors.errors import SyncTokenExpired, Temporary
from connectors.model import Busy, Event, Period, Quirks, SyncToken
from tests.support.google import OPERATOR, TEAM, ZONE, google_world

BERLIN = ZoneInfo(ZONE)
WINDOW = Period(datetime(2027, 3, 1, tzinfo=UTC), datetime(2027, 6, 1, tzinfo=UTC))
FIRST = datetime(2027, 2, 20, 9, tzinfo=BERLIN)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
RULES = [
    "FREQ=DAILY;COUNT=9",
    "FREQ=WEEKLY;BYDAY=MO,TH",
    "FREQ=WEEKLY;COUNT=6",
    "FREQ=MONTHLY;BYMONTHDAY=-1",
    "FREQ=DAILY;INTERVAL=3",
]
FAULTS: list[dict[str, Any]] = [
    {"action": "error", "name": "backendError"},
    {"action": "error", "name": "rateLimitExceeded"},
    {"action": "close", "count": 2},
    {"action": "truncate"},
    {"action": "html"},
    {"action": "error", "name": "fullSyncRequired", "query": "syncToken"},
    {"action": "error", "name": "badRequest", "query": "pageToken"},
    {"action": "duplicate_item", "path": "/events$"},
]

days = st.integers(0, 100)
hours = st.integers(0, 40)
events = st.integers(0, 50)


def at(day: int, hour: int) -> datetime:
    return (FIRST + day * DAY).replace(hour=0) + hour * HOUR


def fitting(rule: str, start: datetime) -> datetime:
    """The first day from ``start`` on that the rule itself names: what happens otherwise is undefined (RFC 5545
    §3.8.5.3)."""
    while ("BYDAY" in rule and start.weekday() != 0) or ("BYMONTHDAY" in rule and (start + DAY).day != 1):
        start += DAY
    return start


class GoogleSync(RuleBasedStateMachine):
    """Two calendars, one mirror of each."""

    made = Bundle("made")

    def __init__(self) -> None:
        super().__init__()
        self.context = google_world()
        self.world = self.context.__enter__()
        self.control = self.world.control
        self.google = self.world.connect()
        self.mirrors: dict[str, dict[str, Event]] = {OPERATOR: {}, TEAM: {}}
        self.tokens: dict[str, SyncToken | None] = {OPERATOR: None, TEAM: None}

    def teardown(self) -> None:
        self.context.__exit__(None, None, None)

    @initialize(
        stubs=st.sampled_from(["minimal", "full"]),
        outside=st.booleans(),
        search=st.booleans(),
        touches=st.booleans(),
        keeps=st.booleans(),
        pages=st.booleans(),
    )
    def switches(self, stubs: str, outside: bool, search: bool, touches: bool, keeps: bool, pages: bool) -> None:
        self.control.rules(
            stubs=stubs,
            delta_outside_window=outside,
            uid_search_lists_stubs=search,
            exception_touches_master=touches,
            move_keeps_id=keeps,
            empty_pages=pages,
        )

    # the operator

    @rule(target=made, day=days, hour=hours, length=st.integers(0, 30), free=st.booleans())
    def add(self, day: int, hour: int, length: int, free: bool) -> str:
        fields = {"transparency": "transparent"} if free else {}
        result: str = self.control.create(OPERATOR, "E", at(day, hour), at(day, hour) + length * HOUR, **fields)
        return result

    @rule(target=made, day=days, length=st.integers(1, 3), rule=st.sampled_from(["", *RULES]))
    def add_all_day(self, day: int, length: int, rule: str) -> str:
        first = fitting(rule, at(day, 0)).date()
        fields = {"recurrence": [f"RRULE:{rule}"]} if rule else {}
        result: str = self.control.create(OPERATOR, "D", first, first + length * DAY, **fields)
        return result

    @rule(target=made, day=days, hour=hours, rule=st.sampled_from(RULES))
    def add_series(self, day: int, hour: int, rule: str) -> str:
        lines, start = [f"RRULE:{rule}"], fitting(rule, at(day, hour))
        result: str = self.control.create(OPERATOR, "S", start, start + HOUR, recurrence=lines)
        return result

    @rule(event=made, day=days, hour=hours)
    def move(self, event: str, day: int, hour: int) -> None:
        if self._lives(event) and "recurrence" not in self._stored(event):
            self.control.move_time(OPERATOR, event, at(day, hour), at(day, hour) + HOUR)

    @rule(event=made, answer=st.sampled_from(["opaque", "transparent"]))
    def repaint(self, event: str, answer: str) -> None:
        if self._lives(event):
            self.control.edit(OPERATOR, event, transparency=answer)

    @rule(event=consumes(made))
    def delete(self, event: str) -> None:
        if self._lives(event):
            self.control.delete(OPERATOR, event)

    @rule(event=consumes(made))
    def to_the_other_calendar(self, event: str) -> None:
        if self._lives(event):
            self.control.move_calendar(OPERATOR, event, TEAM)

    @rule(event=made, number=events)
    def delete_one(self, event: str, number: int) -> None:
        if instance := self._instance(event, number):
            self.control.delete(OPERATOR, instance)

    @rule(event=made, number=events, day=days, hour=hours)
    def move_one(self, event: str, number: int, day: int, hour: int) -> None:
        if instance := self._instance(event, number):
            self.control.move_time(OPERATOR, instance, at(day, hour), at(day, hour) + HOUR)

    @rule(target=made, event=made, number=events, hour=hours)
    def this_and_following(self, event: str, number: int, hour: int) -> str:
        if not self._instance(event, number) or "date" in self._stored(event)["start"]:
            return event
        found = self.control.occurrences(OPERATOR, event, WINDOW.start, WINDOW.end)
        since = datetime.fromisoformat(found[number % len(found)]["start"])
        start = fitting(self._stored(event)["recurrence"][0], since.astimezone(BERLIN) + hour * HOUR)
        result: str = self.control.split_series(OPERATOR, event, since, start, start + HOUR)
        return result

    @rule(event=made)
    def stop_repeating(self, event: str) -> None:
        if self._lives(event) and not self.control.event(OPERATOR, event).get("recurringEventId"):
            self.control.edit(OPERATOR, event, recurrence=None)

    # what goes wrong

    @rule(fault=st.sampled_from(FAULTS), nth=st.integers(1, 3))
    def break_something(self, fault: dict[str, Any], nth: int) -> None:
        self.control.fault(**{"method": "GET", "nth": nth, **fault})

    @rule()
    def tokens_expire(self) -> None:
        self.control.expire_sync_tokens()

    @rule()
    def access_expires(self) -> None:
        self.control.expire_access()

    # the mirror

    @rule()
    def pull_as_it_comes(self) -> None:
        for calendar in self.mirrors:
            try:
                self._pull(calendar)
            except SyncTokenExpired:
                self.tokens[calendar] = None
            except Temporary:
                pass

    @rule()
    def in_the_end(self) -> None:
        self.control.clear_faults()
        for calendar in self.mirrors:
            try:
                self._pull(calendar)
            except SyncTokenExpired:
                self.tokens[calendar] = None
                self._pull(calendar)
            ours = sorted(
                (o.period.start, o.period.end, o.busy)
                for event in self.mirrors[calendar].values()
                for o in event.occurrences
                if o.busy is not Busy.NONE
            )
            assert ours == self._truth(calendar)

    @invariant()
    def nothing_unexpected(self) -> None:
        self.control.assert_no_unexpected()

    def _pull(self, calendar: str) -> None:
        at_google = self.world.calendar if calendar == OPERATOR else self.world.team
        changes = self.google.changes(at_google, self.tokens[calendar], WINDOW, dict, quirks=Quirks())
        living = {e["id"] for e in self.control.events(calendar)}
        assert not living & set(changes.removed), "nothing that is there is called removed"
        mirror = self.mirrors[calendar]
        if changes.listed is not None:
            for href in set(mirror) - changes.listed:
                del mirror[href]
        for href in changes.removed:
            mirror.pop(href, None)
        mirror.update({event.href: event for event in changes.changed})
        self.tokens[calendar] = changes.token

    def _truth(self, calendar: str) -> list[tuple[datetime, datetime, Busy]]:
        stored = self.control.events(calendar, cancelled=True)
        excepted = {e["id"] for e in stored if e.get("recurringEventId")}
        found = []
        for event in stored:
            if event["status"] == "cancelled":
                continue
            busy = Busy.FREE if event.get("transparency") == "transparent" else Busy.BUSY
            if not event.get("recurrence"):
                found.append((*series.span(event, ZONE), busy))
                continue
            for instance in series.expand(event, ZONE, WINDOW.start - DAY, WINDOW.end + DAY):
                if series.instance_id(event["id"], instance.original, ZONE) not in excepted:
                    found.append((instance.start, instance.end, busy))
        return sorted(
            (start, end, busy)
            for start, end, busy in found
            if start < WINDOW.end and (end > WINDOW.start or start == end == WINDOW.start)
        )

    def _stored(self, event: str) -> dict[str, Any]:
        stored: dict[str, Any] = self.control.event(OPERATOR, event)
        return stored

    def _lives(self, event: str) -> bool:
        return self.control.event(OPERATOR, event) is not None and self._stored(event)["status"] != "cancelled"

    def _instance(self, event: str, number: int) -> str:
        """The id of a living instance of a living series, or ``""``."""
        if not self._lives(event) or not self._stored(event).get("recurrence"):
            return ""
        found = self.control.occurrences(OPERATOR, event, WINDOW.start, WINDOW.end)
        if not found:
            return ""
        name: str = found[number % len(found)]["id"]
        known = self.control.event(OPERATOR, name)
        return "" if known is not None and known["status"] == "cancelled" else name


GoogleSync.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestGoogleSync = GoogleSync.TestCase
