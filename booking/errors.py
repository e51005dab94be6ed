"""Why a wish can't be met, each with a stable code.

::

    BookingError
    ├── NotFound            no such operator, service, booking, hold or place in line
    ├── Invalid             a field is wrong; .errors names each
    ├── SlotTaken           that start is not free (any more); .alternatives in their order, .waitlist: operator and service
    ├── HoldExpired         the hold's time is over
    ├── TooLate             the window for it has closed
    ├── NotPossible         not in this state
    │   └── DoesNotFit      an operator's move to a time that is past or taken
    ├── OfferExpired        the offer's time is over
    └── KeyReused           the Idempotency-Key belongs to another request, which made .booking_id
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field. field: dotted path; code: stable; detail: for people, in English."""

    field: str
    code: str
    detail: str


class BookingError(Exception):
    """It can't be done."""

    code = "not_possible"

    def __init__(self, detail: str = "") -> None:
        self.detail = detail or (self.__doc__ or "").strip()
        super().__init__(self.detail)


class NotFound(BookingError):
    """There is no such thing."""

    code = "not_found"


class Invalid(BookingError):
    """Something in the request is wrong."""

    code = "invalid"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(f"{e.field}: {e.detail}" for e in errors))


class SlotTaken(BookingError):
    """This time is not free any more."""

    code = "slot_taken"

    def __init__(self, alternatives: Sequence[datetime] = (), *, waitlist: tuple[str, str] | None = None) -> None:
        self.alternatives = tuple(alternatives)
        self.waitlist = waitlist
        super().__init__()


class HoldExpired(BookingError):
    """The hold on this time is over."""

    code = "hold_expired"


class TooLate(BookingError):
    """It is too late for that."""

    code = "too_late"


class NotPossible(BookingError):
    """That is not possible in this state."""

    code = "not_possible"


class DoesNotFit(NotPossible):
    """That time can't be taken; .why is ``past``, ``all_day`` or ``overlap``."""

    code = "does_not_fit"

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(_NO_FIT[why])


_NO_FIT = {
    "past": "that time is over",
    "all_day": "a whole day is no time of day",
    "overlap": "something else is at that time",
}


class OfferExpired(BookingError):
    """The offer is over."""

    code = "offer_expired"


class KeyReused(BookingError):
    """This Idempotency-Key was used for another request."""

    code = "idempotency_key_reused"

    def __init__(self, booking_id: str = "") -> None:
        self.booking_id = booking_id
        super().__init__()
