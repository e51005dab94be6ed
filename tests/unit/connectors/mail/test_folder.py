from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.errors import Unreachable
from connectors.ical import itip
from connectors.mail.folder import MailFolder
from connectors.mail.imip import compose
from connectors.mail.outgoing import Receipt
from tests.unit.connectors.mail.test_imip import INVITED, MAIL


def send(folder: MailFolder, raw: bytes) -> Receipt:
    return folder.send(raw, sender=MAIL.sender, recipient=MAIL.recipient)


def numbered(number: int) -> bytes:
    return compose(replace(MAIL, message_id=f"<{number}@svc.example>", subject=f"Nummer {number} – schön"))


def test_the_same_message_is_kept_once(tmp_path: Path) -> None:
    folder = MailFolder(tmp_path / "new" / "mail")
    assert not send(folder, compose(MAIL)).repeated
    assert send(folder, compose(MAIL)).repeated
    (kept,) = folder.listing()
    assert folder.read(kept.id) == compose(MAIL)


def test_a_folder_that_is_made_is_its_owners_alone(tmp_path: Path) -> None:
    send(MailFolder(tmp_path / "mail"), compose(MAIL))
    assert oct((tmp_path / "mail").stat().st_mode & 0o777) == "0o700"


def test_what_names_an_address_can_be_forgotten(tmp_path: Path) -> None:
    folder = MailFolder(tmp_path)
    send(folder, compose(MAIL))
    send(
        folder,
        compose(replace(MAIL, message_id="<2@x.example>", recipient="kata@example.org", calendar=None, method=None)),
    )
    text = "Grüße! Es kommt KATA@example.org mit."  # what is not ASCII is encoded on its way
    send(folder, compose(replace(MAIL, message_id="<3@x.example>", text=text, calendar=None, method=None)))
    assert [folder.forget(who) for who in ("", "nobody@example.org", " Kata@Example.org", "kata@example.org")] == [
        0,
        0,
        2,
        0,
    ]
    assert len(folder.listing()) == 1


def test_mail_of_somebody_with_a_longer_address_stays(tmp_path: Path) -> None:
    folder = MailFolder(tmp_path)
    for number, who in enumerate(("anna.kata@example.org", "kata@example.organic", "kata@example.org")):
        mail = replace(MAIL, message_id=f"<{number}@x.example>", recipient=who, calendar=None, method=None)
        send(folder, compose(mail))
    assert folder.forget("kata@example.org") == 1
    assert [mail.recipient for mail in folder.listing()] == ["anna.kata@example.org", "kata@example.organic"]


def test_many_writers_at_once_make_one_message(tmp_path: Path) -> None:
    folders = [MailFolder(tmp_path), MailFolder(tmp_path)]
    with ThreadPoolExecutor(16) as pool:
        receipts = list(pool.map(lambda n: send(folders[n % 2], numbered(n % 5)), range(100)))
    assert sum(not receipt.repeated for receipt in receipts) == 5
    assert len(MailFolder(tmp_path).listing()) == 5
    assert {path.suffix for path in tmp_path.iterdir()} == {".eml"}  # no drafts are left


def test_the_list_is_in_order_of_first_arrival(tmp_path: Path) -> None:
    folder = MailFolder(tmp_path)
    for number in range(40):
        send(folder, numbered(number))
    send(folder, numbered(3))
    wanted = [f"Nummer {number} – schön" for number in range(40)]
    assert [mail.subject for mail in folder.listing()] == wanted
    assert [mail.subject for mail in MailFolder(tmp_path).listing()] == wanted


def test_a_message_is_described(tmp_path: Path) -> None:
    folder = MailFolder(tmp_path)
    send(folder, compose(MAIL))
    cancelled = itip.cancel(replace(INVITED, sequence=2))
    send(folder, compose(replace(MAIL, message_id="<2@svc.example>", calendar=cancelled, method="CANCEL")))
    send(folder, compose(replace(MAIL, message_id="<3@svc.example>", calendar=None, method=None)))
    first, second, third = folder.listing()
    assert (first.sender, first.recipient, first.subject) == (MAIL.sender, MAIL.recipient, MAIL.subject)
    assert (first.message_id, first.method, first.uid) == (MAIL.message_id, "REQUEST", INVITED.uid)
    assert (first.sequence, first.partstat, first.at.utcoffset().total_seconds()) == (0, "NEEDS-ACTION", 0)
    assert (second.method, second.sequence) == ("CANCEL", 2)
    assert (third.method, third.uid, third.sequence, third.partstat) == (None, None, None, None)


def test_what_is_no_mail_of_ours_is_listed_without_harm(tmp_path: Path) -> None:
    folder = MailFolder(tmp_path)
    send(folder, b"\xff\x00 no header at all")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "other.eml").write_text("x")
    (kept,) = folder.listing()
    assert (kept.message_id, kept.subject, kept.method) == ("", "", None)


@pytest.mark.parametrize("mail_id", ["", "../secret", "a" * 64, "A" * 64, "a" * 63 + "/"])
def test_only_ids_of_the_folder_are_read(tmp_path: Path, mail_id: str) -> None:
    (tmp_path / "secret.eml").write_text("x")
    assert MailFolder(tmp_path / "mail").read(mail_id) is None


def test_an_empty_folder_has_no_mail(tmp_path: Path) -> None:
    assert MailFolder(tmp_path / "none").listing() == []


def test_a_folder_that_cannot_be_written_is_tried_again_later(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unreachable):
        send(MailFolder(tmp_path / "file" / "mail"), compose(MAIL))


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:var/mail", "var/mail"),
        ("file:/tmp/m%20x", "/tmp/m x"),
        ("file:///tmp/m", "/tmp/m"),
        ("file://localhost/m", "/m"),
    ],
)
def test_urls(url: str, path: str) -> None:
    assert MailFolder.from_url(url).directory == Path(path)


def test_another_host_is_refused() -> None:
    with pytest.raises(ValueError):
        MailFolder.from_url("file://server/mail")
