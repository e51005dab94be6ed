"""What a mail server's answer means: later, never for this address, or never like this. Pure (RFC 5321 §4.2, RFC 3463).

====================  ==========================================================  ================
answer                which                                                       class
====================  ==========================================================  ================
4xx                   all                                                         `Temporary`
530, 534, 535, 538    it wants a login, or a better one                           `NeedsReconnect`
5xx to the address    5.1.x but the sender's (5.1.7, 5.1.8), 5.2.x but 5.2.3,     `RecipientRefused`
                      5.4.x, 5.7.13, 5.7.17; without such a code 550 to 553, 556
5xx to the message    the same codes (some servers look the address up late)      `RecipientRefused`
other 5xx             the sender, the message, its size, a policy: 552, 554, …     `Refused`
====================  ==========================================================  ================

A refused address is the client's trouble and settles the mail; what else is refused would be refused for every client,
so it is kept for somebody who mends it.
"""

from __future__ import annotations

import re
from enum import StrEnum

from connectors.errors import ConnectorError, NeedsReconnect, Refused, Temporary
from connectors.mail.outgoing import RecipientRefused

_ENHANCED = re.compile(r"\b5\.(\d{1,3})\.(\d{1,3})\b")
_LOGIN = (530, 534, 535, 538)
_OF_ADDRESSES = (550, 551, 552, 553, 556)
_SENDERS = ("1.7", "1.8")
_ADDRESS_POLICIES = ("7.13", "7.17")


class Stage(StrEnum):
    """What the server answered to."""

    SENDER = "MAIL"
    RECIPIENT = "RCPT"
    MESSAGE = "DATA"


def refusal(stage: Stage, code: int, words: str) -> ConnectorError:
    """The error of our tree for an answer that isn't the one we wanted. words: the answer, its code in front."""
    if not 500 <= code < 600:
        return Temporary(words, status=code)
    if code in _LOGIN:
        return NeedsReconnect(f"login: {words}", status=code)
    if stage is not Stage.SENDER and _about_the_address(stage, code, words):
        return RecipientRefused(words, status=code)
    return Refused(words, status=code)


def _about_the_address(stage: Stage, code: int, words: str) -> bool:
    found = _ENHANCED.search(words)
    if found is None:
        return stage is Stage.RECIPIENT and code in _OF_ADDRESSES
    subject, detail = found.groups()
    said = f"{subject}.{detail}"
    if subject == "1":
        return said not in _SENDERS
    if subject == "2":
        return detail != "3"
    return said in _ADDRESS_POLICIES or (subject == "4" and stage is Stage.RECIPIENT)
