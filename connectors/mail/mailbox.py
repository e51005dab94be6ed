"""The one place that looks at INBOUND_MAIL_URL's mode."""

from __future__ import annotations

from connectors.mail.imap import ImapInbound
from connectors.mail.incoming import Inbound, IncomingMail
from connectors.mail.lmtp import LmtpInbound
from connectors.mail.url import MailURL

__all__ = ["Inbound", "IncomingMail", "open_inbound"]


def open_inbound(url: str) -> Inbound:
    """The mailbox that INBOUND_MAIL_URL names. Nothing is connected yet.

    ``imaps://user:pw@host/INBOX``, ``imap://…?tls=starttls|none`` (STARTTLS unless loopback), ``poll=SECONDS`` for
    servers without IDLE; ``lmtp://127.0.0.1:8024`` listens. ``authserv=NAME`` is the name our mail server writes into
    Authentication-Results. Raises ValueError, without the password in it.
    """
    if url.startswith("lmtp:"):
        return LmtpInbound(MailURL.parse(url, schemes={"lmtp": 8024}, options=("authserv",)))
    options = ("tls", "cafile", "authserv", "poll")
    return ImapInbound(MailURL.parse(url, schemes={"imap": 143, "imaps": 993, "lmtp": 8024}, options=options))
