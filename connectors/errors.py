"""Everything a provider or mailbox can do to us, as one tree.

::

    ConnectorError
    ├── Temporary                 try again later, by itself
    │   ├── Unreachable           no connection, time-out, broken answer; a write's outcome is unknown
    │   ├── ServerFault           5xx; a write's outcome is unknown
    │   ├── Throttled             429, quota; .retry_after
    │   └── Conflict              412, concurrent change: read again, decide again
    ├── Permanent                 the same call will fail again
    │   ├── Refused               400, 403 for this operation, policy
    │   ├── Gone                  this object is not there: 404, 410, cancelled stub
    │   ├── CalendarGone          the collection can't be seen: never a proof about its events
    │   ├── BadAnswer             the server speaks, but not the protocol
    │   └── AddressRefused        SSRF guard, TLS demanded, address not allowed
    ├── NeedsReconnect            credentials no longer good: 401, invalid_grant
    └── SyncTokenExpired          list everything again, by the same path (RFC 6578 §3.2; Google and Graph 410)

What is worth a retry is decided by class alone (`ledger/backoff.py`).
"""

from __future__ import annotations


class ConnectorError(Exception):
    """Something at the provider failed."""

    code = "connector_error"

    def __init__(self, detail: str = "", *, status: int | None = None) -> None:
        super().__init__(detail or self.__doc__)
        self.detail = detail or (self.__doc__ or "")
        self.status = status


class Temporary(ConnectorError):
    """It failed for now."""

    code = "temporary"


class Unreachable(Temporary):
    """The server can't be reached, or stopped answering."""

    code = "unreachable"


class ServerFault(Temporary):
    """The server failed."""

    code = "server_fault"


class Throttled(Temporary):
    """The server asks for fewer calls."""

    code = "throttled"

    def __init__(self, detail: str = "", *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(detail, status=status)
        self.retry_after = retry_after


class Conflict(Temporary):
    """The object changed meanwhile."""

    code = "conflict"


class Permanent(ConnectorError):
    """It will fail again."""

    code = "permanent"


class Refused(Permanent):
    """The server refuses this operation."""

    code = "refused"


class Gone(Permanent):
    """The object is not there."""

    code = "gone"


class CalendarGone(Permanent):
    """The calendar can't be found."""

    code = "calendar_gone"


class BadAnswer(Permanent):
    """The server's answer can't be understood."""

    code = "bad_answer"


class AddressRefused(Permanent):
    """This address may not be called."""

    code = "address_refused"


class NeedsReconnect(ConnectorError):
    """The credentials are no longer accepted."""

    code = "needs_reconnect"


class SyncTokenExpired(ConnectorError):
    """The sync token is no longer valid."""

    code = "sync_token_expired"
