"""The contract of an owner who edits: series cut in two, events dragged far away and back, other kinds, other zones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from connectors.model import Calendar, Quirks
from connectors.protocol import Connector
from tests.contract.terms import BERLIN, DAY, HOUR, MONDAY, WEEK, WINDOW, Mirror, Terms, entry
from tests.support.foreign import Foreign, Operator

NINE = datetime(2027, 10, 18, 9, tzinfo=BERLIN)
"""A Monday; the clocks go back on the last Sunday of that October."""


class EditingContract(Terms):
    """Each test gets an empty calendar."""

    def see(self, calendar: Calendar, mirror: Mirror) -> list[tuple[datetime, datetime]]:
        """All times as an incremental pull brings them, and the proof that a pull without a token brings the same."""
        self.settle(calendar)
        mirror.pull()
        fresh = Mirror(mirror.connector, mirror.calendar, mirror.quirks)
        fresh.pull()
        assert fresh.all_times() == mirror.all_times()
        return mirror.all_times()

    # "this and following"

    def test_this_and_following_are_deleted(self, calendar: Calendar, operator: Operator, mirror: Mirror) -> None:
        href = operator.add(calendar, Foreign("Course", NINE, NINE + HOUR, "FREQ=WEEKLY;COUNT=4"))
        assert len(self.see(calendar, mirror)) == 4
        operator.replace(calendar, href, Foreign("Course", NINE, NINE + HOUR, "FREQ=WEEKLY;COUNT=2"))
        first = NINE.astimezone(UTC)
        assert self.see(calendar, mirror) == [(first, first + HOUR), (first + WEEK, first + WEEK + HOUR)]

    def test_this_and_following_move_to_another_hour(
        self, calendar: Calendar, operator: Operator, mirror: Mirror
    ) -> None:
        href = operator.add(calendar, Foreign("Course", NINE, NINE + HOUR, "FREQ=WEEKLY;COUNT=4"))
        self.see(calendar, mirror)
        later = NINE + 2 * WEEK + 2 * HOUR
        operator.replace(calendar, href, Foreign("Course", NINE, NINE + HOUR, "FREQ=WEEKLY;COUNT=2"))
        operator.add(calendar, Foreign("Course", later, later + 2 * HOUR, "FREQ=WEEKLY;COUNT=2"))
        assert self.see(calendar, mirror) == [
            (datetime(2027, 10, 18, 7, tzinfo=UTC), datetime(2027, 10, 18, 8, tzinfo=UTC)),
            (datetime(2027, 10, 25, 7, tzinfo=UTC), datetime(2027, 10, 25, 8, tzinfo=UTC)),
            (datetime(2027, 11, 1, 10, tzinfo=UTC), datetime(2027, 11, 1, 12, tzinfo=UTC)),
            (datetime(2027, 11, 8, 10, tzinfo=UTC), datetime(2027, 11, 8, 12, tzinfo=UTC)),
        ]

    def test_a_deleted_occurrence_comes_back_when_the_series_is_whole_again(
        self, calendar: Calendar, operator: Operator, mirror: Mirror
    ) -> None:
        whole = Foreign("Course", NINE, NINE + HOUR, "FREQ=WEEKLY;COUNT=3")
        href = operator.add(calendar, replace(whole, deleted=(NINE + WEEK,)))
        assert len(self.see(calendar, mirror)) == 2
        operator.delete(calendar, href)
        operator.add(calendar, whole)
        assert len(self.see(calendar, mirror)) == 3

    # far away and back

    def test_out_of_the_window_and_back(self, calendar: Calendar, operator: Operator, mirror: Mirror) -> None:
        href = operator.add(calendar, Foreign("Trip", MONDAY, MONDAY + HOUR))
        assert self.see(calendar, mirror) == [(MONDAY, MONDAY + HOUR)]
        far = WINDOW.end + 40 * DAY
        operator.move(calendar, href, far, far + HOUR)
        assert self.see(calendar, mirror) == []
        operator.move(calendar, href, MONDAY + DAY, MONDAY + DAY + HOUR)
        assert self.see(calendar, mirror) == [(MONDAY + DAY, MONDAY + DAY + HOUR)]

    def test_a_booking_dragged_out_of_the_window_still_exists(
        self, connector: Connector, calendar: Calendar, operator: Operator, mirror: Mirror, quirks: Quirks
    ) -> None:
        written = connector.create(calendar, entry(), quirks=quirks)
        self.see(calendar, mirror)
        far = WINDOW.end + 40 * DAY
        operator.move(calendar, written.href, far, far + HOUR)
        self.see(calendar, mirror)
        assert connector.fetch(calendar, written.href, WINDOW).own_key == entry().key, "moved away is not deleted"
        operator.move(calendar, written.href, MONDAY, MONDAY + HOUR)
        assert self.see(calendar, mirror) == [(MONDAY, MONDAY + HOUR)]

    def test_to_another_calendar_and_back(
        self, connector: Connector, calendar: Calendar, other_calendar: Calendar, operator: Operator, mirror: Mirror
    ) -> None:
        elsewhere = Mirror(connector, other_calendar, mirror.quirks)
        elsewhere.pull()
        href = operator.add(calendar, Foreign("Trip", MONDAY, MONDAY + HOUR))
        self.see(calendar, mirror)
        operator.move_to(calendar, href, other_calendar)
        assert self.see(calendar, mirror) == []
        assert self.see(other_calendar, elsewhere) == [(MONDAY, MONDAY + HOUR)]
        operator.move_to(other_calendar, next(iter(elsewhere.events)), calendar)
        assert self.see(other_calendar, elsewhere) == []
        assert self.see(calendar, mirror) == [(MONDAY, MONDAY + HOUR)]

    # other kinds

    def test_all_day_to_timed_and_back(self, calendar: Calendar, operator: Operator, mirror: Mirror) -> None:
        zone = ZoneInfo(self.zone)
        fair = Foreign("Fair", date(2027, 10, 30), date(2027, 11, 1))  # the clocks go back in it: 49 hours
        days = [(datetime(2027, 10, 30, tzinfo=zone), datetime(2027, 11, 1, tzinfo=zone))]
        href = operator.add(calendar, fair)
        assert self.see(calendar, mirror) == days
        operator.replace(calendar, href, Foreign("Fair", NINE, NINE + 3 * HOUR))
        assert self.see(calendar, mirror) == [(NINE.astimezone(UTC), NINE.astimezone(UTC) + 3 * HOUR)]
        operator.replace(calendar, href, fair)
        assert self.see(calendar, mirror) == days
        (found,) = mirror.occurrences(href)
        assert found.all_day

    def test_the_same_wall_time_in_another_zone(self, calendar: Calendar, operator: Operator, mirror: Mirror) -> None:
        href = ""
        for zone, hour in (("Europe/Berlin", 7), ("America/New_York", 13), ("Asia/Kolkata", 3)):
            start = datetime(2027, 10, 18, 9, tzinfo=ZoneInfo(zone))
            event = Foreign("Call", start, start + HOUR, "FREQ=WEEKLY;COUNT=3")
            if href:
                operator.replace(calendar, href, event)
            else:
                href = operator.add(calendar, event)
            starts = [found for found, _ in self.see(calendar, mirror)]
            assert starts[0].hour == hour
            local = [found.astimezone(ZoneInfo(zone)) for found in starts]
            assert [(found.day, found.hour) for found in local] == [(18, 9), (25, 9), (1, 9)]

    # the clocks

    def test_over_both_changes_of_the_clocks(self, calendar: Calendar, operator: Operator, mirror: Mirror) -> None:
        spring, autumn = datetime(2027, 3, 28, 1, tzinfo=BERLIN), datetime(2027, 10, 31, 1, tzinfo=BERLIN)
        for night in (spring, autumn):
            operator.add(calendar, Foreign("Night shift", night, night.replace(hour=6)))
        times = self.see(calendar, mirror)
        assert [end - start for start, end in times] == [4 * HOUR, 6 * HOUR]
        assert [start for start, _ in times] == [spring.astimezone(UTC), autumn.astimezone(UTC)]

    def test_a_series_through_the_repeated_hour(self, calendar: Calendar, operator: Operator, mirror: Mirror) -> None:
        start = datetime(2027, 10, 30, 9, tzinfo=BERLIN)
        operator.add(calendar, Foreign("Daily", start, start + HOUR, "FREQ=DAILY;COUNT=3"))
        assert [found for found, _ in self.see(calendar, mirror)] == [
            datetime(2027, 10, 30, 7, tzinfo=UTC),
            datetime(2027, 10, 31, 8, tzinfo=UTC),
            datetime(2027, 11, 1, 8, tzinfo=UTC),
        ]
