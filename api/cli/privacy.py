"""A client's data: shown to them, and erased."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from api import forgetting
from api.cli.common import AsJson, err, fail, open_for_verb, out, record
from api.wire import wire

app = typer.Typer()
CAUSE = "admin"


@app.command("export-client")
def export_client(
    email: Annotated[str, typer.Argument(metavar="EMAIL")],
    output: Annotated[Path | None, typer.Option(help="write to this new file instead of printing", dir_okay=False)] = None,
) -> None:  # fmt: skip
    """Everything that is kept of a client, as JSON. Example: slotledger export-client kata@example.org --output kata.json"""
    with open_for_verb() as world:
        shown = forgetting.exported(world.database, email, now=world.clock())
    if not shown["bookings"] and not shown["waitlist"]:
        fail("nothing is kept of this address", 1)
    text = json.dumps(wire(shown), indent=2, ensure_ascii=False)
    if output is None:
        typer.echo(text)
        return
    # For their eyes only; never over a file that is there.
    with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text + "\n")
    err.print(f"written to {output}", markup=False)


@app.command("erase-client")
def erase_client(
    email: Annotated[str, typer.Argument(metavar="EMAIL")],
    cancel: Annotated[bool, typer.Option("--cancel", help="cancel what is to come, and leave the lines, first")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="don't ask")] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Take away all that names a client; times and counts stay. Example: slotledger erase-client kata@example.org --cancel --yes"""
    with open_for_verb() as world:
        now = world.clock()
        shown = forgetting.exported(world.database, email, now=now)
        if not yes:
            _ask(len(shown["bookings"]), len(shown["waitlist"]))
        done = forgetting.erase(
            world.database, world.terms, email, cancel=cancel, mail_url=world.settings.mail_url, now=now, cause=CAUSE,
            noted=lambda tx, done: record(world, tx, "client.erased", "client", after=asdict(done)),
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(asdict(done)))
    elif done.waits_for:
        out.print(f"{done.waits_for} mails go out first; the erasure follows by itself, within an hour.")
        if world.settings.mail_url.startswith("file:"):
            out.print("Mail is kept in a folder: run this once more afterwards, for the mails written meanwhile.")
    else:
        out.print(f"Erased: {done.bookings} bookings, {done.places} places in line.")


def _ask(bookings: int, places: int) -> None:
    if not err.is_terminal:
        raise typer.BadParameter("say --yes where nobody can be asked", param_hint="--yes")
    typer.confirm(f"Erase a client with {bookings} bookings and {places} places in line?", abort=True, err=True)
