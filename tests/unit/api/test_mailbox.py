"""The demo's mailbox: every mail to read, its HTML locked up, and no way out of the folder."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.deps import Site
from connectors.mail.folder import MailFolder
from connectors.protocol import Endpoints
from ledger.db import Database
from ledger.settings import Settings
from ledger.vault import Vault
from sync.accounts import Accounts
from tests.support.desk import TERMS
from tests.support.doors import open_doors

ICS = "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:u@x\r\nSEQUENCE:2\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"


def mail(number: int, html: str = "<p>hello</p>") -> bytes:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = (
        "Anna <bookings@x.example>",
        "kata@example.org",
        f"Süßes <b>{number}</b>",
    )
    made["Message-ID"], made["Date"] = f"<{number}@x.example>", "Mon, 11 Jan 2027 06:00:00 +0000"
    made.set_content("plain words\n")
    made.add_alternative(html, subtype="html")
    made.add_alternative(ICS, subtype="calendar", params={"method": "REQUEST"})
    return bytes(made)


@pytest.fixture
def client(sqlite: Database, tmp_path: Path) -> TestClient:
    folder = tmp_path / "mail"
    vault = Vault("for-tests-only-0123456789")
    site = Site(
        Settings(mail_url=f"file:{folder}"), sqlite, TERMS, vault, Accounts(sqlite, vault, Endpoints()), demo=True
    )
    box = MailFolder(folder)
    for number in (1, 2):
        box.send(
            mail(number, "<script>alert(1)</script><p>hello</p>"),
            sender="bookings@x.example",
            recipient="kata@example.org",
        )
    (tmp_path / "secret.eml").write_bytes(b"Subject: secret\n\n")
    return TestClient(create_app(site), raise_server_exceptions=False)


def test_the_list_is_newest_last_and_says_what_each_invites_to(client: TestClient) -> None:
    listed = client.get("/demo/mail.json").json()
    assert [set(m) for m in listed] == [
        {"id", "at", "from", "to", "subject", "message_id", "method", "uid", "sequence", "partstat"}
    ] * 2
    assert [(m["subject"], m["method"], m["uid"], m["sequence"]) for m in listed] == [
        ("Süßes <b>1</b>", "REQUEST", "u@x", 2), ("Süßes <b>2</b>", "REQUEST", "u@x", 2),
    ]  # fmt: skip
    assert listed[0]["to"] == "kata@example.org"
    assert listed[0]["at"].endswith("Z")


def test_a_mail_is_shown_whole_and_without_its_scripts(client: TestClient) -> None:
    first = client.get("/demo/mail.json").json()[0]["id"]
    page = client.get(f"/demo/mail/{first}").text
    assert "plain words" in page
    assert "BEGIN:VCALENDAR" in page
    assert "&lt;b&gt;1&lt;/b&gt;" in page
    assert "<script>alert" not in page
    framed = client.get(f"/demo/mail/{first}/html")
    assert "sandbox" in framed.headers["content-security-policy"]
    assert "default-src 'none'" in framed.headers["content-security-policy"]
    sent = client.get(f"/demo/mail/{first}.eml")
    assert sent.headers["content-type"] == "message/rfc822"
    assert sent.content.startswith(b"From: Anna <bookings@x.example>")
    assert b"<script>alert(1)</script>" in sent.content
    assert "Süßes" in client.get("/demo/mail").text


@pytest.mark.parametrize("name", ["none", "..%2Fsecret", "%2e%2e%2fsecret", "..", "a%00b", "x" * 300])
def test_what_is_not_in_the_folder_is_not_there(client: TestClient, name: str) -> None:
    for path in (f"/demo/mail/{name}", f"/demo/mail/{name}.eml", f"/demo/mail/{name}/html"):
        answer = client.get(path)
        assert "secret" not in answer.text.partition("<title>")[0]
        assert answer.status_code in (404, 405) or answer.url.path == "/demo/mail"


def test_outside_the_demo_it_does_not_exist(sqlite: Database) -> None:
    assert open_doors(sqlite).client.get("/demo/mail.json").status_code in (307, 404)
    assert open_doors.__doc__
