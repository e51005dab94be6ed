"""Every kind of mail in every language, made by the real path, held against the rules of the standards and of the house.

RFC 5545 (iCalendar), 5546 (iTIP), 6047 (iMIP), 5322 and 2045 (mail); PROVIDERS D1 to D6; P3, P8, P14.
"""

from __future__ import annotations

import email
import email.policy
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import icalendar
import pytest
import vobject
from lxml import html as lxml_html

from booking.catalogues import gathered
from booking.client_words import WRITERS as TO_CLIENTS
from booking.i18n import LANGUAGES, catalog, direction
from booking.invitation import mail_for
from booking.letters import About
from booking.operator_words import WRITERS as TO_OPERATORS
from connectors.ical import scheduling
from connectors.ical.itip import OrganizerMessage
from connectors.mail import imip
from ledger.messages import SendMail
from tests.support.correspondence import PEOPLE, SPEC, TITLES, Correspondence, Sent
from tests.support.databases import migrated
from workers.mail import to_mail

NOON = datetime.fromisoformat("2026-11-23T12:00:00Z")
UTC_TIMES = ("DTSTAMP", "CREATED", "LAST-MODIFIED", "DTSTART", "DTEND")
NOBODY_SENDS = {
    About.EXPIRED: "whoever lets a request run out is not told of it",
    About.DECLINED: "they declined it themselves",
    About.MOVED: "they moved it themselves",
    About.APPROVED: "they approved it themselves",
    About.CANCELLED_BY_OPERATOR: "they cancelled it themselves",
    About.PROPOSAL: "they proposed it themselves",
    About.REMINDER: "their calendar reminds them",
    About.REVIEW: "nothing went wrong in these days; tests/unit/workers/test_mail.py has it",
}
"""Mails to operators that have words, for who wants them, and are not asked for by any command."""


@pytest.fixture(scope="module", params=LANGUAGES)
def practice(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Correspondence]:
    """A practice in one language after days in which everything happened."""
    folder = tmp_path_factory.mktemp(request.param)
    with migrated("sqlite", folder) as database:
        yield Correspondence(database, folder, NOON, request.param).everything()


@pytest.fixture(scope="module")
def mails(practice: Correspondence) -> list[Sent]:
    return practice.sent()


@pytest.fixture(scope="module")
def invitations(mails: list[Sent]) -> list[Sent]:
    return [mail for mail in mails if mail.method]


def test_every_kind_was_sent_and_nothing_got_stuck(practice: Correspondence, mails: list[Sent]) -> None:
    assert practice.stuck() == []
    assert {mail.about for mail in mails if mail.audience == "client"} == set(TO_CLIENTS)
    written = {mail.about for mail in mails if mail.audience == "operator"}
    assert written | set(NOBODY_SENDS) == set(TO_OPERATORS)


def test_each_goes_to_one_person(mails: list[Sent]) -> None:
    for mail in mails:
        (to,) = mail.message["To"].addresses
        assert to.addr_spec == mail.recipient, mail
        assert mail.message["Cc"] is None, mail
        assert mail.message["Bcc"] is None, mail


def test_each_is_strict_mail(mails: list[Sent]) -> None:
    for mail in mails:
        assert mail.raw.isascii(), mail
        assert re.fullmatch(rb"(?:[^\r\n]*\r\n)+", mail.raw), f"{mail}: bare CR or LF"
        # A URL to unsubscribe at is taken as it stands; whatever else is long is folded.
        lines = [line for line in mail.raw.split(b"\r\n") if not line.startswith(b"List-Unsubscribe: ")]
        assert max(len(line) for line in lines) <= 78, mail
        strict = email.message_from_bytes(mail.raw, policy=email.policy.strict)
        for part in strict.walk():
            assert part.defects == [], (mail, part.get_content_type())
            for name, value in part.items():  # each header is parsed when it is read
                assert getattr(value, "defects", ()) == (), (mail, name)
        for name in ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Content-Language"):
            assert len(strict.get_all(name, [])) == 1, (mail, name)


def test_the_parts_stand_in_the_order_that_calendars_read(mails: list[Sent]) -> None:
    words = ["text/plain", "text/html"]
    for mail in mails:
        types = [part.get_content_type() for part in mail.message.walk()]
        if mail.method:
            whole = ["multipart/mixed", "multipart/alternative", *words, "text/calendar", "application/ics"]
            assert types == whole, mail
            inline, attached = mail.calendars
            assert inline["Content-Disposition"] is None, mail
            assert attached.get_filename() == "invite.ics", mail
            assert inline.get_payload(decode=True) == attached.get_payload(decode=True), mail
        else:
            assert types == ["multipart/alternative", *words], mail


def test_the_method_is_said_twice_alike(invitations: list[Sent]) -> None:
    for mail in invitations:
        (inline, _) = mail.calendars
        assert inline.get_param("method") == mail.field("METHOD"), mail
        assert str(inline.get_content_charset()) == "utf-8", mail
        assert mail.ics.count(b"METHOD:") == 1, mail


def test_lines_end_and_fold_as_the_standard_says(invitations: list[Sent]) -> None:
    for mail in invitations:
        assert re.fullmatch(rb"(?:[^\r\n]+\r\n)+", mail.ics), mail
        for line in mail.ics.split(b"\r\n"):
            assert len(line) <= 75, (mail, line)
            line.decode()  # no character is torn apart


def test_times_are_utc(invitations: list[Sent]) -> None:
    for mail in invitations:
        for name in UTC_TIMES:
            assert re.fullmatch(r"\d{8}T\d{6}Z", mail.field(name)), (mail, name)
        assert b"TZID" not in mail.ics, mail


def test_one_uid_has_one_organizer_and_a_rising_sequence(invitations: list[Sent]) -> None:
    lives: dict[str, list[Sent]] = defaultdict(list)
    for mail in invitations:
        lives[mail.field("UID")].append(mail)
    assert len({mails[0].field("ORGANIZER") for mails in lives.values()}) == len(lives), "each life has its own"
    for life in lives.values():
        assert len({mail.field("ORGANIZER") for mail in life}) == 1
        assert len({mail.recipient for mail in life}) == 1
        steps = [(int(mail.field("SEQUENCE")), mail.field("DTSTAMP")) for mail in life]
        assert steps == sorted(set(steps)), life
        assert life[0].method == "REQUEST", life[0]
        assert [mail.method for mail in life].count("CANCEL") <= 1, life
        assert "CANCEL" not in [mail.method for mail in life[:-1]], "nothing comes after the end"
        times = [(mail.field("DTSTART"), mail.field("STATUS"), mail.field("SEQUENCE")) for mail in life]
        assert len({sequence for _, _, sequence in times}) == len({(start, status) for start, status, _ in times}), life


def test_organizer_attendee_and_answers_belong_together(invitations: list[Sent]) -> None:
    for mail in invitations:
        (answers_to,) = mail.message["Reply-To"].addresses
        assert mail.field("ORGANIZER") == f"mailto:{answers_to.addr_spec}", mail
        assert re.fullmatch(r"bookings\+[0-9a-f]{32}@practice\.example", answers_to.addr_spec), mail
        assert mail.field("ATTENDEE") == f"mailto:{mail.recipient}", mail
        assert mail.ics.count(b"ATTENDEE") == 1, mail
        assert b"SENT-BY" not in mail.ics, mail
        assert mail.message["Auto-Submitted"] is None, mail


def test_operators_get_words_alone_and_answer_the_client(mails: list[Sent]) -> None:
    for mail in (m for m in mails if m.audience == "operator"):
        assert mail.calendars == [], mail
        (answers_to,) = mail.message["Reply-To"].addresses
        assert answers_to.addr_spec.endswith("@client.example"), mail
        assert answers_to.display_name.lower() == answers_to.addr_spec.partition("@")[0], mail


def test_two_parsers_read_the_same_appointment(invitations: list[Sent]) -> None:
    for mail in invitations:
        theirs = icalendar.Calendar.from_ical(mail.ics)
        (event,) = theirs.events
        other = vobject.readOne(mail.ics.decode()).vevent
        ours = scheduling.parse(mail.ics)
        assert isinstance(ours, OrganizerMessage)
        assert ours.period is not None
        assert event.start == other.dtstart.value == ours.period.start, mail
        assert event.end == other.dtend.value == ours.period.end, mail
        assert str(event["UID"]) == other.uid.value == ours.uid, mail
        assert str(event["SUMMARY"]) == other.summary.value, mail
        assert str(event["LOCATION"]) == other.location.value, mail
        assert str(event["DESCRIPTION"]) == other.description.value, mail
        assert (str(event["STATUS"]) == "CANCELLED") == (mail.method == "CANCEL"), mail
        assert int(event["SEQUENCE"]) == int(other.sequence.value) == ours.sequence, mail
        if not mail.booking_id.startswith("entry:"):
            assert ours.sequence == mail.sequence, mail


def test_a_place_in_line_is_tentative_and_is_taken_out_again(mails: list[Sent]) -> None:
    asked, gone = (mail for mail in mails if mail.recipient == "philippa@client.example")
    assert (asked.about, asked.method, gone.about, gone.method) == (
        About.WAITLISTED, "REQUEST", About.LEFT_LINE, "CANCEL",
    )  # fmt: skip
    said = [mail.field(name) for mail in (asked, gone) for name in ("STATUS", "TRANSP", "SEQUENCE")]
    assert said == ["TENTATIVE", "TRANSPARENT", "0", "CANCELLED", "TRANSPARENT", "1"]
    assert asked.field("UID") == gone.field("UID")
    assert asked.field("ORGANIZER") == gone.field("ORGANIZER")


def test_a_place_in_line_becomes_the_booking(mails: list[Sent]) -> None:
    waits, has = (mail for mail in mails if mail.recipient == "ulrike@client.example")
    assert (waits.about, has.about) == (About.WAITLISTED, About.PROMOTED)
    said = [mail.field(name) for mail in (waits, has) for name in ("STATUS", "TRANSP", "SEQUENCE", "METHOD")]
    assert said == ["TENTATIVE", "TRANSPARENT", "0", "REQUEST", "CONFIRMED", "OPAQUE", "1", "REQUEST"]
    assert waits.field("UID") == has.field("UID")
    assert waits.field("ORGANIZER") == has.field("ORGANIZER")


def test_nobody_reads_of_anybody_else(mails: list[Sent], practice: Correspondence) -> None:
    for mail in mails:
        read = mail.everything.lower()
        own = mail.recipient.partition("@")[0]
        if mail.audience == "operator":
            own = mail.message["Reply-To"].addresses[0].addr_spec.partition("@")[0]
        others = [name.lower() for name in PEOPLE if name.lower() != own]
        assert own in read, mail
        assert [name for name in others if name in read] == [], mail


def test_the_identity_of_a_message_follows_from_what_it_is(practice: Correspondence, mails: list[Sent]) -> None:
    assert len({mail.message["Message-ID"] for mail in mails}) == len(mails)
    newest = [mail for mail in mails if mail.audience == "client" and mail.about is About.CANCELLED_BY_ADMIN]
    assert newest
    for mail in newest:
        asked = SendMail(mail.booking_id, mail.sequence, mail.about, mail.audience)
        decided = mail.message["Date"].datetime
        with practice.database.reading() as tx:
            again = mail_for(tx, asked, practice.terms, now=decided)
        assert again is not None
        assert again.message_id == mail.message["Message-ID"]


def shown(mail: Sent) -> str:
    """The text of the HTML, as it is read; one line for each block."""
    tree = lxml_html.document_fromstring(mail.html.encode())
    for unseen in tree.xpath("//style|//title"):
        unseen.drop_tree()
    return re.sub(r"[ \t]+", " ", tree.text_content())


def test_both_twins_say_the_same(mails: list[Sent]) -> None:
    for mail in mails:
        seen = shown(mail)
        for line in filter(None, (line.strip() for line in mail.text.splitlines())):
            if line == "--" or line.startswith("https://"):
                continue
            pieces = [line] if line in seen else line.split(": ", 1)
            for piece in pieces:
                assert piece.startswith("https://") or piece.removesuffix(":") in seen, (mail, line)
        links = {str(href) for href in mail.page.xpath("//a/@href") if not href.startswith("mailto:")}
        assert links == set(re.findall(r"https://\S+", mail.text)), mail


def test_the_facts_are_there(mails: list[Sent], practice: Correspondence) -> None:
    title, place, _ = TITLES[practice.language]
    for mail in mails:
        assert title in mail.text, mail
        if mail.audience == "operator":
            continue
        assert place in mail.text, mail
        assert re.search(rf"https://book\.example/{practice.language}/\S+", mail.text), mail
        # Six hours lie between the client and the practice: both clocks are shown.
        assert len(re.findall(r"\d{1,2}[:.]\d{2}\s?[–-]\s?\d{1,2}[:.]\d{2}", western(mail.text))) >= 2, mail
        if mail.method:
            assert title in mail.field("SUMMARY"), mail
            assert mail.field("LOCATION").replace("\\,", ",") == place, mail
            assert mail.field("URL") in mail.text or mail.method == "CANCEL", mail


def test_how_to_join_is_for_those_who_come(mails: list[Sent]) -> None:
    come = (
        About.BOOKED, About.APPROVED, About.MOVED, About.MOVED_BY_CLIENT, About.PROMOTED, About.REMINDER,
        About.ATTENDANCE, About.PROPOSAL, About.COUNTER_DECLINED,
    )  # fmt: skip
    for mail in (m for m in mails if m.audience == "client"):
        assert (SPEC["link"] in mail.text) == (mail.about in come), mail
        assert (SPEC["link"] in mail.field("DESCRIPTION")) == (bool(mail.method) and mail.about in come), mail


def western(text: str) -> str:
    """Digits as Europeans write them."""
    return text.translate({0x0660 + digit: str(digit) for digit in range(10)})


def test_the_language_is_declared(mails: list[Sent], practice: Correspondence) -> None:
    for mail in mails:
        assert mail.message["Content-Language"] == practice.language, mail
        assert mail.page.get("lang") == practice.language, mail
        assert mail.page.get("dir") == direction(practice.language), mail
        assert mail.page.find("body").get("dir") == direction(practice.language), mail


@pytest.fixture(scope="module")
def english(practice: Correspondence) -> list[re.Pattern[str]]:
    """The English of every text whose translation differs, as a pattern for whole lines."""
    if practice.language == "en":
        return []
    texts: Any = catalog(practice.language)
    found = []
    for message in gathered():
        for text in message.id if isinstance(message.id, tuple) else (message.id,):
            translated = texts.pgettext(message.context, text) if message.context else texts.gettext(text)
            if text and translated != text:
                found.append(re.compile(re.sub(r"%\\?\((\w+)\\?\)[sd]", ".+", re.escape(text))))
    assert len(found) > 200
    return found


def test_no_english_is_left(mails: list[Sent], english: list[re.Pattern[str]]) -> None:
    for mail in mails:
        lines = [str(mail.message["Subject"]), *mail.text.splitlines(), *mail.field("DESCRIPTION").split("\\n")]
        lines += [piece for line in lines for piece in line.split(": ")]
        for line in filter(None, (line.strip().rstrip(":") for line in lines)):
            assert not any(pattern.fullmatch(line) for pattern in english), (mail, line)


def test_a_message_written_again_is_the_same_bytes(practice: Correspondence, mails: list[Sent]) -> None:
    for mail in (m for m in mails if m.about in (About.DECLINED, About.CANCELLED_BY_ADMIN) and m.audience == "client"):
        asked = SendMail(mail.booking_id, mail.sequence, mail.about, mail.audience)
        with practice.database.reading() as tx:
            again = mail_for(tx, asked, practice.terms, now=mail.message["Date"].datetime)
        assert again is not None
        assert imip.compose(to_mail(again)) == mail.raw, mail
