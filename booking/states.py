"""What may become of a booking: (status, event) → status. Pure."""

from __future__ import annotations

from enum import StrEnum

from booking.errors import NotPossible


class Status(StrEnum):
    """Of a booking (INTERFACE §4)."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"
    COMPLETED = "completed"
    NO_SHOW = "no_show"
    DECLINED = "declined"
    EXPIRED = "expired"


class Happening(StrEnum):
    """What happens to it."""

    CONFIRM = "confirm"
    DECLINE = "decline"
    EXPIRE = "expire"
    CANCEL = "cancel"
    MOVE = "move"
    COMPLETE = "complete"
    NO_SHOW = "no_show"
    UNDO_NO_SHOW = "undo_no_show"


LIVE = (Status.PENDING, Status.CONFIRMED)
"""These hold seats."""
ENDED = (Status.CANCELLED, Status.DECLINED, Status.EXPIRED)
"""These have given their seats back."""
COUNTED = (Status.CONFIRMED, Status.COMPLETED, Status.NO_SHOW)
"""These have a place in the operator's event."""

_NEXT = {
    (Status.PENDING, Happening.CONFIRM): Status.CONFIRMED,
    (Status.PENDING, Happening.DECLINE): Status.DECLINED,
    (Status.PENDING, Happening.EXPIRE): Status.EXPIRED,
    (Status.PENDING, Happening.CANCEL): Status.CANCELLED,
    (Status.PENDING, Happening.MOVE): Status.PENDING,
    (Status.CONFIRMED, Happening.CANCEL): Status.CANCELLED,
    (Status.CONFIRMED, Happening.MOVE): Status.CONFIRMED,
    (Status.CONFIRMED, Happening.COMPLETE): Status.COMPLETED,
    (Status.CONFIRMED, Happening.NO_SHOW): Status.NO_SHOW,
    (Status.COMPLETED, Happening.NO_SHOW): Status.NO_SHOW,
    (Status.NO_SHOW, Happening.UNDO_NO_SHOW): Status.CONFIRMED,
}


def after(status: str, happening: Happening) -> Status:
    """The next status. Raises `NotPossible`."""
    try:
        return _NEXT[Status(status), happening]
    except KeyError:
        raise NotPossible(f"a {status} booking can't {happening.value.replace('_', ' ')}") from None
