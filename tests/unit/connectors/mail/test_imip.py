from __future__ import annotations

import email
import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email import policy
from email.message import EmailMessage
from pathlib import Path

import icalendar
import pytest
import vobject

from connectors.ical import itip
from connectors.mail.folder import MailFolder
from connectors.mail.imip import Mail, compose, message_id, open_outgoing, organizer_address, tag_of
from connectors.mail.smtp import SmtpOutgoing
from connectors.model import Attendee
from tests.support.eml import MAIL_FROM, TAG
from tests.unit.connectors.ical.test_itip import AT, INVITATION

ORGANIZER = organizer_address(MAIL_FROM, TAG)
INVITED = replace(INVITATION, organizer=itip.Organizer(ORGANIZER, "Praxis Müller"))
MAIL = Mail(
    message_id=message_id(INVITED.uid, "0", INVITED.attendee.email, "request", mail_from=MAIL_FROM),
    sender=MAIL_FROM,
    sender_name="Praxis Müller",
    reply_to=ORGANIZER,
    recipient=INVITED.attendee.email,
    recipient_name="שרה כהן",
    subject="Einladung: Beratung am Sonntag, 10. Jänner 2027, 10:00–10:50 Uhr (Wien)",
    text="Grüß Gott,\n.\nFrom jetzt an gilt der Termin.\n",
    html="<p>Grüß Gott</p>",
    date=AT,
    calendar=itip.request(INVITED),
    method="REQUEST",
    headers={"X-Booking": "42", "References": "<a@svc.example> <b@svc.example>"},
)


def parsed(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert all(part.defects == [] for part in message.walk())
    return message


def structure(message: EmailMessage) -> object:
    if message.is_multipart():
        return message.get_content_type(), [structure(part) for part in message.iter_parts()]
    return message.get_content_type()


def test_the_message_has_the_one_shape_that_all_clients_show() -> None:
    message = parsed(compose(MAIL))
    assert structure(message) == (
        "multipart/mixed",
        [("multipart/alternative", ["text/plain", "text/html", "text/calendar"]), "application/ics"],
    )
    plain, html, calendar, attached = (part for part in message.walk() if not part.is_multipart())
    assert calendar["Content-Disposition"] is None
    assert (attached.get_content_disposition(), attached.get_filename()) == ("attachment", "invite.ics")
    assert calendar.get_payload(decode=True) == attached.get_payload(decode=True) == MAIL.calendar
    assert plain.get_content().replace("\r\n", "\n") == MAIL.text
    assert html.get_content().strip() == MAIL.html


@pytest.mark.parametrize("write", [itip.request, itip.cancel, itip.decline_counter])
def test_method_is_the_same_in_mail_and_calendar(write) -> None:
    ics = write(INVITED)
    method = str(icalendar.Calendar.from_ical(ics)["METHOD"])
    message = parsed(compose(replace(MAIL, calendar=ics, method=method)))
    (part,) = (part for part in message.walk() if part.get_content_type() == "text/calendar")
    assert part["Content-Type"].params["method"] == method
    assert part.get_content_charset() == "utf-8"
    body = part.get_payload(decode=True)
    assert isinstance(body, bytes)
    assert vobject.readOne(body.decode()).method.value == method


def test_there_is_one_recipient_and_one_organizer() -> None:
    message = parsed(compose(MAIL))
    (recipient,) = message["To"].addresses
    assert recipient.addr_spec == INVITED.attendee.email
    assert recipient.display_name == "שרה כהן"
    assert message["Cc"] is message["Bcc"] is None
    assert message["Reply-To"].addresses[0].addr_spec == ORGANIZER
    assert message["From"].addresses[0].addr_spec == MAIL_FROM
    assert message["Content-Class"] == "urn:content-classes:calendarmessage"
    assert message["Auto-Submitted"] is None  # it could keep Outlook from processing the invitation
    assert message["Date"].datetime == AT
    assert message["Subject"] == MAIL.subject


def test_the_bytes_are_plain_and_always_the_same() -> None:
    raw = compose(MAIL)
    assert raw == compose(replace(MAIL, headers=dict(MAIL.headers)))
    assert raw.isascii()
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", raw)
    assert all(len(line) <= 78 for line in raw.split(b"\r\n"))
    assert raw != compose(replace(MAIL, message_id="<other@svc.example>"))


def test_a_date_is_told_in_utc_whatever_zone_it_came_in() -> None:
    here = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert compose(replace(MAIL, date=here)) == compose(MAIL)


def test_mail_without_a_calendar_is_text_alone() -> None:
    plain = replace(MAIL, calendar=None, method=None)
    assert structure(parsed(compose(plain))) == ("multipart/alternative", ["text/plain", "text/html"])
    message = parsed(compose(replace(plain, html="", reply_to="")))
    assert structure(message) == "text/plain"
    assert message["Content-Class"] is message["Reply-To"] is None


EVIL = "x\r\nBcc: evil@x.example\r\n\r\nbody\n\x00\u2028Bcc: evil@x.example"


@pytest.mark.parametrize("field", ["subject", "sender_name", "recipient_name", "text", "html"])
def test_no_text_can_add_a_header(field: str) -> None:
    message = parsed(compose(replace(MAIL, **{field: EVIL})))
    assert message["Bcc"] is None
    assert sorted(message.keys()) == sorted(parsed(compose(MAIL)).keys())
    assert structure(message) == structure(parsed(compose(MAIL)))
    assert len(message["To"].addresses) == len(message["From"].addresses) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"sender": EVIL},
        {"recipient": "a@b.example, c@d.example"},
        {"reply_to": "a@b.example\r\nBcc: c@d.example"},
        {"message_id": "<a@b>\r\nBcc: c@d.example"},
        {"message_id": "no brackets"},
        {"headers": {"Bcc": "c@d.example"}},
        {"headers": {"bcc": "c@d.example"}},
        {"headers": {"List-Unsubscribe": "<https://a.example>"}},
        {"unsubscribe": "https://a.example/x\r\nBcc: c@d.example"},
        {"unsubscribe": "https://a.example/>, <mailto:c@d.example"},
        {"unsubscribe": "javascript:alert(1)"},
        {"headers": {"X\r\nBcc": "c@d.example"}},
        {"date": datetime(2027, 1, 1)},
        {"method": None},
        {"calendar": None},
        {"method": "CANCEL"},
        {"recipient": "somebody.else@posteo.example"},
        {"calendar": itip.request(replace(INVITED, attendee=Attendee("xclara@posteo.example")))},
    ],
)
def test_what_would_be_misread_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        compose(replace(MAIL, **wrong))


def test_one_click_is_for_https_and_the_url_stands_as_it_is() -> None:
    url = "https://book.example/en/b/" + "a" * 90 + "/reminders"
    raw = compose(replace(MAIL, unsubscribe=url))
    assert f"\r\nList-Unsubscribe: <{url}>\r\n".encode() in raw
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in raw
    plain = parsed(compose(replace(MAIL, unsubscribe="http://127.0.0.1:8000/x")))
    assert (plain["List-Unsubscribe"], plain["List-Unsubscribe-Post"]) == ("<http://127.0.0.1:8000/x>", None)
    assert parsed(compose(MAIL))["List-Unsubscribe"] is None


def test_an_answer_names_whom_it_reaches() -> None:
    (answers_to,) = parsed(compose(replace(MAIL, reply_to_name="Kata Nagy")))["Reply-To"].addresses
    assert (answers_to.display_name, answers_to.addr_spec) == ("Kata Nagy", ORGANIZER)


def test_a_header_of_the_callers_is_cleaned() -> None:
    message = parsed(compose(replace(MAIL, headers={"X-Note": EVIL})))
    assert message["Bcc"] is None
    assert message["X-Note"].startswith("x Bcc: evil@x.example body")


def test_a_long_german_address_of_many_tags_still_fits() -> None:
    mail = replace(MAIL, recipient_name="Ä" * 200, subject="Ö" * 500)
    raw = compose(mail)
    assert all(len(line) <= 78 for line in raw.split(b"\r\n"))
    assert parsed(raw)["Subject"] == "Ö" * 500


def test_a_recipient_in_another_script_keeps_its_local_part() -> None:
    invited = replace(INVITED, attendee=Attendee("用户@例え.example"))
    raw = compose(replace(MAIL, recipient="用户@例え.example", calendar=itip.request(invited)))
    assert "<用户@xn--r8jz45g.example>".encode() in raw


def test_message_ids_follow_from_what_the_message_is() -> None:
    one = message_id("uid", "0", "a@b.example", "request", mail_from=MAIL_FROM)
    assert one == message_id("uid", "0", "a@b.example", "request", mail_from=MAIL_FROM)
    assert re.fullmatch(r"<[0-9a-f]{40}@svc\.example>", one)
    others = {
        message_id("uid", "1", "a@b.example", "request", mail_from=MAIL_FROM),
        message_id("uid", "0", "c@b.example", "request", mail_from=MAIL_FROM),
        message_id("uid", "0", "a@b.example", "cancel", mail_from=MAIL_FROM),
        message_id("uid0", "", "a@b.example", "request", mail_from=MAIL_FROM),
    }
    assert len(others) == 4
    assert one not in others


def test_a_tag_goes_into_the_address_and_comes_out_again() -> None:
    assert organizer_address(MAIL_FROM, TAG) == f"bookings+{TAG}@svc.example"
    assert tag_of(ORGANIZER, MAIL_FROM) == tag_of(f" {ORGANIZER.upper()} ", "Bookings@SVC.example") == TAG
    assert organizer_address("Bookings@Svc.Example", "a1") == "bookings+a1@svc.example"


@pytest.mark.parametrize(
    "address",
    [
        "",
        MAIL_FROM,
        f"bookings+{TAG}@other.example",
        f"booking+{TAG}@svc.example",
        "bookings+@svc.example",
        "bookings+a b@svc.example",
    ],
)
def test_other_addresses_have_no_tag(address: str) -> None:
    assert tag_of(address, MAIL_FROM) is None


@pytest.mark.parametrize("tag", ["", "UPPER", "a+b", "a@b", "a b", "-a", "a" * 56])
def test_a_tag_that_could_be_lost_on_the_way_is_refused(tag: str) -> None:
    with pytest.raises(ValueError):
        organizer_address(MAIL_FROM, tag)
    assert len(organizer_address(MAIL_FROM, "a" * 55).partition("@")[0]) == 64


def test_the_url_chooses_the_way_out(tmp_path: Path) -> None:
    folder = open_outgoing(f"file:{tmp_path}/mail")
    assert isinstance(folder, MailFolder)
    assert folder.directory == tmp_path / "mail"
    assert isinstance(open_outgoing("smtp://127.0.0.1:2525"), SmtpOutgoing)
    assert isinstance(open_outgoing("smtps://u:p@mail.example"), SmtpOutgoing)
    for bad in ("", "http://x", "file:", "smtp://x?poll=3", "imap://x"):
        with pytest.raises(ValueError):
            open_outgoing(bad)
