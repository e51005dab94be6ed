"""``make demo``: a seeded world on this machine alone. Real CalDAV server, emulated Google and Microsoft, own mailbox;
nothing leaves it (INTERFACE §1)."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from api.demo_accounts import Servers, connect, relocate, start_servers
from api.demo_world import OPERATORS, SERVICES
from api.keys import create_token
from api.serving import HOST, free_port, is_free, serve_embedded
from booking import setup
from ledger import observe
from ledger.identity import users
from ledger.identity.passwords import hashed
from ledger.migrate import migrate
from ledger.settings import BadSettings, Settings, load
from sync import listing
from sync.hints import doubt_channels
from workers.opening import open_world
from workers.world import World

POLL_SECONDS = 3
LMTP_PORT = 8024
WORLD = 2
"""Grows when the seeded world changes so that an older one can't go on; it is made afresh then."""

ENV = "settings.env"
"""In the demo's folder: what the other verbs need to know to work on its world."""


def run_demo(var: Path, *, port: int, reset: bool) -> None:
    """Run until Ctrl-C. A second run finds everything as it was; `reset` starts afresh. Raises `BadSettings`."""
    if not is_free(port):
        raise BadSettings(f"port {port} is taken; try PORT={port + 1} make demo")
    home = var / "demo"
    known = {} if reset else _known(var / "demo.json")
    if reset or (known and known.get("world") != WORLD):
        shutil.rmtree(home, ignore_errors=True)
        (var / "demo.json").unlink(missing_ok=True)
        known = {}
    home.mkdir(parents=True, exist_ok=True)
    observe.configure("console")
    token = str(known.get("admin_token") or "sl_" + secrets.token_urlsafe(32))
    passwords = dict(known.get("passwords") or {slug: secrets.token_urlsafe(9) for slug in OPERATORS})
    people = {**passwords, "admin": str(known.get("admin_password") or secrets.token_urlsafe(9))}
    console = Console(stderr=True)
    with ExitStack() as stack, suppress(KeyboardInterrupt):
        with console.status("Starting the calendars …"):
            was_at = str(known.get("caldav", {}).get("url", ""))
            servers = start_servers(home, passwords, stack, caldav_url=was_at)
        settings = _settings(home, port, servers)
        with console.status("Filling the world …"):
            world = open_world(settings)
            try:
                migrate(world.database, now=world.clock())
                with world.database.transaction() as tx:
                    relocate(tx, servers.caldav.url)
                _seed(world, servers)
                with world.database.transaction() as tx:
                    create_token(tx, name="demo", scope="admin", now=world.clock(), token=token)
                _let_in(world, people)
            finally:
                world.close()
        about = _about(settings, servers, passwords, token, people)
        _write_secretly(var / "demo.json", json.dumps(about, indent=2))
        _tell(console, settings, servers, people, token)
        serve_embedded(settings, host=HOST, port=port, demo=True)


def _settings(home: Path, port: int, servers: Servers) -> Settings:
    """The demo's own; what the environment says is for real services and isn't read here."""
    given = {
        "SLOTLEDGER_DATABASE_URL": f"sqlite:///{home}/slotledger.db",
        "SLOTLEDGER_MAIL_URL": f"file:{home}/mail",
        "SLOTLEDGER_INBOUND_MAIL_URL": f"lmtp://{HOST}:{free_port(LMTP_PORT)}",
        "SLOTLEDGER_BASE_URL": f"http://{HOST}:{port}",
        "SLOTLEDGER_ALLOW_PRIVATE_NETWORKS": "true",
        "SLOTLEDGER_POLL_SECONDS": str(POLL_SECONDS),
        "SLOTLEDGER_FORM_SECONDS": "0",
        **servers.settings,
    }
    _write_secretly(home / ENV, "\n".join(f"{name}={value}" for name, value in given.items()))
    return load(given, env_file=None)


def _seed(world: World, servers: Servers) -> None:
    """Operators, services, connections and some weeks of calendar; what is there already stays as it is."""
    with world.database.reading() as tx:
        seeded = {row["operator"] for row in listing.calendars(tx) if row["roles"]}
    for slug, about in OPERATORS.items():
        if slug in seeded:
            continue
        with world.database.transaction() as tx:
            operator_id = setup.ensure_operator(tx, slug, **about, now=world.clock())
            for name, spec in SERVICES[slug].items():
                setup.put_service(tx, slug, name, spec, now=world.clock(), replace=True)
        connect(world, servers, slug, operator_id)
    with world.database.transaction() as tx:  # a channel doesn't outlive the emulator that it was opened at
        doubt_channels(tx, now=world.clock())


def _let_in(world: World, people: Mapping[str, str]) -> None:
    """Everybody may sign in; who is there already keeps their password."""
    with world.database.reading() as tx:
        known = {person.email for person in users.listing(tx)}
    for who, password in people.items():
        if address_of(who) in known:
            continue
        stored = hashed(password)
        name, role = (OPERATORS[who]["name"], f"operator:{who}") if who in OPERATORS else ("Demo admin", "admin")
        with world.database.transaction() as tx:
            users.add(tx, email=address_of(who), role=role, name=name, password_hash=stored, now=world.clock())


def address_of(who: str) -> str:
    """With what somebody of the demo signs in."""
    return OPERATORS[who]["email"] if who in OPERATORS else f"{who}@practice.example"


def _about(
    settings: Settings, servers: Servers, passwords: Mapping[str, str], token: str, people: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "world": WORLD,
        "base_url": settings.base_url,
        "admin_token": token,
        "mailbox_url": f"{settings.base_url}/demo/mail",
        "inbound_mail_url": settings.inbound_mail_url,
        "caldav": {
            "url": servers.caldav.url,
            "users": {
                slug: {"username": slug, "password": servers.caldav.users[slug], "calendars": dict(urls)}
                for slug, urls in servers.urls.items()
            },
        },
        "google": {
            "api_root": servers.google.base_url,
            "control_root": f"{servers.google.base_url}/_ctl",
            "page": f"{servers.google.base_url}/",
        },
        "microsoft": {
            "graph_root": servers.microsoft.graph_root,
            "control_root": servers.microsoft.control_root,
            "page": f"{servers.microsoft.graph_root}/",
        },
        "passwords": dict(passwords),
        "admin_password": people["admin"],
        "sign_in": {
            "url": f"{settings.base_url}/login",
            "users": {who: {"email": address_of(who), "password": password} for who, password in people.items()},
        },
    }


def _tell(console: Console, settings: Settings, servers: Servers, people: Mapping[str, str], token: str) -> None:
    def say(text: str = "") -> None:
        console.print(text, soft_wrap=True, highlight=False)

    say()
    say(f"[bold]Slotledger runs on {settings.base_url}[/bold]")
    for slug in OPERATORS:
        for service in SERVICES[slug]:
            say(f"  book        {settings.base_url}/{slug}/{service}")
    say(f"  the mail    {settings.base_url}/demo/mail")
    say(f"  answers     {settings.inbound_mail_url}   takes what a client's mail program answers to an invitation")
    say(f"  sign in     {settings.base_url}/login")
    for who, password in people.items():
        say(f"    {who:6}    {address_of(who)}   password {password}")
    say(f"  admin API   {settings.base_url}/api/docs   token {token}")
    verbs = Path(settings.database_url.removeprefix("sqlite:///")).with_name(ENV)
    say(f"  any verb    env $(cat {verbs}) {sys.argv[0]} doctor")
    say("  the operators' own calendars, to play them:")
    for slug, urls in servers.urls.items():
        say(
            f"    {slug:6}    {servers.caldav.url}   any calendar app; user {slug}, password {servers.caldav.users[slug]}   {', '.join(urls)}"
        )
    say(f"    ben       {servers.google.base_url}/   stands in for Google Calendar")
    say(f"    chloe     {servers.microsoft.graph_root}/   stands in for Outlook")
    say(
        "Delete or move a booking there and watch the page and the mail. Ctrl-C ends it; var/demo.json has all of this."
    )
    say()


def _known(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return {}


def _write_secretly(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text + "\n", encoding="utf-8")
