"""Codes are promises: clients of the API decide by them."""

from __future__ import annotations

from datetime import UTC, datetime

from booking import errors
from booking.errors import BookingError, FieldError, Invalid, SlotTaken


def kinds() -> dict[str, type[BookingError]]:
    return {n: k for n, k in vars(errors).items() if isinstance(k, type) and issubclass(k, BookingError)}


def test_the_codes() -> None:
    assert {name: kind.code for name, kind in kinds().items()} == {
        "BookingError": "not_possible", "NotFound": "not_found", "Invalid": "invalid", "SlotTaken": "slot_taken",
        "HoldExpired": "hold_expired", "TooLate": "too_late", "NotPossible": "not_possible", "DoesNotFit": "does_not_fit",
        "OfferExpired": "offer_expired", "KeyReused": "idempotency_key_reused",
    }  # fmt: skip


def test_the_drawn_tree_is_the_real_one() -> None:
    assert all(name in (errors.__doc__ or "") for name in kinds())


def test_an_error_without_words_says_what_it_is() -> None:
    assert str(errors.TooLate()) == "It is too late for that."
    assert str(errors.NotFound("there is no service x")) == "there is no service x"


def test_every_wrong_field_is_in_the_words() -> None:
    error = Invalid([FieldError("seats", "out_of_range", "1 to 3"), FieldError("hold", "other_time", "for another")])
    assert error.detail == "seats: 1 to 3; hold: for another"
    assert [e.field for e in error.errors] == ["seats", "hold"]


def test_a_refused_start_names_others() -> None:
    moment = datetime(2027, 1, 11, tzinfo=UTC)
    assert SlotTaken([moment]).alternatives == (moment,)
    assert SlotTaken().alternatives == ()
