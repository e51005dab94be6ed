"""Mail becomes facts: once, together with its cursor, and whatever strangers write into it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from connectors.ical import itip
from connectors.ical.itip import Reply
from connectors.mail.imip_incoming import Incoming, Kind, parse_incoming
from connectors.model import Attendee, PartStat
from ledger import outbox
from ledger.db import Database, Tx
from ledger.messages import (
    ClientCounter,
    ClientDeclined,
    ClientRefresh,
    ClientReply,
    ClientWrote,
    MailBounced,
    MailFact,
    from_body,
    to_body,
)
from ledger.outbox import Scope
from ledger.tables import InboundMail
from sync import replies
from tests.support.eml import MAIL_FROM, SENT, TAG, UID, load

NOW = datetime(2027, 5, 1, 12, 0, tzinfo=UTC)


def fact(name: str) -> MailFact | None:
    return replies.fact_of(parse_incoming(load(name), MAIL_FROM), now=NOW)


@pytest.mark.parametrize(
    ("name", "kind", "partstat"),
    [
        ("gmail_accepted", ClientReply, "ACCEPTED"),
        ("thunderbird_accepted", ClientReply, "ACCEPTED"),
        ("apple_tentative_attachment", ClientReply, "TENTATIVE"),
        ("exchange_declined", ClientDeclined, "DECLINED"),
    ],
)
def test_an_answer(name: str, kind: type[ClientReply], partstat: str) -> None:
    found = fact(name)
    assert type(found) is kind
    assert (found.tag, found.uid, found.method, found.partstat) == (TAG, UID, "REPLY", partstat)
    assert found.said_at <= NOW


def test_another_time_a_refresh_and_a_forgery() -> None:
    counter, refresh, forged = fact("outlook_counter"), fact("refresh"), fact("forged_cancel")
    assert isinstance(counter, ClientCounter)
    assert (counter.tag, counter.uid) == (TAG, UID)
    assert counter.start < counter.end
    assert isinstance(refresh, ClientRefresh)
    assert type(forged) is ClientReply
    assert forged.method == "CANCEL"


def test_what_came_back() -> None:
    gone, later = fact("bounce_permanent"), fact("bounce_delayed")
    assert isinstance(gone, MailBounced)
    assert isinstance(later, MailBounced)
    assert (gone.message_id, gone.permanent) == (SENT, True)
    assert not later.permanent


@pytest.mark.parametrize("name", ["vacation", "report_of_success", "person_forwards_invitation"])
def test_what_says_nothing_about_an_invitation(name: str) -> None:
    found = fact(name)
    assert not isinstance(found, ClientDeclined | ClientCounter | ClientRefresh | MailBounced)
    assert found is None or found.method == "REQUEST"  # type: ignore[attr-defined]


def test_a_persons_words_count_where_they_are_meant_for_a_booking() -> None:
    said = Incoming(Kind.OTHER, "d" * 64, tag=TAG, words="I am late.\x00\nSorry")
    found = replies.fact_of(said, now=NOW)
    assert found == ClientWrote("d" * 64, TAG, "I am late.\nSorry", "unknown")
    assert from_body("ClientWrote", to_body(found)) == found
    assert replies.fact_of(replace(said, tag=None), now=NOW) is None
    assert replies.fact_of(replace(said, words=""), now=NOW) is None


def test_a_counter_without_a_time_is_still_heard() -> None:
    said = itip.Counter(UID, 0, None, Attendee("kata@example.org"), None)
    found = replies.fact_of(Incoming(Kind.COUNTER, "d" * 64, tag=TAG, itip=said), now=NOW)
    assert isinstance(found, ClientReply)
    assert (found.method, found.said_at) == ("COUNTER", NOW)


def test_a_clock_that_is_ahead_is_not_believed() -> None:
    said = Reply(UID, 0, NOW + timedelta(days=9), Attendee("kata@example.org", partstat=PartStat.ACCEPTED))
    found = replies.fact_of(Incoming(Kind.REPLY, "d" * 64, tag=TAG, itip=said), now=NOW)
    assert isinstance(found, ClientReply)
    assert found.said_at == NOW


@given(text=st.text(max_size=3000), number=st.integers(0, 10**9))
def test_whatever_strangers_write_fits_into_a_row(text: str, number: int) -> None:
    text += "\x00\ud800"
    said = Reply(text, number, NOW, Attendee(text, partstat=PartStat.DECLINED), comment=text)
    found = replies.fact_of(Incoming(Kind.REPLY, "d" * 64, tag=text, itip=said), now=NOW)
    assert isinstance(found, ClientDeclined)
    for value in (found.key, found.line, found.uid, found.tag, found.comment, found.attendee):
        value.encode()
        assert "\x00" not in value
        assert len(value) <= 1000
    assert from_body("ClientDeclined", to_body(found)) == found


# --- in the ledger ----------------------------------------------------------------------------------------------


def take(database: Database, incoming: Incoming, cursor: str = "") -> MailFact | None:
    with database.transaction() as tx:
        return replies.record(
            tx, incoming, mailbox="box", cursor=cursor, scope_of=lambda _tx, _fact: Scope(operator_id=7), now=NOW
        )


def test_the_same_bytes_are_one_fact_and_the_cursor_goes_on(database: Database) -> None:
    mail = parse_incoming(load("exchange_declined"), MAIL_FROM)
    assert isinstance(take(database, mail, "1:1"), ClientDeclined)
    assert take(database, mail, "1:2") is None
    assert take(database, mail) is None
    with database.reading() as tx:
        assert replies.cursor_of(tx, "box") == "1:2"
        assert replies.cursor_of(tx, "another") == ""
        rows = outbox.listing(tx)
        stored = tx.execute(sa.select(InboundMail.kind, InboundMail.digest)).one()
    assert [(r["kind"], r["automation"], r["operator_id"]) for r in rows] == [("ClientDeclined", "cancel", 7)]
    assert tuple(stored) == ("reply", mail.digest)


def test_nothing_of_a_mail_is_kept_but_what_it_was(database: Database) -> None:
    take(database, parse_incoming(load("vacation"), MAIL_FROM))
    with database.reading() as tx:
        row = tx.execute(sa.select(InboundMail.__table__)).one()
        assert outbox.listing(tx) == []
    assert row.kind == "auto_reply"
    assert "@" not in " ".join(str(value) for value in row)


def test_a_crash_before_the_commit_takes_nothing(database: Database) -> None:
    mail = parse_incoming(load("exchange_declined"), MAIL_FROM)

    def pulled_out(_tx: Tx, _fact: MailFact) -> Scope:
        raise RuntimeError("the plug is pulled")

    with pytest.raises(RuntimeError), database.transaction() as tx:
        replies.record(tx, mail, mailbox="box", cursor="1:1", scope_of=pulled_out, now=NOW)
    with database.reading() as tx:
        assert replies.cursor_of(tx, "box") == ""
    assert take(database, mail, "1:1") is not None


def test_old_mail_is_forgotten(database: Database) -> None:
    take(database, parse_incoming(load("vacation"), MAIL_FROM))
    with database.transaction() as tx:
        assert replies.forget_mail(tx, NOW + timedelta(days=89)) == 0
        assert replies.forget_mail(tx, NOW + timedelta(days=91)) == 1


def test_a_mailbox_is_known_by_its_address_and_not_by_its_password() -> None:
    keys = {replies.mailbox_key(f"imaps://me:{password}@host/INBOX?poll=5") for password in ("one", "two")}
    assert len(keys) == 1
    assert keys != {replies.mailbox_key("imaps://me:one@host/Other")}
