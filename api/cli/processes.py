"""Verbs that run the service, or look at it as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from api.cli.common import AsJson, open_for_verb, out, read_settings, show
from workers.processes import run_relay, run_worker

app = typer.Typer()


HERE = "127.0.0.1"
Host = Annotated[str, typer.Option(help="address to listen on")]
Port = Annotated[
    int, typer.Option(envvar="PORT", min=0, max=65535, help="port to listen on; that of BASE_URL if left out")
]
DemoPort = Annotated[int, typer.Option(envvar="PORT", min=1, max=65535, help="port to listen on")]


@app.command()
def serve(host: Host = HERE, port: Port = 0) -> None:
    """Everything in one process: doors, workers, relay, ticker. Example: slotledger serve --port 8000

    With another port and no BASE_URL, links lead to this machine at that port.
    """
    from api import serving  # the doors are heavy: only who opens them loads them

    settings = serving.linked(read_settings(), port)
    serving.serve_embedded(settings, host=host, port=port or serving.port_of(settings))


@app.command()
def api(host: Host = HERE, port: Port = 0) -> None:
    """The doors alone. Example: slotledger api --port 8000"""
    from api import serving

    settings = read_settings()
    serving.serve_api(settings, host=host, port=port or serving.port_of(settings))


@app.command()
def worker(
    processes: Annotated[int, typer.Option(help="processes")] = 1,
    threads: Annotated[int, typer.Option(help="threads in each")] = 8,
) -> None:
    """Do what is to be done later; needs a broker. Example: slotledger worker --threads 8"""
    raise typer.Exit(run_worker(read_settings(), processes, threads))


@app.command()
def relay() -> None:
    """Hand work to the broker and watch the clock; may run twice. Example: slotledger relay"""
    raise typer.Exit(run_relay(read_settings()))


@app.command()
def migrate() -> None:
    """Bring the database to this version's tables. Example: slotledger migrate"""
    from ledger.migrate import migrate as migrate_database

    with open_for_verb() as world:
        migrate_database(world.database, now=world.clock())
    out.print("The database is up to date.")


@app.command()
def demo(
    port: DemoPort = 8000, reset: Annotated[bool, typer.Option("--reset", help="forget the demo's world first")] = False
) -> None:
    """A seeded world to try everything in, until Ctrl-C. Example: slotledger demo --port 8123"""
    from api.demo import run_demo  # what only the demo needs is loaded only for it

    run_demo(Path("var"), port=port, reset=reset)


@app.command()
def settings(as_json: AsJson = False) -> None:
    """Every setting and where it comes from; secrets are masked. Example: slotledger settings --json"""
    rows = [{"name": n, "value": v, "origin": o} for n, v, o in read_settings().shown()]
    show(rows, as_json, ["name", "value", "origin"])


@app.command()
def openapi() -> None:
    """The API's description as JSON. Example: slotledger openapi > openapi.json"""
    from api.app import description

    typer.echo(json.dumps(description(), indent=1, sort_keys=True))
