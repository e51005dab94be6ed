"""What keeps a deployment well: new keys, copies of everything, and a look whether all is as it should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from api.cli.common import err, fail, open_for_verb, out, record
from ledger import backup, sealed
from ledger.sealed import Rotation

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
    out.print(f"{rows} rows restored.")
    if unknown:
        fail(f"{unknown} secrets can't be opened with this SECRET_KEY: put the old one back, or connect again", 1)


@contextmanager
def progress() -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """Bars on a terminal, silence elsewhere: a title gives a function to be told ``(done, total)``."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal) as bars:

        def start(title: str) -> Callable[[int, int], None]:
            task = bars.add_task(title, total=None)
            return lambda done, total: bars.update(task, completed=done, total=total)

        yield start
