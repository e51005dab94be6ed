"""The contract of our own events: made once, changed with care, never taken for somebody else's."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from connectors.errors import CalendarGone, Conflict, Gone
from connectors.model import Busy, Calendar, Period, Quirks
from connectors.protocol import Connector
from tests.contract.terms import DAY, HOUR, MONDAY, WINDOW, Mirror, Opener, Terms, entry
from tests.support.foreign import Operator


class WritingContract(Terms):
    """Each test gets an empty calendar."""

    # our own events

    def test_create_once(
        self, connector: Connector, calendar: Calendar, operator: Operator, mirror: Mirror, quirks: Quirks
    ) -> None:
        written = connector.create(calendar, entry(), quirks=quirks)
        assert not written.adopted
        self.settle(calendar)
        event = connector.fetch(calendar, written.href, WINDOW)
        assert event.own_key == entry().key
        assert event.etag == written.etag
        assert [o.period for o in event.occurrences] == [entry().period]
        assert [o.busy for o in event.occurrences] == [Busy.BUSY]
        assert operator.copies(calendar, entry().key) == 1

    def test_an_echo_is_known_by_its_key_and_etag(
        self, connector: Connector, calendar: Calendar, mirror: Mirror, quirks: Quirks
    ) -> None:
        written = connector.create(calendar, entry(), quirks=quirks)
        self.settle(calendar)
        mirror.pull()
        (echo,) = mirror.ours(entry().key)
        assert (echo.href, echo.etag) == (written.href, written.etag)
        assert mirror.times(echo.href) == [(entry().period.start, entry().period.end)]

    def test_repeating_a_create_adopts(
        self, connector: Connector, open_connector: Opener, calendar: Calendar, operator: Operator, quirks: Quirks
    ) -> None:
        first = connector.create(calendar, entry(), quirks=quirks)
        self.settle(calendar)
        second = open_connector().create(calendar, entry(), quirks=quirks)
        assert second.adopted
        assert (second.href, second.etag) == (first.href, first.etag)
        assert operator.copies(calendar, entry().key) == 1

    def test_two_workers_create_the_same_event_once(
        self, open_connector: Opener, calendar: Calendar, operator: Operator, mirror: Mirror, quirks: Quirks
    ) -> None:
        together = threading.Barrier(2)
        results: list[object] = []

        def work(connector: Connector) -> None:
            together.wait(10)
            try:
                results.append(connector.create(calendar, entry(), quirks=quirks).href)
            except Exception as error:
                results.append(error)

        threads = [threading.Thread(target=work, args=(open_connector(),)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        self.settle(calendar)
        assert operator.copies(calendar, entry().key) == 1
        hrefs = {result for result in results if isinstance(result, str)}
        assert hrefs, results
        if self.atomic_create:
            assert len(results) == 2
            assert len(hrefs) == 1, results
        mirror.pull()
        assert len(mirror.ours(entry().key)) == 1

    def test_different_entries_at_the_same_time_are_different_events(
        self, connector: Connector, calendar: Calendar, mirror: Mirror, quirks: Quirks
    ) -> None:
        hrefs = {connector.create(calendar, entry(n), quirks=quirks).href for n in (1, 2, 3)}
        self.settle(calendar)
        mirror.pull()
        assert len(hrefs) == 3
        assert {mirror.events[href].own_key for href in hrefs} == {entry(n).key for n in (1, 2, 3)}

    def test_a_deleted_event_is_not_made_again(
        self, connector: Connector, calendar: Calendar, operator: Operator, quirks: Quirks
    ) -> None:
        if not self.knows_deleted_keys:
            pytest.skip("this server forgets what was deleted")
        written = connector.create(calendar, entry(), quirks=quirks)
        self.settle(calendar)
        operator.delete(calendar, written.href)
        self.settle(calendar)
        with pytest.raises(Gone):
            connector.create(calendar, entry(), quirks=quirks)
        assert operator.copies(calendar, entry().key) == 0

    def test_update_changes_ours_and_keeps_the_operators(
        self, connector: Connector, calendar: Calendar, operator: Operator, mirror: Mirror, quirks: Quirks
    ) -> None:
        written = connector.create(calendar, entry(), quirks=quirks)
        self.settle(calendar)
        operator.annotate(calendar, written.href)
        self.settle(calendar)
        theirs = operator.annotations(calendar, written.href)
        assert theirs
        now = connector.fetch(calendar, written.href, WINDOW)
        later = entry(period=Period(MONDAY + DAY, MONDAY + DAY + HOUR), title="Check-up, moved", sequence=1)
        after = connector.update(calendar, later, written.href, now.etag, quirks=quirks)
        self.settle(calendar)
        assert after.etag != now.etag
        mirror.pull()
        (event,) = mirror.ours(entry().key)
        assert event.etag == after.etag
        assert mirror.times(event.href) == [(MONDAY + DAY, MONDAY + DAY + HOUR)]
        assert operator.annotations(calendar, after.href) == theirs

    def test_updating_twice_is_like_once(
        self, connector: Connector, calendar: Calendar, mirror: Mirror, quirks: Quirks
    ) -> None:
        written = connector.create(calendar, entry(), quirks=quirks)
        self.settle(calendar)
        later = entry(period=Period(MONDAY + DAY, MONDAY + DAY + HOUR), sequence=1)
        once = connector.update(calendar, later, written.href, written.etag, quirks=quirks)
        self.settle(calendar)
        connector.update(calendar, later, written.href, once.etag, quirks=quirks)
        self.settle(calendar)
        mirror.pull()
        (event,) = mirror.ours(entry().key)
        assert mirror.times(event.href) == [(MONDAY + DAY, MONDAY + DAY + HOUR)]

    def test_update_at_another_etag_is_a_conflict(
        self, connector: Connector, calendar: Calendar, operator: Operator, mirror: Mirror, quirks: Quirks
    ) -> None:
        written = connector.create(calendar, entry(), quirks=quirks)
        self.settle(calendar)
        operator.move(calendar, written.href, MONDAY + DAY, MONDAY + DAY + HOUR)
        self.settle(calendar)
        ours = entry(period=Period(MONDAY + 2 * DAY, MONDAY + 2 * DAY + HOUR))
        with pytest.raises(Conflict):
            connector.update(calendar, ours, written.href, written.etag, quirks=quirks)
        mirror.pull()
        assert mirror.times(written.href) == [(MONDAY + DAY, MONDAY + DAY + HOUR)]
        connector.update(calendar, ours, written.href, "", quirks=quirks)
        self.settle(calendar)
        mirror.pull()
        assert mirror.times(written.href) == [(MONDAY + 2 * DAY, MONDAY + 2 * DAY + HOUR)]

    def test_update_of_a_deleted_event(
        self, connector: Connector, calendar: Calendar, operator: Operator, quirks: Quirks
    ) -> None:
        written = connector.create(calendar, entry(), quirks=quirks)
        self.settle(calendar)
        operator.delete(calendar, written.href)
        self.settle(calendar)
        for etag in (written.etag, ""):
            with pytest.raises(Gone):
                connector.update(calendar, entry(title="Other"), written.href, etag, quirks=quirks)
        assert operator.copies(calendar, entry().key) == 0

    def test_delete_twice(
        self, connector: Connector, calendar: Calendar, operator: Operator, mirror: Mirror, quirks: Quirks
    ) -> None:
        written = connector.create(calendar, entry(), quirks=quirks)
        self.settle(calendar)
        connector.delete(calendar, written.href, written.etag)
        connector.delete(calendar, written.href)
        connector.delete(calendar, written.href, written.etag)
        self.settle(calendar)
        mirror.pull()
        assert mirror.ours(entry().key) == []
        assert operator.copies(calendar, entry().key) == 0

    def test_delete_at_another_etag_is_a_conflict(
        self, connector: Connector, calendar: Calendar, operator: Operator, quirks: Quirks
    ) -> None:
        written = connector.create(calendar, entry(), quirks=quirks)
        self.settle(calendar)
        operator.move(calendar, written.href, MONDAY + DAY, MONDAY + DAY + HOUR)
        self.settle(calendar)
        with pytest.raises(Conflict):
            connector.delete(calendar, written.href, written.etag)
        assert operator.copies(calendar, entry().key) == 1

    def test_fetch_tells_gone_from_trouble(
        self, connector: Connector, calendar: Calendar, operator: Operator, quirks: Quirks
    ) -> None:
        written = connector.create(calendar, entry(), quirks=quirks)
        self.settle(calendar)
        operator.delete(calendar, written.href)
        self.settle(calendar)
        with pytest.raises(Gone):
            connector.fetch(calendar, written.href, WINDOW)
        missing = replace(calendar, href=self.missing_href(calendar))
        with pytest.raises(Exception) as caught:
            connector.fetch(missing, written.href.replace(calendar.href, missing.href), WINDOW)
        assert not isinstance(caught.value, Gone), "a calendar that is away proves nothing about its events"

    def test_a_move_of_ours_is_seen(
        self, connector: Connector, calendar: Calendar, operator: Operator, mirror: Mirror, quirks: Quirks
    ) -> None:
        written = connector.create(calendar, entry(), quirks=quirks)
        self.settle(calendar)
        mirror.pull()
        operator.move(calendar, written.href, MONDAY + 3 * HOUR, MONDAY + 4 * HOUR)
        self.settle(calendar)
        mirror.pull()
        (event,) = mirror.ours(entry().key)
        assert event.href == written.href
        assert mirror.times(event.href) == [(MONDAY + 3 * HOUR, MONDAY + 4 * HOUR)]
        assert event.etag != written.etag

    def test_a_deletion_of_ours_is_seen(
        self, connector: Connector, calendar: Calendar, operator: Operator, mirror: Mirror, quirks: Quirks
    ) -> None:
        written = connector.create(calendar, entry(), quirks=quirks)
        self.settle(calendar)
        mirror.pull()
        operator.delete(calendar, written.href)
        self.settle(calendar)
        mirror.pull()
        assert mirror.ours(entry().key) == []

    def test_find(
        self, connector: Connector, calendar: Calendar, other_calendar: Calendar, operator: Operator, quirks: Quirks
    ) -> None:
        both = [calendar, other_calendar]
        assert connector.find(both, entry().key, entry().uid, WINDOW) is None
        written = connector.create(calendar, entry(), quirks=quirks)
        connector.create(calendar, entry(2), quirks=quirks)
        self.settle(calendar)
        found = connector.find(both, entry().key, entry().uid, WINDOW)
        assert found is not None
        assert (found.calendar, found.event.href) == (calendar.href, written.href)
        operator.delete(calendar, written.href)
        self.settle(calendar)
        assert connector.find(both, entry().key, entry().uid, WINDOW) is None

    def test_find_after_the_operator_dragged_it_to_another_calendar(
        self, connector: Connector, calendar: Calendar, other_calendar: Calendar, operator: Operator, quirks: Quirks
    ) -> None:
        written = connector.create(calendar, entry(), quirks=quirks)
        self.settle(calendar)
        operator.move_to(calendar, written.href, other_calendar)
        self.settle(calendar)
        self.settle(other_calendar)
        found = connector.find([calendar, other_calendar], entry().key, entry().uid, WINDOW)
        assert found is not None
        assert found.calendar == other_calendar.href
        assert found.event.own_key == entry().key
        assert [o.period for o in found.event.occurrences] == [entry().period]

    def test_find_needs_every_calendar(self, connector: Connector, calendar: Calendar) -> None:
        missing = replace(calendar, href=self.missing_href(calendar))
        with pytest.raises(CalendarGone):
            connector.find([calendar, missing], entry().key, entry().uid, WINDOW)

    def test_texts_survive(self, connector: Connector, calendar: Calendar, mirror: Mirror, quirks: Quirks) -> None:
        title = 'Ärztin; "Dr. Ω", 100 % \\ 5 <b> 😀'
        written = connector.create(calendar, entry(title=title, description="a\nb,c;d\\e"), quirks=quirks)
        self.settle(calendar)
        mirror.pull()
        assert [o.title for o in mirror.occurrences(written.href)] == [title]

    def test_close_is_idempotent(self, open_connector: Opener) -> None:
        connector = open_connector()
        with connector as entered:
            entered.calendars()
        connector.close()
