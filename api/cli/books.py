"""Operators and services."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.common import group, open_for_verb, out, record
from booking import setup
from booking.services import parse_toml

operators = group("Who can be booked.")
services = group("What can be booked.")


@operators.command("add")
def add_operator(
    slug: str,
    name: Annotated[str, typer.Option(help="as clients read it")],
    email: Annotated[str, typer.Option(help="where notices go")],
    timezone: Annotated[str, typer.Option(help="IANA zone of the working hours")],
    language: Annotated[str, typer.Option(help="of notices and calendar entries")] = "en",
) -> None:
    """Example: slotledger operator add anna --name "Anna Kovács" --email anna@example.org --timezone Europe/Budapest"""
    with open_for_verb() as world, world.database.transaction() as tx:
        owner = setup.add_operator(
            tx, slug, name=name, email=email, timezone=timezone, language=language, now=world.clock()
        )
        record(world, tx, "operator.added", f"operator:{slug}", operator_id=owner, after=setup.operator(tx, slug))
    out.print(f"{slug} can be given services and calendars now.")


@services.command("add")
def add_service(
    where: Annotated[str, typer.Argument(metavar="OPERATOR/SLUG")],
    file: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="a service.toml")],
    replace: Annotated[bool, typer.Option("--replace", help="change the service if it is there")] = False,
) -> None:
    """Example: slotledger service add anna/consultation --file service.toml"""
    operator, slash, slug = where.partition("/")
    if not slash:
        raise typer.BadParameter("OPERATOR/SLUG is needed", param_hint="OPERATOR/SLUG")
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file} is not written in UTF-8", param_hint="--file") from None
    spec = parse_toml(text)
    with open_for_verb() as world:
        with world.database.transaction() as tx:
            there = [s for s in setup.services(tx, operator) if s["slug"] == slug]
            setup.put_service(tx, operator, slug, spec, now=world.clock(), replace=replace)
            record(
                world, tx, "service.changed" if there else "service.added", f"service:{where}",
                operator_id=setup.operator_id(tx, operator), before=there[0] if there else None,
                after=setup.service(tx, operator, slug),
            )  # fmt: skip
        out.print(f"{world.settings.base_url}/{operator}/{slug}", soft_wrap=True)
