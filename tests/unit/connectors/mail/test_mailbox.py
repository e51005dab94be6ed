"""Which mailbox a URL opens, and what a message in it is: `connectors.mail.mailbox`, `connectors.mail.incoming`."""

import pytest

from connectors.mail.imap import ImapInbound
from connectors.mail.lmtp import LmtpInbound
from connectors.mail.mailbox import IncomingMail, open_inbound


def test_the_url_chooses_the_way_in() -> None:
    assert isinstance(open_inbound("imaps://u:p@mail.example/INBOX"), ImapInbound)
    assert isinstance(open_inbound("imap://u:p@127.0.0.1:1143"), ImapInbound)
    assert isinstance(open_inbound("lmtp://127.0.0.1:8024"), LmtpInbound)
    assert open_inbound("imaps://u:p@mail.example/INBOX?authserv=mx.svc.example").authserv_id == "mx.svc.example"
    assert open_inbound("lmtp://127.0.0.1?authserv=mx.svc.example").authserv_id == "mx.svc.example"


@pytest.mark.parametrize(
    "url",
    ["", "pop3://x", "imaps://", "imap://u:hunter2@h?poll=0", "imap://u:hunter2@h?poll=x", "imap://u:hunter2@h?x=1",
     "lmtp://u:hunter2@127.0.0.1", "lmtp://127.0.0.1/INBOX", "lmtp://127.0.0.1?tls=none", "smtp://127.0.0.1"],
)  # fmt: skip
def test_a_bad_url_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(?!.*hunter2)"):
        open_inbound(url)


def test_a_digest_is_of_the_bytes_alone() -> None:
    assert IncomingMail("imap:1:1", b"x").digest == IncomingMail("imap:2:9", b"x", cursor="2:9").digest
    assert IncomingMail("imap:1:1", b"x").digest != IncomingMail("imap:1:1", b"y").digest
