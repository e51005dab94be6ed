"""The mail that asks an operator to connect an account again."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from booking.i18n import LANGUAGES
from booking.notices import reconnect_letter
from ledger.db import Database
from ledger.messages import SendMail
from ledger.tables import Connection, Operator
from tests.support.desk import TERMS, Desk

LINK = "https://book.example/connect/google?ticket=1.abc"
ASKED = SendMail("connection:1", 7, "reconnect", "operator")


@pytest.fixture
def desk(sqlite: Database) -> Desk:
    made = Desk(sqlite).open(talk={})
    with sqlite.transaction() as tx:
        tx.execute(
            sa.insert(Connection).values(
                id=1, operator_id=made.operator_id, provider="google", username="sub-1", account="anna@gmail.example",
                state="reconnect", state_since=made.now, created_at=made.now,
            )
        )  # fmt: skip
    return made


def letter(desk: Desk, asked: SendMail = ASKED, link: str = LINK) -> Any:
    with desk.database.reading() as tx:
        return reconnect_letter(tx, asked, TERMS, link=link, now=desk.now)


def change(desk: Desk, table: Any, **values: Any) -> None:
    with desk.database.transaction() as tx:
        tx.execute(sa.update(table).values(**values))


def test_it_names_the_account_and_holds_the_link(desk: Desk) -> None:
    found = letter(desk)
    assert found.recipient == "anna@practice.example"
    assert "anna@gmail.example" in found.subject
    assert LINK in found.text
    assert LINK in found.html.replace("&amp;", "&")
    assert "Google" in found.text
    assert (found.method, found.invitation) == (None, None)
    assert found.headers["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_speaks_the_operators_language(desk: Desk, language: str) -> None:
    change(desk, Operator, language=language)
    found = letter(desk)
    assert found.headers["Content-Language"] == language
    assert ("Please reconnect" in found.subject) == (language == "en")
    assert f'lang="{language}"' in found.html


def test_the_same_question_is_the_same_mail_and_another_one_is_not(desk: Desk) -> None:
    assert letter(desk) == letter(desk)
    other = SendMail("connection:1", 8, "reconnect", "operator")
    assert letter(desk).message_id != letter(desk, other).message_id


@pytest.mark.parametrize("state", ["ok", "stale", "disabled"])
def test_what_was_mended_meanwhile_is_not_asked_for(desk: Desk, state: str) -> None:
    change(desk, Connection, state=state)
    assert letter(desk) is None


def test_without_an_address_an_account_or_a_link_there_is_no_mail(desk: Desk) -> None:
    assert letter(desk, link="") is None
    assert letter(desk, SendMail("connection:9", 7, "reconnect", "operator")) is None
    change(desk, Operator, email="")
    assert letter(desk) is None
