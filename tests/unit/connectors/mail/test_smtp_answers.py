"""What real servers answer, and what it means."""

from __future__ import annotations

import pytest

from connectors.errors import ConnectorError, NeedsReconnect, Refused, Temporary
from connectors.mail.outgoing import RecipientRefused
from connectors.mail.smtp_answers import Stage, refusal

ANSWERS: list[tuple[Stage, str, type[ConnectorError]]] = [
    (Stage.RECIPIENT, "550 5.1.1 <x@y>: Recipient address rejected: User unknown", RecipientRefused),  # Postfix
    (Stage.RECIPIENT, "550-5.1.1 The email account that you tried to reach does not exist", RecipientRefused),  # Gmail
    (Stage.RECIPIENT, "550 5.4.1 Recipient address rejected: Access denied", RecipientRefused),  # Microsoft 365
    (Stage.RECIPIENT, "552 5.2.2 The email account that you tried to reach is over quota", RecipientRefused),
    (Stage.RECIPIENT, "550 5.2.1 The email account that you tried to reach is disabled", RecipientRefused),
    (Stage.RECIPIENT, "525 5.7.13 user account disabled", RecipientRefused),
    (Stage.RECIPIENT, "550 No such user here", RecipientRefused),
    (Stage.RECIPIENT, "551 User not local", RecipientRefused),
    (Stage.RECIPIENT, "553 mailbox name not allowed", RecipientRefused),
    (Stage.RECIPIENT, "554 5.7.1 <x@y>: Relay access denied", Refused),
    (Stage.RECIPIENT, "554 refused by policy", Refused),
    (Stage.RECIPIENT, "550 5.7.1 Service unavailable, client host blocked using a list", Refused),
    (Stage.RECIPIENT, "550 5.1.8 <us@z>: Sender address rejected: Domain not found", Refused),
    (Stage.RECIPIENT, "503 5.5.1 need MAIL before RCPT", Refused),
    (Stage.RECIPIENT, "450 4.2.0 Greylisted", Temporary),
    (Stage.RECIPIENT, "421 4.3.2 shutting down", Temporary),
    (Stage.SENDER, "550 5.1.1 that is no sender", Refused),
    (Stage.SENDER, "552 5.3.4 Message size exceeds fixed limit", Refused),
    (Stage.SENDER, "530 5.7.0 Authentication required", NeedsReconnect),
    (Stage.SENDER, "451 4.3.0 later", Temporary),
    (Stage.MESSAGE, "550 5.1.1 no such user, found out late", RecipientRefused),
    (Stage.MESSAGE, "550-5.7.26 unauthenticated mail is not accepted", Refused),
    (Stage.MESSAGE, "554 5.6.0 malformed message", Refused),
    (Stage.MESSAGE, "552 5.2.3 message exceeds the mailbox's limit", Refused),
    (Stage.MESSAGE, "550 spam", Refused),
    (Stage.MESSAGE, "452 4.3.1 disk full", Temporary),
    (Stage.MESSAGE, "200 what", Temporary),
]


@pytest.mark.parametrize(("stage", "words", "kind"), ANSWERS, ids=[f"{s} {w[:30]}" for s, w, _ in ANSWERS])
def test_an_answer_has_its_class(stage: Stage, words: str, kind: type[ConnectorError]) -> None:
    error = refusal(stage, int(words[:3]), words)
    assert type(error) is kind
    assert error.status == int(words[:3])
    assert words in str(error)
