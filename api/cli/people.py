"""People who sign in."""

from __future__ import annotations

import secrets
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from api.cli.common import AsJson, fail, group, open_for_verb, out, record, show
from ledger.identity import passwords, users
from ledger.identity.errors import BadValue

users_verbs = group("People who sign in at /login.")
SHOWN = ("id", "email", "name", "role", "operator", "has_password", "has_codes")


@users_verbs.command("add")
def add_user(
    email: Annotated[str, typer.Argument(metavar="EMAIL")],
    role: Annotated[str, typer.Option(help="admin, read or operator:SLUG")],
    name: Annotated[str, typer.Option(help="as pages and records name them")] = "",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="read the password from standard input")
    ] = False,
    without_password: Annotated[
        bool, typer.Option("--without-password", help="with Google alone; or give one later by `user reset`")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="give the role to who is there; ends their sessions")
    ] = False,
) -> None:
    """Asks for the password. Example: slotledger user add anna@example.org --role operator:anna --name Anna"""
    with open_for_verb() as world:
        with world.database.reading() as tx:  # before anybody types a password
            address = users.normalized(email)
            users.parsed_role(tx, role)
            there = address in {person.email for person in users.listing(tx)}
        if there and not replace:
            raise BadValue("email", "in_use", f"there is a user {address} already")
        stored = "" if there or without_password else passwords.hashed(_password(address, password_stdin))
        with world.database.transaction() as tx:
            user_id = users.add(
                tx, email=email, role=role, name=name, password_hash=stored, now=world.clock(), replace=replace
            )
            record(world, tx, "user.changed" if there else "user.added", f"user:{user_id}", after={"role": role})
    out.print(f"{address} signs in at {world.settings.base_url}/login", soft_wrap=True, highlight=False)


@users_verbs.command("list")
def list_users(as_json: AsJson = False) -> None:
    """Example: slotledger user list --json"""
    with open_for_verb() as world, world.database.reading() as tx:
        rows = [{name: asdict(person)[name] for name in SHOWN} for person in users.listing(tx)]
    show(rows, as_json, list(SHOWN))


@users_verbs.command("remove")
def remove_user(email: Annotated[str, typer.Argument(metavar="EMAIL")]) -> None:
    """Signs them out and forgets them. Example: slotledger user remove anna@example.org"""
    with open_for_verb() as world, world.database.transaction() as tx:
        person = users.by_email(tx, email)
        users.remove(tx, person.id)
        record(world, tx, "user.removed", f"user:{person.id}")
    out.print("Done.")


@users_verbs.command("reset")
def reset_user(
    email: Annotated[str, typer.Argument(metavar="EMAIL")],
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="read the password from standard input")
    ] = False,
    made_up: Annotated[bool, typer.Option("--made-up", help="make up a password and print it")] = False,
) -> None:
    """A new password for who is locked out; codes, passkeys and linked accounts are forgotten, every session ends.
    Example: slotledger user reset anna@example.org --made-up"""
    with open_for_verb() as world:
        with world.database.reading() as tx:
            person = users.by_email(tx, email)
        password = secrets.token_urlsafe(12) if made_up else _password(person.email, password_stdin)
        stored = passwords.hashed(password)
        with world.database.transaction() as tx:
            users.reset(tx, person.id, password_hash=stored)
            record(world, tx, "user.reset", f"user:{person.id}")
    if made_up:
        typer.echo(password)
    else:
        out.print("Done.")


def _password(email: str, from_stdin: bool) -> str:
    """Typed twice, or one line of standard input. Raises `BadValue`."""
    if from_stdin or not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            fail("a password is needed on standard input", 2)
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    passwords.check_new(password, email=email)
    return password
