"""The CalDAV connector keeps the contract on a real Xandikos."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.model import Calendar, Quirks
from connectors.protocol import Connector
from tests.contract.suite import ConnectorContract, Opener
from tests.support.caldav_operator import CalDavOperator, CalDavWorld, xandikos_world


@pytest.fixture(scope="module")
def world() -> Iterator[CalDavWorld]:
    with xandikos_world() as running:
        yield running


class TestXandikos(ConnectorContract):
    """By sync tokens, which this server honours."""

    knows_deleted_keys = False  # nor does any other CalDAV server
    expected = "trusted"

    @pytest.fixture
    def calendar(self, world: CalDavWorld) -> Iterator[Calendar]:
        with world.calendar(self.zone) as made:
            yield made

    @pytest.fixture
    def other_calendar(self, world: CalDavWorld) -> Iterator[Calendar]:
        with world.calendar(self.zone) as made:
            yield made

    @pytest.fixture
    def operator(self, world: CalDavWorld) -> CalDavOperator:
        return world.operator

    @pytest.fixture
    def open_connector(self, world: CalDavWorld) -> Opener:
        return world.connect

    def test_what_the_selftest_finds(self, quirks: Quirks) -> None:
        assert quirks.sync_token == self.expected
        assert quirks.if_none_match is True
        assert quirks.etag_on_put is True


class TestXandikosWithoutTokens(TestXandikos):
    """The same as of a server whose tokens can't be trusted: by ctag and etags."""

    expected = "untrusted"

    @pytest.fixture
    def quirks(self, connector: Connector, calendar: Calendar) -> Quirks:
        found = connector.selftest(calendar, write=True)
        return Quirks("untrusted", found.if_none_match, found.etag_on_put, found.notes, found.extra)
