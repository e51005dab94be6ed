from __future__ import annotations

from connectors.errors import Permanent, Refused, Temporary, Unreachable
from connectors.mail.outgoing import OutcomeUnknown, Receipt, RecipientRefused


def test_an_unknown_outcome_is_tried_again_and_a_refused_recipient_is_not() -> None:
    assert issubclass(OutcomeUnknown, Unreachable)
    assert issubclass(OutcomeUnknown, Temporary)
    assert issubclass(RecipientRefused, Refused)
    assert issubclass(RecipientRefused, Permanent)
    assert (OutcomeUnknown.code, RecipientRefused.code) == ("outcome_unknown", "recipient_refused")


def test_a_receipt_is_for_something_new_unless_told_otherwise() -> None:
    assert not Receipt("250 OK").repeated
