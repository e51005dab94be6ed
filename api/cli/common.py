"""What every verb needs: settings, an open world, and how results and failures are shown."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.wire import wire
from ledger import audit, observe
from ledger.audit import Actor
from ledger.db import Tx
from ledger.settings import Settings, load
from workers.opening import open_world
from workers.world import World

out = Console()
err = Console(stderr=True)
AsJson = Annotated[bool, typer.Option("--json", help="machine-readable")]


def group(help_text: str) -> typer.Typer:
    """A verb with verbs of its own."""
    return typer.Typer(no_args_is_help=True, help=help_text)


def fail(text: str, code: int) -> NoReturn:
    """One line on stderr, and the end."""
    err.print(f"slotledger: {text}", style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)


def read_settings() -> Settings:
    """Raises `BadSettings`."""
    settings = load()
    observe.configure(settings.log_format)
    return settings


@contextmanager
def open_for_verb() -> Iterator[World]:
    """The deployment, for as long as the verb takes."""
    world = open_world(read_settings())
    try:
        yield world
    finally:
        world.close()


def by_hand() -> Actor:
    """Whoever runs this verb, as the machine knows them."""
    try:
        return Actor("cli", getpass.getuser())
    except (KeyError, OSError):
        return Actor("cli", "unknown")  # a container whose user has no name


def record(world: World, tx: Tx, action: str, target: str, **more: Any) -> None:
    """Write down what this verb changes, in its transaction. more: as `audit.record`."""
    audit.record(tx, by_hand(), action, target, now=world.clock(), **more)


def noted(world: World, action: str, noun: str, **after: Any) -> Callable[[Tx, int], None]:
    """The same for what `Accounts` stores: to be handed to it."""
    return lambda tx, row_id: record(world, tx, action, f"{noun}:{row_id}", after=after)


def show(rows: list[dict[str, Any]], as_json: bool, columns: list[str]) -> None:
    """A table, or JSON."""
    if as_json:
        typer.echo(json.dumps(wire(rows)))
        return
    table = Table(*columns)
    for row in rows:
        # As texts: names of calendars may hold brackets, which would be read as markup.
        table.add_row(*(Text(_cell(wire(row[c]))) for c in columns))
    out.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_cell(each)}" for key, each in value.items())
    return ", ".join(map(_cell, value)) if isinstance(value, list | tuple) else str(value)
