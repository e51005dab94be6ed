"""What does this server honour? Thin use of `Connector.selftest` (INTERFACE §7)."""

from __future__ import annotations

from connectors.errors import ConnectorError, NeedsReconnect
from connectors.model import Calendar, Quirks
from connectors.protocol import Connector


def examine(connector: Connector, calendar: Calendar, *, write: bool) -> Quirks:
    """The findings about one calendar. write: put and delete a probe event.

    A read-only test that fails costs no connection: the careful defaults hold, and a note tells why. Raises
    `NeedsReconnect`, and any ConnectorError of a test that writes.
    """
    try:
        return connector.selftest(calendar, write=write)
    except NeedsReconnect:
        raise
    except ConnectorError as error:
        if write:
            raise
        return Quirks(notes=(f"self-test failed: {error.code}",))
