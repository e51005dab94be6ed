"""The contract of calendars and changes: what the owner does with another app is seen, once and right."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from connectors.errors import CalendarGone
from connectors.model import Busy, Calendar, Period, Quirks
from connectors.protocol import Connector
from tests.contract.terms import BERLIN, DAY, HOUR, MONDAY, WEEK, WINDOW, Mirror, Terms
from tests.support.foreign import Foreign, Operator


class ReadingContract(Terms):
    """Each test gets an empty calendar."""

    # the account

    def test_calendars_are_listed(self, connector: Connector, calendar: Calendar, other_calendar: Calendar) -> None:
        listed = {found.href: found for found in connector.calendars()}
        assert {calendar.href, other_calendar.href} <= set(listed)
        assert listed[calendar.href].writable
        assert listed[calendar.href].name

    def test_a_calendar_that_is_not_there(self, connector: Connector, calendar: Calendar) -> None:
        missing = replace(calendar, href=self.missing_href(calendar))
        with pytest.raises(CalendarGone):
            connector.changes(missing, None, WINDOW, dict, quirks=Quirks())

    def test_the_selftest_leaves_nothing_behind(self, connector: Connector, calendar: Calendar, mirror: Mirror) -> None:
        found = connector.selftest(calendar, write=True)
        assert found.sync_token in ("trusted", "untrusted", "absent")
        self.settle(calendar)
        mirror.pull()
        assert not mirror.all_times()

    # pulling

    def test_an_empty_calendar(self, mirror: Mirror) -> None:
        assert mirror.events == {}
        assert not mirror.pull().changed

    def test_the_first_pull_brings_everything(
        self, connector: Connector, calendar: Calendar, operator: Operator, quirks: Quirks
    ) -> None:
        for day in range(3):
            operator.add(calendar, Foreign(f"Meeting {day}", MONDAY + day * DAY, MONDAY + day * DAY + HOUR))
        self.settle(calendar)
        mirror = Mirror(connector, calendar, quirks)
        changes = mirror.pull()
        assert changes.listed is not None, "a full pull must say what exists"
        assert mirror.all_times() == [(MONDAY + day * DAY, MONDAY + day * DAY + HOUR) for day in range(3)]
        assert not any(event.own_key or event.problem for event in mirror.events.values())

    def test_changes_come_once(self, calendar: Calendar, operator: Operator, mirror: Mirror) -> None:
        href = operator.add(calendar, Foreign("Lunch", MONDAY, MONDAY + HOUR))
        self.settle(calendar)
        assert [event.href for event in mirror.pull().changed] == [href]
        assert mirror.times(href) == [(MONDAY, MONDAY + HOUR)]
        assert mirror.pull().changed == ()
        assert mirror.last.removed == ()
        assert mirror.times(href) == [(MONDAY, MONDAY + HOUR)]

    def test_a_change_brings_new_times_and_another_etag(
        self, calendar: Calendar, operator: Operator, mirror: Mirror
    ) -> None:
        href = operator.add(calendar, Foreign("Lunch", MONDAY, MONDAY + HOUR))
        self.settle(calendar)
        mirror.pull()
        before = mirror.events[href].etag
        operator.move(calendar, href, MONDAY + DAY, MONDAY + DAY + 2 * HOUR)
        self.settle(calendar)
        assert [event.href for event in mirror.pull().changed] == [href]
        assert mirror.times(href) == [(MONDAY + DAY, MONDAY + DAY + 2 * HOUR)]
        assert mirror.events[href].etag != before

    def test_a_deletion_is_seen(self, calendar: Calendar, operator: Operator, mirror: Mirror) -> None:
        gone = operator.add(calendar, Foreign("Lunch", MONDAY, MONDAY + HOUR))
        kept = operator.add(calendar, Foreign("Tea", MONDAY + DAY, MONDAY + DAY + HOUR))
        self.settle(calendar)
        mirror.pull()
        operator.delete(calendar, gone)
        self.settle(calendar)
        mirror.pull()
        assert mirror.times(gone) == []
        assert mirror.times(kept) == [(MONDAY + DAY, MONDAY + DAY + HOUR)]

    def test_added_and_deleted_between_two_pulls(self, calendar: Calendar, operator: Operator, mirror: Mirror) -> None:
        href = operator.add(calendar, Foreign("Lunch", MONDAY, MONDAY + HOUR))
        operator.delete(calendar, href)
        self.settle(calendar)
        mirror.pull()
        assert mirror.all_times() == []

    def test_an_expired_token_changes_nothing_in_the_result(
        self, calendar: Calendar, operator: Operator, mirror: Mirror
    ) -> None:
        gone = operator.add(calendar, Foreign("Lunch", MONDAY, MONDAY + HOUR))
        operator.add(calendar, Foreign("Tea", MONDAY + DAY, MONDAY + DAY + HOUR))
        self.settle(calendar)
        mirror.pull()
        operator.delete(calendar, gone)
        operator.add(calendar, Foreign("Supper", MONDAY + 2 * DAY, MONDAY + 2 * DAY + HOUR))
        operator.expire_tokens()
        self.settle(calendar)
        mirror.pull()
        assert mirror.all_times() == [(MONDAY + day * DAY, MONDAY + day * DAY + HOUR) for day in (1, 2)]
        operator.add(calendar, Foreign("Late", MONDAY + 3 * DAY, MONDAY + 3 * DAY + HOUR))
        self.settle(calendar)
        mirror.pull()
        assert len(mirror.all_times()) == 3

    def test_two_calendars_are_apart(
        self, connector: Connector, other_calendar: Calendar, operator: Operator, mirror: Mirror, quirks: Quirks
    ) -> None:
        operator.add(other_calendar, Foreign("Elsewhere", MONDAY, MONDAY + HOUR))
        self.settle(other_calendar)
        mirror.pull()
        assert mirror.all_times() == []
        other = Mirror(connector, other_calendar, quirks)
        other.pull()
        assert other.all_times() == [(MONDAY, MONDAY + HOUR)]

    def test_the_window_is_respected(self, calendar: Calendar, operator: Operator, mirror: Mirror) -> None:
        before, after = WINDOW.start - 10 * DAY, WINDOW.end + 10 * DAY
        operator.add(calendar, Foreign("Long ago", before, before + HOUR))
        operator.add(calendar, Foreign("Far away", after, after + HOUR))
        operator.add(calendar, Foreign("Over the edge", WINDOW.start - HOUR, WINDOW.start + HOUR))
        operator.add(calendar, Foreign("Daily", WINDOW.end - 2 * DAY, WINDOW.end - 2 * DAY + HOUR, rrule="FREQ=DAILY"))
        self.settle(calendar)
        mirror.pull()
        assert mirror.all_times() == [
            (WINDOW.start - HOUR, WINDOW.start + HOUR),
            (WINDOW.end - 2 * DAY, WINDOW.end - 2 * DAY + HOUR),
            (WINDOW.end - DAY, WINDOW.end - DAY + HOUR),
        ]

    # what takes time

    def test_free_tentative_and_declined(self, calendar: Calendar, operator: Operator, mirror: Mirror) -> None:
        made = {
            Busy.BUSY: Foreign("Plain", MONDAY, MONDAY + HOUR),
            Busy.FREE: Foreign("Transparent", MONDAY + DAY, MONDAY + DAY + HOUR, transparent=True),
            Busy.TENTATIVE: Foreign("Perhaps", MONDAY + 2 * DAY, MONDAY + 2 * DAY + HOUR, tentative=True),
        }
        hrefs = {busy: operator.add(calendar, event) for busy, event in made.items()}
        self.settle(calendar)
        mirror.pull()
        for busy, href in hrefs.items():
            assert [o.busy for o in mirror.occurrences(href)] == [busy]

    def test_a_declined_invitation_is_free(self, calendar: Calendar, operator: Operator, mirror: Mirror) -> None:
        href = operator.add(calendar, Foreign("No thanks", MONDAY, MONDAY + HOUR, declined=True))
        self.settle(calendar)
        mirror.pull()
        assert [o.busy for o in mirror.occurrences(href)] in ([Busy.FREE], [])

    def test_an_unanswered_invitation_says_so(self, calendar: Calendar, operator: Operator, mirror: Mirror) -> None:
        href = operator.add(calendar, Foreign("Please come", MONDAY, MONDAY + HOUR, unanswered=True))
        self.settle(calendar)
        mirror.pull()
        assert [o.busy for o in mirror.occurrences(href)] == [Busy.UNANSWERED]

    def test_all_day_days_are_days_of_the_calendar(
        self, calendar: Calendar, operator: Operator, mirror: Mirror
    ) -> None:
        href = operator.add(calendar, Foreign("Fair", date(2027, 3, 27), date(2027, 3, 29)))  # the clocks change on 28
        self.settle(calendar)
        mirror.pull()
        (found,) = mirror.occurrences(href)
        assert found.all_day
        zone = ZoneInfo(self.zone)
        assert found.period == Period(datetime(2027, 3, 27, tzinfo=zone), datetime(2027, 3, 29, tzinfo=zone))

    def test_zones(self, calendar: Calendar, operator: Operator, mirror: Mirror) -> None:
        york = ZoneInfo("America/New_York")
        href = operator.add(
            calendar, Foreign("Call", datetime(2027, 3, 15, 9, tzinfo=york), datetime(2027, 3, 15, 10, tzinfo=york))
        )
        self.settle(calendar)
        mirror.pull()
        assert mirror.times(href) == [
            (datetime(2027, 3, 15, 13, tzinfo=UTC), datetime(2027, 3, 15, 14, tzinfo=UTC))  # New York changed on 14
        ]

    # series

    def series(self, **changes: object) -> Foreign:
        """Four Mondays at nine in Berlin over the change of the clocks: 22 and 29 March, 5 and 12 April."""
        start = datetime(2027, 3, 22, 9, tzinfo=BERLIN)
        made = Foreign("Team", start, start + HOUR, rrule="FREQ=WEEKLY;COUNT=4")
        return replace(made, **changes)  # type: ignore[arg-type]

    def test_a_series_keeps_its_local_time(self, calendar: Calendar, operator: Operator, mirror: Mirror) -> None:
        operator.add(calendar, self.series())
        self.settle(calendar)
        mirror.pull()
        starts = [start for start, _ in mirror.all_times()]
        assert starts == [
            datetime(2027, 3, 22, 8, tzinfo=UTC),
            datetime(2027, 3, 29, 7, tzinfo=UTC),
            datetime(2027, 4, 5, 7, tzinfo=UTC),
            datetime(2027, 4, 12, 7, tzinfo=UTC),
        ]
        assert all(end - start == HOUR for start, end in mirror.all_times())

    def test_a_moved_and_a_deleted_occurrence(self, calendar: Calendar, operator: Operator, mirror: Mirror) -> None:
        plain = self.series()
        href = operator.add(calendar, plain)
        self.settle(calendar)
        mirror.pull()
        names = sorted(o.recurrence_id for o in mirror.occurrences(href))
        second, third = plain.start + WEEK, plain.start + 2 * WEEK  # type: ignore[operator]
        elsewhere = datetime(2027, 3, 30, 15, tzinfo=BERLIN)
        operator.replace(
            calendar, href, self.series(moved={second: (elsewhere, elsewhere + 2 * HOUR)}, deleted=(third,))
        )
        self.settle(calendar)
        mirror.pull()
        assert mirror.all_times() == [
            (datetime(2027, 3, 22, 8, tzinfo=UTC), datetime(2027, 3, 22, 9, tzinfo=UTC)),
            (datetime(2027, 3, 30, 13, tzinfo=UTC), datetime(2027, 3, 30, 15, tzinfo=UTC)),
            (datetime(2027, 4, 12, 7, tzinfo=UTC), datetime(2027, 4, 12, 8, tzinfo=UTC)),
        ]
        assert {o.recurrence_id for o in mirror.occurrences(href)} == {names[0], names[1], names[3]}

    def test_a_series_with_exceptions_from_the_start(
        self, connector: Connector, calendar: Calendar, operator: Operator, quirks: Quirks
    ) -> None:
        start = datetime(2027, 3, 22, 9, tzinfo=BERLIN)
        href = operator.add(
            calendar, self.series(moved={start: (start - DAY, start - DAY + HOUR)}, deleted=(start + WEEK,))
        )
        self.settle(calendar)
        mirror = Mirror(connector, calendar, quirks)
        mirror.pull()
        assert [s.day for s, _ in mirror.times(href)] == [21, 5, 12]
        assert [s for s, _ in self.fetched(connector, calendar, href)] == [s for s, _ in mirror.times(href)]

    def fetched(self, connector: Connector, calendar: Calendar, href: str) -> list[tuple[datetime, datetime]]:
        """Times of one object, asked for directly."""
        event = connector.fetch(calendar, href, WINDOW)
        return sorted((o.period.start, o.period.end) for o in event.occurrences if o.busy is not Busy.NONE)

    def test_a_deleted_series_is_gone_as_a_whole(self, calendar: Calendar, operator: Operator, mirror: Mirror) -> None:
        start = datetime(2027, 3, 22, 9, tzinfo=BERLIN)
        href = operator.add(calendar, self.series(moved={start: (start - DAY, start - DAY + HOUR)}))
        self.settle(calendar)
        mirror.pull()
        assert len(mirror.all_times()) == 4
        operator.delete(calendar, href)
        self.settle(calendar)
        mirror.pull()
        assert mirror.all_times() == []

    def test_an_all_day_series(self, calendar: Calendar, operator: Operator, mirror: Mirror) -> None:
        operator.add(calendar, Foreign("Closed", date(2027, 3, 25), date(2027, 3, 26), "FREQ=WEEKLY;COUNT=2"))
        self.settle(calendar)
        mirror.pull()
        zone = ZoneInfo(self.zone)
        assert mirror.all_times() == [
            (datetime(2027, 3, 25, tzinfo=zone), datetime(2027, 3, 26, tzinfo=zone)),
            (datetime(2027, 4, 1, tzinfo=zone), datetime(2027, 4, 2, tzinfo=zone)),
        ]

    def test_an_endless_series_from_long_ago(self, calendar: Calendar, operator: Operator, mirror: Mirror) -> None:
        start = datetime(2019, 1, 1, 12, tzinfo=BERLIN)
        operator.add(calendar, Foreign("Monthly", start, start + HOUR, rrule="FREQ=MONTHLY;BYMONTHDAY=-1"))
        self.settle(calendar)
        mirror.pull()
        starts = [start.astimezone(BERLIN) for start, _ in mirror.all_times()]
        assert [(s.month, s.day, s.hour) for s in starts if s.month in (1, 2, 7)] == [
            (1, 31, 12),
            (2, 28, 12),
            (7, 31, 12),
        ]
        assert len(starts) == 12

    # the rest of the world

    def test_a_broken_object_does_not_stop_the_rest(
        self, connector: Connector, calendar: Calendar, operator: Operator, quirks: Quirks
    ) -> None:
        if not self.stores_broken:
            pytest.skip("this server stores nothing broken")
        operator.add_broken(calendar)
        href = operator.add(calendar, Foreign("Lunch", MONDAY, MONDAY + HOUR))
        self.settle(calendar)
        mirror = Mirror(connector, calendar, quirks)
        mirror.pull()
        assert mirror.times(href) == [(MONDAY, MONDAY + HOUR)]
        assert [event for event in mirror.events.values() if event.problem]
        assert not mirror.events[href].problem
