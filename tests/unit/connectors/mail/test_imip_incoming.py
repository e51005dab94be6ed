from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from time import monotonic

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.ical import itip
from connectors.mail.imip import compose
from connectors.mail.imip_incoming import MAX_MESSAGE, Incoming, Kind, Verdict, parse_incoming
from connectors.model import PartStat
from tests.support.eml import FOLDER, MAIL_FROM, SENT, TAG, UID, load
from tests.unit.connectors.mail.test_imip import MAIL

ORGANIZER = f"bookings+{TAG}@svc.example"


def read(name: str, **options: object) -> Incoming:
    return parse_incoming(load(name), MAIL_FROM, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "partstat", "email", "tag_from"),
    [
        ("gmail_accepted", PartStat.ACCEPTED, "clara.client@gmail.example", "delivered-to"),
        ("exchange_declined", PartStat.DECLINED, "clara.client@firma.example", "to"),
        ("apple_tentative_attachment", PartStat.TENTATIVE, "clara@me.example", "to"),
        ("thunderbird_accepted", PartStat.ACCEPTED, "clara@posteo.example", "to"),
    ],
)
def test_replies_as_clients_write_them(name: str, partstat: PartStat, email: str, tag_from: str) -> None:
    found = read(name)
    assert found.kind is Kind.REPLY
    assert isinstance(found.itip, itip.Reply)
    assert (found.itip.uid, found.itip.sequence) == (UID, 1)
    assert (found.itip.attendee.email, found.itip.attendee.partstat) == (email, partstat)
    assert (found.tag, found.tag_from, found.sender) == (TAG, tag_from, email)
    assert found.itip.dtstamp is not None
    assert found.received is not None
    assert abs(found.received - found.itip.dtstamp) < timedelta(seconds=5)
    assert found.digest == sha256(load(name)).hexdigest()


def test_a_reason_given_in_outlook_arrives_as_text() -> None:
    found = read("exchange_declined")
    assert isinstance(found.itip, itip.Reply)
    assert found.itip.comment == "Leider krank.\nViele Grüße"
    assert found.itip.organizer == ""  # Exchange omits it
    assert found.replies_to == (SENT, SENT)


def test_a_proposal() -> None:
    found = read("outlook_counter")
    assert found.kind is Kind.COUNTER
    assert isinstance(found.itip, itip.Counter)
    assert found.itip.proposed is not None
    assert found.itip.proposed.start == datetime(2027, 1, 11, 13, 0, tzinfo=UTC)


def test_a_question_for_the_newest_version() -> None:
    assert read("refresh").kind is Kind.REFRESH


def test_what_only_the_organizer_may_say_is_a_forgery() -> None:
    found = read("forged_cancel", authserv_id="mx.svc.example")
    assert found.kind is Kind.FORGED
    assert found.verdict is Verdict.FAIL
    ours_come_back = parse_incoming(compose(MAIL), MAIL_FROM)
    assert ours_come_back.kind is Kind.FORGED  # its ORGANIZER is ours


def test_a_strangers_invitation_is_not_ours_to_judge() -> None:
    raw = compose(MAIL).replace(b"bookings+", b"somebody+")
    found = parse_incoming(raw.replace(b"svc.example", b"far.example"), "other@far.example")
    assert found.kind is Kind.OTHER


def test_an_auto_reply_never_counts_even_with_a_calendar_in_it() -> None:
    found = read("vacation")
    assert (found.kind, found.itip) == (Kind.AUTO_REPLY, None)
    assert found.tag == TAG


@pytest.mark.parametrize(
    "marked", ["Auto-Submitted: auto-generated", "X-Autoreply: yes", "Precedence: auto_reply", "Return-Path: <>"]
)
def test_automatic_mail_without_a_calendar_is_an_auto_reply(marked: str) -> None:
    raw = f"{marked}\r\nFrom: a@b.example\r\nTo: {ORGANIZER}\r\n\r\nI am away\r\n".encode()
    assert parse_incoming(raw, MAIL_FROM).kind is Kind.AUTO_REPLY
    person = raw.replace(marked.encode(), b"Auto-Submitted: no")
    assert parse_incoming(person, MAIL_FROM).kind is Kind.OTHER


@pytest.mark.parametrize(
    ("name", "permanent", "tag"),
    [("bounce_permanent", True, TAG), ("bounce_delayed", False, TAG), ("bounce_notice", True, None)],
)
def test_bounces_name_the_message_that_did_not_arrive(name: str, permanent: bool, tag: str | None) -> None:
    found = read(name)
    assert found.kind is Kind.BOUNCE
    assert found.bounce is not None
    assert (found.bounce.message_id, found.bounce.permanent, found.tag) == (SENT, permanent, tag)
    assert found.itip is None  # the returned message holds a calendar reply


def test_reports_of_success_and_reading_say_nothing() -> None:
    assert read("report_of_success").kind is Kind.AUTO_REPLY
    raw = load("bounce_permanent").replace(b"report-type=delivery-status", b"report-type=disposition-notification")
    assert parse_incoming(raw, MAIL_FROM).kind is Kind.AUTO_REPLY


def test_an_attached_message_is_a_quotation() -> None:
    found = read("person_forwards_invitation")
    assert (found.kind, found.itip, found.tag) == (Kind.OTHER, None, TAG)


def written(body: str, *, media: str = "text/plain", head: str = "In-Reply-To: <1@svc.example>\r\n") -> str:
    """What a person's mail with that body says."""
    top = f"From: a@b.example\r\nTo: {ORGANIZER}\r\n{head}Content-Type: {media}; charset=utf-8\r\n\r\n"
    return parse_incoming((top + body).encode(), MAIL_FROM).words


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("I am late.\n\nSorry: Kata\n", "I am late.\n\nSorry: Kata"),
        ("Yes\n\nOn Monday, Anna wrote:\n> Your booking\n> is confirmed\n", "Yes"),
        ("Ja\n\nAm 4. Januar schrieb Anna:\n\n> Ihre Buchung\n", "Ja"),
        ("Ok\n-----Original Message-----\nFrom: Anna\n", "Ok"),
        ("Ok\n________________________________\nFrom: Anna\n", "Ok"),
        ("> all is quoted\n", ""),
        ("", ""),
        ("x" * 5000, "x" * 2000),
    ],
)
def test_what_a_person_answers_goes_down_to_what_they_quote(body: str, words: str) -> None:
    assert written(body) == words


def test_of_markup_the_text_is_kept() -> None:
    body = "<head><title>x</title></head><style>p{}</style><p>1 &lt; 2<br>Kata</p><blockquote>Your booking</blockquote>"
    assert written(body, media="text/html") == "1 < 2\nKata"
    assert written("<p>a<!-- b --> <script>c", media="text/html") == "a"


@pytest.mark.parametrize(
    "head", ["", "In-Reply-To: <1@svc.example>\r\nAuto-Submitted: auto-replied\r\n", "References: unknown\r\n"]
)
def test_what_answers_no_mail_and_what_no_person_wrote_are_no_words(head: str) -> None:
    assert written("I am away", head=head) == ""


@pytest.mark.parametrize("piece", ["<", "<!--", "<script>", "\n>", ":\n", "a: ", "-- ", "&"])
def test_no_pattern_makes_words_slow(piece: str) -> None:
    begun = monotonic()
    for media in ("text/plain", "text/html"):
        written(piece * 60_000, media=media)
    assert monotonic() - begun < 3


@pytest.mark.parametrize(
    ("recipients", "headers", "expected"),
    [
        ((ORGANIZER,), "To: x@y.example", (TAG, "envelope")),
        ((ORGANIZER.upper(),), "", (TAG, "envelope")),
        (("x@y.example",), f"To: {ORGANIZER}", (TAG, "to")),
        ((), f"X-Original-To: {ORGANIZER}\r\nTo: bookings+other@svc.example", (TAG, "x-original-to")),
        ((), f"Cc: Praxis <{ORGANIZER}>, z@z.example", (TAG, "cc")),
        ((), f"To: =?utf-8?q?M=C3=BCller?= <{ORGANIZER}>", (TAG, "to")),
        ((), f"To: {MAIL_FROM}", (None, "")),
        ((), f"Subject: {ORGANIZER}", (None, "")),
        ((), f'To: "{ORGANIZER}" <z@z.example>', (None, "")),
    ],
)
def test_where_a_tag_is_looked_for(recipients: tuple[str, ...], headers: str, expected: tuple[str | None, str]) -> None:
    raw = f"From: a@b.example\r\n{headers}\r\n\r\nhello\r\n".encode()
    found = parse_incoming(raw, MAIL_FROM, recipients=recipients)
    assert (found.tag, found.tag_from) == expected


def test_a_tag_that_only_the_calendar_kept_is_found() -> None:
    raw = load("thunderbird_accepted").replace(
        b"To: Praxis Meier <" + ORGANIZER.encode() + b">", b"To: " + MAIL_FROM.encode()
    )
    found = parse_incoming(raw, MAIL_FROM)
    assert (found.kind, found.tag, found.tag_from) == (Kind.REPLY, TAG, "organizer")


AR = "Authentication-Results: "


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (AR + "mx.svc.example; dmarc=pass header.from=b.example", Verdict.PASS),
        (AR + "MX.svc.example 1; spf=pass; dmarc=fail (p=none) header.from=b.example", Verdict.FAIL),
        (AR + "mx.svc.example; dkim=pass header.d=b.example", Verdict.PASS),
        (AR + "mx.svc.example; dkim=pass header.i=@example", Verdict.PASS),
        (AR + "mx.svc.example; dkim=pass header.d=evil.example", Verdict.UNKNOWN),
        (AR + "mx.svc.example; dkim=pass header.d=b.example; dmarc=fail", Verdict.FAIL),
        (AR + "mx.svc.example; dkim=fail header.d=b.example", Verdict.UNKNOWN),
        (AR + "mx.svc.example; x=y (dmarc=pass)", Verdict.UNKNOWN),
        (AR + "mx.evil.example; dmarc=pass", Verdict.UNKNOWN),
        (AR + "mx.svc.example; none\r\n" + AR + "mx.svc.example; dmarc=pass", Verdict.UNKNOWN),
        (AR + "mx.evil.example; dmarc=pass\r\n" + AR + "mx.svc.example; dmarc=fail", Verdict.FAIL),
        (AR, Verdict.UNKNOWN),
        ("", Verdict.UNKNOWN),
    ],
)
def test_only_our_own_mail_servers_verdict_counts(headers: str, expected: Verdict) -> None:
    raw = f"{headers}\r\nFrom: a@b.example\r\n\r\nx".encode().lstrip()
    assert parse_incoming(raw, MAIL_FROM, authserv_id="mx.svc.example").verdict is expected
    assert parse_incoming(raw, MAIL_FROM).verdict is Verdict.UNKNOWN


def test_the_calendar_part_may_be_in_another_charset() -> None:
    raw = load("thunderbird_accepted").decode()
    latin = raw.replace("method=REPLY; charset=UTF-8", "method=REPLY; charset=iso-8859-1").encode("latin-1")
    found = parse_incoming(latin, MAIL_FROM)
    assert isinstance(found.itip, itip.Reply)
    assert found.itip.attendee.name == "Clära Client"
    unknown = raw.replace("method=REPLY; charset=UTF-8", "method=REPLY; charset=x-none").encode()
    assert parse_incoming(unknown, MAIL_FROM).kind is Kind.REPLY


def test_a_broken_calendar_part_is_unreadable_unless_another_one_is_whole() -> None:
    raw = load("gmail_accepted")
    assert parse_incoming(raw.replace(b"METHOD:REPLY", b"METHOD:\x00"), MAIL_FROM).kind is Kind.REPLY  # the attachment
    only = load("refresh").replace(b"METHOD:REFRESH", b"METHOD:NONSENSE")
    found = parse_incoming(only, MAIL_FROM)
    assert (found.kind, found.reason) == (Kind.UNREADABLE, "no METHOD that is known")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00" * 1000,
        b"\xff\xfe\r\n\r\n",
        b"Content-Type: text/calendar\r\n\r\n" + b"x" * 300_000,
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
        b"Content-Type: text/calendar; charset=\xff\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!",
        b"From: " + b"a@b, " * 200_000 + b"\r\n\r\n",
        b"To: " + b"(" * 500_000 + b"\r\n\r\n",
        b"References: " + b"<a@b>" * 200_000 + b"\r\n\r\n",
        b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(3000)),
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\nContent-Type: text/calendar\r\n\r\nx\r\n" * 5000,
        b"A: b\r\n" * 200_000,
        b"x" * (MAX_MESSAGE + 1),
    ],
    ids=["empty", "zeroes", "bytes", "long", "boundless", "encoding", "from", "comments", "references", "deep", "wide",
         "headers", "large"],
)  # fmt: skip
def test_garbage_is_a_value_and_comes_soon(raw: bytes) -> None:
    started = monotonic()
    found = parse_incoming(raw, MAIL_FROM, authserv_id="mx.svc.example")
    assert found.kind in (Kind.UNREADABLE, Kind.OTHER)
    assert found.itip is None
    assert monotonic() - started < 20


NAMES = sorted(path.stem for path in FOLDER.glob("*.eml"))


@settings(deadline=None)  # the machine may be busy
@given(st.sampled_from(NAMES), st.integers(0, 4000), st.binary(max_size=20), st.integers(0, 40))
def test_no_damage_makes_it_raise(name: str, at: int, noise: bytes, cut: int) -> None:
    raw = load(name)
    damaged = raw[:at] + noise + raw[at + cut :]
    found = parse_incoming(damaged, MAIL_FROM, authserv_id="mx.svc.example")
    assert found.digest == sha256(damaged).hexdigest()
    assert found.kind in Kind
