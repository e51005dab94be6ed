"""Connections, calendars, and reading them now."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from api.cli.common import AsJson, err, fail, group, noted, open_for_verb, out, record, show
from booking import setup
from connectors.errors import ConnectorError
from connectors.protocol import Credentials
from ledger.backoff import NotYet
from sync import listing, tickets
from sync.accounts import check_voice
from sync.pull import pull as pull_calendar
from sync.roles import change as set_roles

app = typer.Typer()
connects = group("Connect an operator's calendars.")
calendars = group("What each calendar is for.")


@connects.command("caldav")
def connect_caldav(
    operator: str,
    url: Annotated[str, typer.Option(help="of the server, the account or a calendar; or a mail address")],
    username: Annotated[str, typer.Option(help="account name")],
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="read the password from standard input")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Example: echo "$PASSWORD" | slotledger connect caldav anna --url https://dav.example.org --username anna --password-stdin"""
    password = sys.stdin.readline().rstrip("\n") if password_stdin else typer.prompt("Password", hide_input=True)
    _connect(operator, Credentials("caldav", url, username, password), as_json)


@connects.command("ics")
def connect_ics(
    operator: str, url: Annotated[str, typer.Option(help="address of the feed")], as_json: AsJson = False
) -> None:
    """Example: slotledger connect ics anna --url https://example.org/holidays.ics"""
    _connect(operator, Credentials("ics", url), as_json)


Voice = Annotated[str, typer.Option(help="who invites clients: service (Slotledger) or provider (this account)")]


@connects.command("google")
def connect_google(operator: str, voice: Voice = "", as_json: AsJson = False) -> None:
    """A link for the operator, good once within a day. Example: slotledger connect google ben"""
    _link(operator, "google", voice, as_json)


@connects.command("microsoft")
def connect_microsoft(operator: str, voice: Voice = "", as_json: AsJson = False) -> None:
    """A link for the operator, good once within a day. Example: slotledger connect microsoft chloe --voice provider"""
    _link(operator, "microsoft", voice, as_json)


@connects.command("link")
def connect_link(operator: str, as_json: AsJson = False) -> None:
    """A link by which the operator connects a CalDAV account without telling you the password. Example: slotledger connect link anna"""
    _link(operator, "caldav", "", as_json)


def _link(operator: str, provider: str, voice: str, as_json: bool) -> None:
    check_voice(provider, voice)
    with open_for_verb() as world:
        with world.database.transaction() as tx:
            operator_id = setup.operator_id(tx, operator)
            flow = tickets.issue(tx, operator_id=operator_id, provider=provider, voice=voice, now=world.clock())
            url = tickets.link(tx, world.vault, flow, world.settings.base_url)
            record(world, tx, "link.made", f"link:{flow}", operator_id=operator_id, after={"provider": provider})
        client_id = {"google": world.settings.google_client_id, "microsoft": world.settings.microsoft_client_id}
    if not client_id.get(provider, "-"):
        fail(
            f"set SLOTLEDGER_{provider.upper()}_CLIENT_ID and …_CLIENT_SECRET first; see docs/providers/{provider}.md",
            1,
        )
    if as_json:
        typer.echo(json.dumps({"url": url}))
    else:
        typer.echo(url)
        err.print("Give this link to the operator; it works once, within a day.")


def _connect(operator: str, credentials: Credentials, as_json: bool) -> None:
    with open_for_verb() as world:
        with world.database.reading() as tx:
            operator_id = setup.operator_id(tx, operator)
        with err.status("Looking at the account …"):
            told = noted(
                world, "connection.made", "connection", operator=operator, provider=credentials.provider,
                username=credentials.username,
            )  # fmt: skip
            connection_id = world.accounts.connect(operator_id, credentials, now=world.clock(), noted=told)
        with world.database.reading() as tx:
            rows = listing.calendars(tx, connection_id=connection_id)
    show(rows, as_json, ["id", "name", "roles", "writable", "sync", "url"])
    if not as_json:
        err.print("Say what each is for: slotledger calendar set ID --role busy --role bookings")


@calendars.command("list")
def list_calendars(as_json: AsJson = False) -> None:
    """Example: slotledger calendar list --json"""
    with open_for_verb() as world, world.database.reading() as tx:
        rows = listing.calendars(tx)
    show(rows, as_json, ["id", "operator", "name", "roles", "pulled_at", "problems", "last_error", "url"])


@calendars.command("problems")
def list_problems(calendar_id: Annotated[int, typer.Argument(metavar="ID")], as_json: AsJson = False) -> None:
    """Events that can't be read in full, and why. Example: slotledger calendar problems 3"""
    with open_for_verb() as world, world.database.reading() as tx:
        rows = listing.problems(tx, calendar_id)
    show(rows, as_json, ["href", "problem"])


@calendars.command("set")
def set_calendar(
    calendar_id: Annotated[int, typer.Argument(metavar="ID")],
    role: Annotated[
        list[str] | None, typer.Option(help="busy, availability or bookings; several times; none takes all away")
    ] = None,
    all_day_blocks: Annotated[
        bool | None, typer.Option("--all-day-blocks/--all-day-free", help="do whole-day events count?")
    ] = None,
    tentative_blocks: Annotated[
        bool | None, typer.Option("--tentative-blocks/--tentative-free", help="do tentative ones?")
    ] = None,
    voice: Voice = "",
) -> None:
    """Example: slotledger calendar set 3 --role busy --role bookings"""
    roles = set(role or ())
    unknown = roles - {"busy", "availability", "bookings", "none"}
    if unknown:
        raise typer.BadParameter(f"{unknown.pop()} is no role", param_hint="--role")
    given = {r: r in roles for r in ("busy", "availability", "bookings")} if role else {}
    with open_for_verb() as world:
        if voice:
            told = noted(world, "connection.changed", "connection_of_calendar", voice=voice)
            world.accounts.set_voice(calendar_id, voice, noted=told)
        rules = {"all_day_blocks": all_day_blocks, "tentative_blocks": tentative_blocks}
        changes = given | {name: value for name, value in rules.items() if value is not None}
        quirks = world.accounts.probed(calendar_id) if changes.get("bookings") else None
        with world.database.transaction() as tx:
            set_roles(tx, calendar_id, changes, quirks=quirks, now=world.clock())
            record(world, tx, "calendar.changed", f"calendar:{calendar_id}", after=changes)
    out.print("Done; the calendar is read next.")


@app.command()
def pull(
    everything: Annotated[bool, typer.Option("--all", help="every calendar that has a role")] = False,
    calendar: Annotated[int, typer.Option(help="only this one")] = 0,
) -> None:
    """Read calendars now. Example: slotledger pull --all"""
    if not everything and not calendar:
        raise typer.BadParameter("say --all or --calendar ID")
    failed = 0
    with open_for_verb() as world:
        with world.database.reading() as tx:
            known = listing.calendars(tx)
        wanted = [c for c in known if (everything and c["roles"]) or c["id"] == calendar]
        if not wanted:
            fail("there is no such calendar" if calendar else "no calendar has a role yet", 1)
        with _progress() as bar:
            for each in wanted:
                task = bar(f"{each['operator']}: {each['name']}")
                try:
                    pull_calendar(world.accounts, each["id"], clock=world.clock, progress=task)
                except NotYet:
                    pass  # a worker has just read it
                except ConnectorError as error:
                    failed += 1
                    err.print(f"{each['operator']}: {each['name']}: {error}", style="red", markup=False)
    if failed:
        raise typer.Exit(1)


@contextmanager
def _progress() -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal) as bars:

        def start(title: str) -> Callable[[int, int], None]:
            task = bars.add_task(title, total=None)
            return lambda done, total: bars.update(task, completed=done, total=total)

        yield start
