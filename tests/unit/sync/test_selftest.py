"""The thin use of the connectors' self-test."""

from __future__ import annotations

import pytest

from connectors.errors import BadAnswer, NeedsReconnect
from connectors.memory import MemoryConnector
from connectors.memory_server import MemoryServer
from connectors.protocol import Credentials
from sync.selftest import examine


def test_findings_and_failures() -> None:
    server = MemoryServer()
    calendar = server.add_calendar("work")
    connector = MemoryConnector(Credentials("memory"), server=server)
    assert examine(connector, calendar, write=False).sync_token == "trusted"
    assert examine(connector, calendar, write=True).if_none_match is True
    server.fail_next(BadAnswer(), "selftest")
    assert examine(connector, calendar, write=False).notes == ("self-test failed: bad_answer",)
    server.fail_next(BadAnswer(), "selftest")
    with pytest.raises(BadAnswer):
        examine(connector, calendar, write=True)
    server.fail_next(NeedsReconnect(), "selftest")
    with pytest.raises(NeedsReconnect):
        examine(connector, calendar, write=False)
