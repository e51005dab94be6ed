"""Every variable, read once. Nothing else in the product looks at the environment.

Order of precedence: environment, ``.env`` in the working directory, default.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values

PREFIX = "SLOTLEDGER_"
SHORTEST_KEY = 16
_SECRET = frozenset({"secret_key", "secret_key_old", "google_client_secret", "microsoft_client_secret"})
_NUMBERS = {
    "poll_seconds": (1, 86_400, "seconds"),
    "rate_per_minute": (0, 1_000_000, "requests"),
    "form_seconds": (0, 60, "seconds"),
}
"""Least, most, of what."""
_URLS = frozenset({"database_url", "broker_url", "mail_url", "inbound_mail_url"})


class BadSettings(Exception):
    """A setting is unknown or can't be used; the text is one line for the person who starts the service."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator of this deployment decided (INTERFACE §2). Frozen; `origin` tells where each came from."""

    database_url: str = "sqlite:///var/slotledger.db"
    broker_url: str = "embedded:"
    mail_url: str = "file:var/mail"
    mail_from: str = "bookings@localhost"
    inbound_mail_url: str = ""
    base_url: str = "http://127.0.0.1:8000"
    secret_key: str = ""
    secret_key_old: str = ""
    google_client_id: str = ""
    google_client_secret: str = ""
    google_api_root: str = "https://www.googleapis.com"
    google_oauth_root: str = ""
    microsoft_client_id: str = ""
    microsoft_client_secret: str = ""
    microsoft_tenant: str = "common"
    microsoft_graph_root: str = "https://graph.microsoft.com"
    microsoft_authority: str = "https://login.microsoftonline.com"
    allow_private_networks: bool = False
    poll_seconds: int = 300
    log_format: str = ""
    pixel_id: str = ""
    trusted_proxies: str = "127.0.0.1,::1"
    rate_per_minute: int = 600
    form_seconds: int = 1
    origin: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_sqlite(self) -> bool:
        """One file, one machine."""
        return self.database_url.startswith("sqlite")

    def shown(self) -> list[tuple[str, str, str]]:
        """``(name, value with secrets masked, origin)`` of every setting, in the order of the documentation."""
        return [
            (PREFIX + name.upper(), _masked(name, getattr(self, name)), self.origin.get(name, "default"))
            for name in _names()
        ]


def _names() -> list[str]:
    return [f.name for f in fields(Settings) if f.name != "origin"]


def _masked(name: str, value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if name in _SECRET:
        return "********" if text else ""
    if name in _URLS:
        parts = urlsplit(text)
        if parts.password:
            return text.replace(f":{parts.password}@", ":********@")
    return text


def load(
    environ: Mapping[str, str] | None = None, env_file: Path | None = Path(".env"), var: Path | None = None
) -> Settings:
    """Read, check and freeze the settings.

    Creates ``var/secret.key`` (0600) when no key is given and the database is SQLite. Raises `BadSettings`.
    """
    environ = os.environ if environ is None else environ
    given: dict[str, tuple[str, str]] = {}
    if env_file is not None and env_file.is_file():
        for key, value in _written_down(env_file).items():
            if key.startswith(PREFIX):
                given[key] = (value or "", str(env_file))
    for key, value in environ.items():
        if key.startswith(PREFIX):
            given[key] = (value, "environment")
    names = _names()
    unknown = sorted(k for k in given if k.removeprefix(PREFIX).lower() not in names or k != k.upper())
    if unknown:
        raise BadSettings(f"{unknown[0]} is no setting of Slotledger; `slotledger settings` lists them")
    values: dict[str, object] = {}
    origin: dict[str, str] = {}
    for key, (text, source) in given.items():
        name = key.removeprefix(PREFIX).lower()
        values[name] = _parsed(name, text.strip())
        origin[name] = source
    if not values.get("secret_key"):
        database = str(values.get("database_url", Settings.__dataclass_fields__["database_url"].default))
        if not database.startswith("sqlite"):
            raise BadSettings(f"{PREFIX}SECRET_KEY is required when the database is not SQLite")
        path = (var or _folder_of(database)) / "secret.key"
        values["secret_key"] = _stored_key(path)
        origin["secret_key"] = str(path)
    return Settings(**values, origin=origin)  # type: ignore[arg-type]


def _written_down(env_file: Path) -> Mapping[str, str | None]:
    try:
        # Passwords are full of dollars: nothing in the file is replaced by anything.
        return dotenv_values(env_file, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"{env_file} can't be read: {error}") from None


def _parsed(name: str, text: str) -> object:
    variable = PREFIX + name.upper()
    if name == "allow_private_networks":
        if text.lower() not in {"true", "false", "1", "0", "yes", "no"}:
            raise BadSettings(f"{variable} must be true or false, not {text!r}")
        return text.lower() in {"true", "1", "yes"}
    if name in _NUMBERS:
        least, most, what = _NUMBERS[name]
        if not (text.isascii() and text.isdigit()) or not least <= int(text[:9]) <= most:
            raise BadSettings(f"{variable} must be a number of {what} from {least} to {most}, not {text!r}")
        return int(text)
    if name == "trusted_proxies":
        _check_networks(variable, text)
    schemes = {
        "database_url": ("sqlite", "postgresql", "postgresql+psycopg"),
        "broker_url": ("embedded", "redis", "rediss", "unix", "amqp", "amqps"),
        "mail_url": ("file", "smtp", "smtps"),
        "inbound_mail_url": ("", "imap", "imaps", "lmtp"),
        "base_url": ("http", "https"),
    }.get(name)
    if schemes is not None:
        _check_url(variable, name, text, schemes)
    if name == "base_url":
        return text.rstrip("/")
    if name == "mail_from" and (text.count("@") != 1 or any(c.isspace() or c in "<>,;" for c in text)):
        raise BadSettings(f"{variable} must be one mail address, not {text!r}")
    if name == "pixel_id" and text and not re.fullmatch(r"BP-[A-Za-z0-9]{10}-[0-9]{2}", text):
        raise BadSettings(f"{variable} must be a Barion Pixel id like BP-0000000000-00, not {text!r}")
    if name == "log_format" and text not in {"", "console", "json"}:
        raise BadSettings(f"{variable} must be console or json, not {text!r}")
    if name in {"secret_key", "secret_key_old"} and text and len(text) < SHORTEST_KEY:
        raise BadSettings(f"{variable} must have at least {SHORTEST_KEY} characters")
    return text


def _check_networks(variable: str, text: str) -> None:
    """Addresses or networks with commas between. Raises `BadSettings`."""
    for each in filter(None, (part.strip() for part in text.split(","))):
        try:
            ip_network(each)
        except ValueError:
            raise BadSettings(f"{variable} must hold addresses or networks like 10.0.0.0/8, not {each!r}") from None


def _check_url(variable: str, name: str, text: str, schemes: tuple[str, ...]) -> None:
    """Raises `BadSettings`, with passwords masked."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - read to be checked
    except ValueError:  # its words may hold a part of the password
        raise BadSettings(f"{variable} is no URL: is a special character in it not percent-encoded?") from None
    if parts.scheme not in schemes:
        allowed = ", ".join(f"{s}:" for s in schemes if s)
        raise BadSettings(f"{variable} must start with {allowed}; it is {_masked(name, text)!r}")
    if name == "base_url" and not parts.hostname:
        raise BadSettings(f"{variable} must name a host, like https://book.example.org; it is {text!r}")
    if parts.scheme == "sqlite" and (not text.startswith("sqlite:///") or text.endswith(("///", ":memory:"))):
        raise BadSettings(f"{variable} must name a file, like sqlite:///var/slotledger.db; it is {text!r}")


def _folder_of(database_url: str) -> Path:
    path = database_url.removeprefix("sqlite:///")
    return Path(path).parent if path and path != database_url else Path("var")


def _stored_key(path: Path) -> str:
    """The key in this file; made if there is none. Of several processes that make it at once, one wins for all."""
    try:
        if not path.exists():
            _make_key(path)
        key = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(
            f"{path} can't be read or made ({error}); {PREFIX}SECRET_KEY can hold the key as well"
        ) from None
    if len(key) < SHORTEST_KEY:
        raise BadSettings(f"{path} holds no key; put the old one back, or delete the file for a new one")
    return key


def _make_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and then given its name: nobody ever reads half a key.
    aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        with suppress(FileExistsError):  # another process of this deployment was faster
            os.link(aside, path)
    finally:
        aside.unlink()
