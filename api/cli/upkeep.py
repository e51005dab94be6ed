"""What keeps a deployment well: new keys, copies of everything, and a look whether all is as it should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from api.cli.common import AsJson, err, fail, open_for_verb, out, record, show
from connectors.errors import ConnectorError
from ledger import backup, sealed
from ledger.backoff import NotYet
from ledger.sealed import Rotation
from ledger.vault import VaultError
from sync import listing, reconcile
from sync.pull import pull
from workers.world import World

app = typer.Typer()


@app.command("rotate-secrets")
def rotate_secrets() -> None:
    """Seal every stored secret with the present SECRET_KEY; set SECRET_KEY_OLD to the one before.

    The service does the same by itself after it was started with both. Repeating it is harmless, and without an old key it
    proves that none is needed. Example: slotledger rotate-secrets
    """
    with open_for_verb() as world, progress() as bar:
        with world.database.reading() as tx:
            total = sealed.count(tx)
        tell = bar("secrets")
        walk = Rotation(world.vault)
        while True:
            with world.database.transaction() as tx:
                looked = walk.step(tx)
            tell(walk.looked, max(total, walk.looked))
            if not looked:
                break
        with world.database.transaction() as tx:
            record(world, tx, "secrets.rotated", "secrets", after={"looked": walk.looked, "resealed": walk.resealed})
        old = bool(world.settings.secret_key_old)
    if walk.broken:
        names = ", ".join(sorted(set(walk.broken)))
        fail(f"{len(walk.broken)} secrets can't be opened with these keys and were left as they are: {names}", 1)
    out.print(f"{walk.looked} secrets, {walk.resealed} of them sealed anew.")
    if old:
        err.print("SECRET_KEY_OLD may go in 14 days: until then it is good for links in mails that were sent before.")


@app.command("backup")
def backup_to(file: Annotated[Path, typer.Argument(metavar="FILE", help="a new file")]) -> None:
    """Save everything in one file, while the service runs. Keep SECRET_KEY beside it: secrets in it stay sealed.

    Example: slotledger backup slotledger-monday.zip
    """
    with open_for_verb() as world, progress() as bar:
        rows = backup.save(world.database, file, now=world.clock(), progress=bar("rows"))
    out.print(f"{rows} rows saved in {file}", markup=False, highlight=False, soft_wrap=True)


@app.command("restore")
def restore_from(file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False)]) -> None:
    """Fill an empty database from a backup, whichever database it was made of; before the service is started.

    Example: SLOTLEDGER_DATABASE_URL=postgresql://… slotledger restore slotledger-monday.zip
    """
    with open_for_verb() as world:
        with progress() as bar:
            rows = backup.restore(world.database, file, now=world.clock(), progress=bar("rows"))
        with world.database.transaction() as tx:
            unknown = Rotation(world.vault).all_broken(tx)
            record(world, tx, "backup.restored", "backup", after={"rows": rows})
    out.print(f"{rows} rows restored.")
    if unknown:
        fail(f"{unknown} secrets can't be opened with this SECRET_KEY: put the old one back, or connect again", 1)


@app.command()
def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="print the plan, then have it done")] = False,
    as_json: AsJson = False,
) -> None:
    """Do ledger, calendars and mail agree? One row for each thing that is wrong; exit code 1 if there is any.

    With --repair the calendars are read first, so that what operators did there counts as theirs; then the plan is handed
    to the service as ordinary messages, and the exit code is 1 only if something is left for a human.
    Example: slotledger doctor --repair
    """
    with open_for_verb() as world:
        now = world.clock()
        with progress() as bar:
            if repair:
                _read_first(world, bar("reading"))
            found = reconcile.examine(
                world.accounts, now=now, poll_seconds=world.settings.poll_seconds, progress=bar("calendars")
            )
        rows = [
            {"kind": str(f.kind), "operator": f.operator, "about": f.about, "detail": f.detail, "plan": f.plan,
             "repairable": f.remedy is not None}
            for f in found
        ]  # fmt: skip
        if found or as_json:
            show(rows, as_json, ["kind", "operator", "about", "detail", "plan"])
        else:
            out.print("All is well.")
        remedies = [(f.remedy, str(f.kind)) for f in found if f.remedy is not None] if repair else []
        for remedy, kind in remedies:
            with world.database.transaction() as tx:
                remedy(tx, now)
                record(world, tx, "finding.repaired", f"finding:{kind}")
    if remedies:
        err.print(f"{len(remedies)} asked for; the running service does it. Look again in a minute.")
    if len(found) > len(remedies):
        raise typer.Exit(1)


def _read_first(world: World, tell: Callable[[int, int], None]) -> None:
    with world.database.reading() as tx:
        wanted = [row["id"] for row in listing.calendars(tx) if row["roles"] and row["state"] != "disabled"]
    for number, calendar_id in enumerate(wanted, start=1):
        with suppress(ConnectorError, VaultError, NotYet):  # the examination says so, or a worker has just read it
            pull(world.accounts, calendar_id, clock=world.clock)
        tell(number, len(wanted))


@contextmanager
def progress() -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """Bars on a terminal, silence elsewhere: a title gives a function to be told ``(done, total)``."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal) as bars:

        def start(title: str) -> Callable[[int, int], None]:
            task = bars.add_task(title, total=None)
            return lambda done, total: bars.update(task, completed=done, total=total)

        yield start
