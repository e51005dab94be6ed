"""When to try again, or to give up: decided from the class of the error and the number of attempts, nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta

from connectors.errors import ConnectorError, NeedsReconnect, Permanent, Temporary, Throttled

FIRST = timedelta(seconds=2)
LONGEST = timedelta(minutes=30)
GIVE_UP_AFTER = 40  # some 15 hours of trying


class NotYet(Exception):
    """What this message waits for has not happened yet; no failure."""

    def __init__(self, why: str, after: timedelta) -> None:
        super().__init__(why)
        self.after = after


def next_attempt(error: BaseException, attempt: int, now: datetime, *, spread: float = 0.5) -> datetime | None:
    """The instant of the next attempt, or None to park the message for a human.

    attempt: how many were made, from 1. spread: 0…1, moves the wait by ±25 % so that waiting rows don't march in step.
    """
    if isinstance(error, NotYet):
        return now + error.after
    if attempt >= GIVE_UP_AFTER or isinstance(error, Permanent):
        return None
    if isinstance(error, Throttled) and error.retry_after is not None:
        return now + timedelta(seconds=min(max(error.retry_after, 1.0), 6 * 3600))
    if isinstance(error, NeedsReconnect):
        return now + LONGEST  # the person who reconnects wakes it earlier
    if isinstance(error, ConnectorError) and not isinstance(error, Temporary):
        return None
    if not isinstance(error, ConnectorError) and attempt >= 8:
        return None  # a bug of ours: more tries won't mend it
    wait = min(FIRST * (1 << min(attempt - 1, 12)), LONGEST)
    return now + wait * (0.75 + 0.5 * spread)
