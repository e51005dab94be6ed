"""What may be set, and what is said to the person who set it wrong: one line, without their passwords."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from ledger.settings import BadSettings, Settings, load

KEY = "a key that is only for tests"


def of(values: Mapping[str, str], folder: Path | None = None, env_file: Path | None = None) -> Settings:
    given = {f"SLOTLEDGER_{name}": value for name, value in values.items()}
    if folder is None:
        given.setdefault("SLOTLEDGER_SECRET_KEY", KEY)
    return load(given, env_file, folder)


def test_without_a_word_the_defaults_of_the_documentation_hold(tmp_path: Path) -> None:
    settings = of({}, tmp_path)
    assert (settings.database_url, settings.broker_url) == ("sqlite:///var/slotledger.db", "embedded:")
    assert (settings.mail_url, settings.mail_from) == ("file:var/mail", "bookings@localhost")
    assert (settings.base_url, settings.poll_seconds) == ("http://127.0.0.1:8000", 300)
    assert settings.allow_private_networks is False
    assert settings.is_sqlite


def test_the_environment_wins_over_the_file_and_each_says_where_it_came_from(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(
        "SLOTLEDGER_POLL_SECONDS=60\nSLOTLEDGER_MAIL_FROM=a@b.example\nOTHER=1\nSLOTLEDGER_SECRET_KEY=sixteen ${HOME} letters\n"
    )
    settings = load({"SLOTLEDGER_POLL_SECONDS": "5", "PATH": "/bin"}, file)
    assert (settings.poll_seconds, settings.mail_from) == (5, "a@b.example")
    assert settings.secret_key == "sixteen ${HOME} letters"  # taken as it stands
    shown = {name: origin for name, _, origin in settings.shown()}
    assert shown["SLOTLEDGER_POLL_SECONDS"] == "environment"
    assert shown["SLOTLEDGER_MAIL_FROM"] == str(file)
    assert shown["SLOTLEDGER_BASE_URL"] == "default"


@pytest.mark.parametrize("name", ["SLOTLEDGER_DATABSE_URL", "SLOTLEDGER_Base_Url", "SLOTLEDGER_ORIGIN", "SLOTLEDGER_"])
def test_an_unknown_name_is_refused_wherever_it_stands(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=f"^{name} is no setting"):
        load({name: "1", "SLOTLEDGER_SECRET_KEY": KEY}, None)
    file = tmp_path / ".env"
    file.write_text(f"{name}=1\n")
    with pytest.raises(BadSettings, match=f"^{name} is no setting"):
        load({"SLOTLEDGER_SECRET_KEY": KEY}, file)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://h/db"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "sqlite:///"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("DATABASE_URL", "sqlite+aiosqlite:///x.db"),
        ("DATABASE_URL", "postgresql+asyncpg://h/db"),
        ("DATABASE_URL", ""),
        ("BROKER_URL", "kafka://h"),
        ("MAIL_URL", "smtp://[half"),
        ("MAIL_URL", "smtp://host:port"),
        ("MAIL_URL", "mailto:me"),
        ("MAIL_FROM", "two@addresses@example.org"),
        ("MAIL_FROM", "Anna <anna@example.org>"),
        ("INBOUND_MAIL_URL", "pop3://h"),
        ("BASE_URL", "book.example.org"),
        ("BASE_URL", "https://"),
        ("BASE_URL", "http://host:eighty"),
        ("SECRET_KEY", "short"),
        ("SECRET_KEY_OLD", "short"),
        ("ALLOW_PRIVATE_NETWORKS", "maybe"),
        ("POLL_SECONDS", "0"),
        ("POLL_SECONDS", "86401"),
        ("POLL_SECONDS", "²"),
        ("POLL_SECONDS", "5.5"),
        ("POLL_SECONDS", ""),
        ("LOG_FORMAT", "xml"),
        ("PIXEL_ID", "BPT-0123456789-01"),
        ("PIXEL_ID", 'BP-0123456789-01"><script>'),
        ("RATE_PER_MINUTE", "-1"),
        ("RATE_PER_MINUTE", "many"),
        ("FORM_SECONDS", "61"),
        ("TRUSTED_PROXIES", "proxy.example.org"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,10.0.0.300"),
    ],
)
def test_a_bad_value_is_one_line_that_names_it(name: str, value: str) -> None:
    with pytest.raises(BadSettings) as refused:
        of({name: value})
    text = str(refused.value)
    assert f"SLOTLEDGER_{name}" in text
    assert "\n" not in text


def test_what_is_allowed_is_taken_over(tmp_path: Path) -> None:
    settings = of(
        {
            "DATABASE_URL": "postgresql://u:p@h/db", "BROKER_URL": "redis://h/1", "MAIL_URL": "smtps://u:p@h", "POLL_SECONDS": "86400",
            "INBOUND_MAIL_URL": "lmtp://127.0.0.1:8024", "BASE_URL": "https://book.example.org/", "ALLOW_PRIVATE_NETWORKS": "Yes",
            "LOG_FORMAT": "json", "TRUSTED_PROXIES": "10.0.0.0/8, ::1", "RATE_PER_MINUTE": "0", "FORM_SECONDS": "0",
        }
    )  # fmt: skip
    assert (settings.trusted_proxies, settings.rate_per_minute, settings.form_seconds) == ("10.0.0.0/8, ::1", 0, 0)
    assert settings.base_url == "https://book.example.org"  # links are built by adding a path
    assert settings.allow_private_networks is True
    assert not settings.is_sqlite


def test_no_secret_is_shown_nor_said() -> None:
    secret = "s3cret-p%40ss"
    settings = of(
        {
            "DATABASE_URL": f"postgresql://u:{secret}@h/db", "BROKER_URL": f"amqp://u:{secret}@h", "MAIL_URL": f"smtp://u:{secret}@h",
            "INBOUND_MAIL_URL": f"imaps://u:{secret}@h/INBOX", "SECRET_KEY": f"{secret}{secret}", "SECRET_KEY_OLD": f"{secret}{secret}",
            "GOOGLE_CLIENT_SECRET": secret, "MICROSOFT_CLIENT_SECRET": secret, "GOOGLE_CLIENT_ID": "open",
        }
    )  # fmt: skip
    shown = {name: value for name, value, _ in settings.shown()}
    assert secret not in str(shown)
    assert shown["SLOTLEDGER_DATABASE_URL"] == "postgresql://u:********@h/db"
    assert shown["SLOTLEDGER_SECRET_KEY"] == "********"
    assert shown["SLOTLEDGER_GOOGLE_CLIENT_ID"] == "open"
    assert shown["SLOTLEDGER_ALLOW_PRIVATE_NETWORKS"] == "false"
    for bad in (f"mysql://u:{secret}@h", f"smtp://u:a/{secret}@h"):
        with pytest.raises(BadSettings) as refused:
            of({"MAIL_URL": bad})
        assert secret not in str(refused.value)


def test_a_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    first = of({}, folder)
    file = folder / "secret.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(first.secret_key) >= 32
    assert of({}, folder).secret_key == first.secret_key
    assert [p.name for p in folder.iterdir()] == ["secret.key"]
    origin = {name: origin for name, _, origin in first.shown()}
    assert origin["SLOTLEDGER_SECRET_KEY"] == str(file)


def test_the_key_lies_beside_the_database(tmp_path: Path) -> None:
    load({"SLOTLEDGER_DATABASE_URL": f"sqlite:///{tmp_path}/deep/ledger.db"}, None)
    assert (tmp_path / "deep" / "secret.key").exists()


def test_processes_that_start_together_agree_on_the_key(tmp_path: Path) -> None:
    for attempt in range(8):
        keys: list[str] = []
        together = threading.Barrier(8)

        def start(
            folder: Path = tmp_path / str(attempt), keys: list[str] = keys, go: threading.Barrier = together
        ) -> None:
            go.wait()
            keys.append(of({}, folder).secret_key)

        threads = [threading.Thread(target=start) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(keys) == 8
        assert len(set(keys)) == 1
        assert len(keys[0]) >= 32


def test_a_key_file_without_a_key_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("\n")
    with pytest.raises(BadSettings, match="holds no key"):
        of({}, tmp_path)
    assert (tmp_path / "secret.key").read_text() == "\n"


def test_where_no_key_can_be_made_it_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file where a folder should be")
    with pytest.raises(BadSettings, match="SLOTLEDGER_SECRET_KEY"):
        of({}, tmp_path / "var")


def test_several_machines_need_a_key_that_somebody_chose() -> None:
    with pytest.raises(BadSettings, match="SECRET_KEY is required"):
        load({"SLOTLEDGER_DATABASE_URL": "postgresql://h/db"}, None)


def test_a_file_that_is_no_text_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"SLOTLEDGER_MAIL_FROM=\xff\xfe\n")
    with pytest.raises(BadSettings, match="can't be read"):
        load({"SLOTLEDGER_SECRET_KEY": KEY}, file)


def test_a_missing_file_is_no_mistake(tmp_path: Path) -> None:
    assert load({"SLOTLEDGER_SECRET_KEY": KEY}, tmp_path / "none").poll_seconds == 300
