from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.emulators.mailclient import Client, answer, ask_again, bounce, propose
from connectors.ical import itip
from connectors.ical.itip import Standing, standing
from connectors.mail.imip import compose
from connectors.mail.imip_incoming import Kind, parse_incoming
from connectors.model import PartStat, Period
from tests.support.eml import MAIL_FROM, TAG
from tests.unit.connectors.ical.test_itip import AT
from tests.unit.connectors.mail.test_imip import INVITED, MAIL

INVITATION = compose(MAIL)
LATER = AT + timedelta(hours=1)


@pytest.mark.parametrize("client", Client)
@pytest.mark.parametrize("partstat", [PartStat.ACCEPTED, PartStat.DECLINED, PartStat.TENTATIVE])
def test_every_client_answers_so_that_we_understand(client: Client, partstat: PartStat) -> None:
    found = parse_incoming(
        answer(INVITATION, partstat, at=LATER, client=client, comment="Danke; schön,\nbis dann"), MAIL_FROM
    )
    assert (found.kind, found.tag) == (Kind.REPLY, TAG)
    assert isinstance(found.itip, itip.Reply)
    assert (found.itip.uid, found.itip.dtstamp) == (INVITED.uid, LATER)
    assert (found.itip.attendee.email, found.itip.attendee.partstat) == (INVITED.attendee.email, partstat)
    assert found.itip.comment == "Danke; schön,\nbis dann"
    assert found.replies_to == (MAIL.message_id,)
    assert standing(found.itip, sequence=0, last=AT) is Standing.FRESH
    assert standing(found.itip, sequence=1, last=None) is Standing.OLD_TIME


@pytest.mark.parametrize("client", Client)
def test_a_proposal_carries_the_wished_time(client: Client) -> None:
    wish = Period(INVITED.period.start + timedelta(days=1), INVITED.period.end + timedelta(days=1))
    found = parse_incoming(propose(INVITATION, wish, at=LATER, client=client), MAIL_FROM)
    assert found.kind is Kind.COUNTER
    assert isinstance(found.itip, itip.Counter)
    assert found.itip.proposed == wish


def test_a_question_for_the_newest_version() -> None:
    assert parse_incoming(ask_again(INVITATION, at=LATER), MAIL_FROM).kind is Kind.REFRESH


def test_an_alias_answers_under_its_own_name() -> None:
    found = parse_incoming(answer(INVITATION, PartStat.ACCEPTED, at=LATER, attendee="real@far.example"), MAIL_FROM)
    assert isinstance(found.itip, itip.Reply)
    assert (found.sender, found.itip.attendee.email, found.tag) == ("real@far.example", "real@far.example", TAG)


@pytest.mark.parametrize(("status", "permanent"), [("5.1.1", True), ("4.2.2", False)])
def test_a_report_names_our_message(status: str, permanent: bool) -> None:
    found = parse_incoming(bounce(INVITATION, at=LATER, status=status), MAIL_FROM)
    assert (found.kind, found.tag) == (Kind.BOUNCE, TAG)
    assert found.bounce is not None
    assert (found.bounce.message_id, found.bounce.recipient) == (MAIL.message_id, MAIL.recipient)
    assert (found.bounce.status, found.bounce.permanent) == (status, permanent)


def test_only_an_invitation_can_be_answered() -> None:
    cancelled = compose(replace(MAIL, calendar=itip.cancel(INVITED), method="CANCEL"))
    for raw in (cancelled, compose(replace(MAIL, calendar=None, method=None))):
        with pytest.raises(ValueError, match="no invitation"):
            answer(raw, PartStat.ACCEPTED, at=LATER)
