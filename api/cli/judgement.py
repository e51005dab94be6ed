"""Keys, pauses, reviews and the outbox: what a human decides."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from api import keys, reviewing, scopes
from api.cli.common import AsJson, fail, group, open_for_verb, out, record, show
from ledger import outbox

app = typer.Typer()
tokens = group("Keys to the admin API.")
reviews = group("What asks for a human.")
outboxes = group("What is still to be done, and what failed.")


@tokens.command("create")
def create_token(
    scope: Annotated[str, typer.Option(help="admin, read or operator:SLUG")],
    name: Annotated[str, typer.Option(help="what it is for")],
    expires: Annotated[datetime | None, typer.Option(help="UTC; opens nothing from then on")] = None,
) -> None:
    """Print a new token, once. Example: slotledger token create --scope admin --name ops --expires 2027-01-01"""
    expires_at = expires.replace(tzinfo=UTC) if expires else None
    with open_for_verb() as world, world.database.transaction() as tx:
        token = keys.create_token(tx, name=name, scope=scope, now=world.clock(), expires_at=expires_at)
        after = {"name": name, "scope": scope, "expires_at": expires_at}
        record(world, tx, "token.made", f"token:{keys.id_of(tx, token)}", after=after)
    typer.echo(token)


@tokens.command("list")
def list_tokens(as_json: AsJson = False) -> None:
    """Names, scopes and dates; the tokens themselves are not stored. Example: slotledger token list"""
    with open_for_verb() as world, world.database.reading() as tx:
        rows = keys.tokens(tx)
    show(rows, as_json, ["id", "name", "scope", "created_at", "expires_at", "revoked_at"])


@tokens.command("revoke")
def revoke_token(token_id: Annotated[int, typer.Argument(metavar="ID")]) -> None:
    """From now on it opens nothing. Example: slotledger token revoke 3"""
    with open_for_verb() as world, world.database.transaction() as tx:
        before = keys.shown(tx, token_id)
        keys.revoke_token(tx, token_id, now=world.clock())
        record(world, tx, "token.revoked", f"token:{token_id}", before=before, after=keys.shown(tx, token_id))
    out.print("Done.")


@app.command()
def pause(
    scope: Annotated[str, typer.Argument(help="global, operator:o, service:o/s, slot:ID or booking:ID")],
    automation: Annotated[
        list[str] | None, typer.Option(help="cancel, move, promote, no_show, remind, push; all if left out")
    ] = None,
    reason: Annotated[str, typer.Option(help="for those who wonder")] = "",
    until: Annotated[datetime | None, typer.Option(help="UTC; ends by itself then")] = None,
) -> None:
    """Let automation wait. Example: slotledger pause operator:anna --automation cancel --reason 'calendar is being moved'"""
    with open_for_verb() as world, world.database.transaction() as tx:
        pause_id = scopes.pause(
            tx, scopes.EVERYBODY, scope=scope, automations=automation or ["all"], reason=reason,
            until=until.replace(tzinfo=UTC) if until else None, now=world.clock(),
        )  # fmt: skip
        after = {"scope": scope, "automations": automation or ["all"], "until": until and until.isoformat()}
        record(world, tx, "pause.begun", f"pause:{pause_id}", operator_id=scopes.owner(tx, pause_id), after=after)
    out.print(f"Pause {pause_id} is in force; slotledger resume {pause_id} ends it.")


@app.command()
def pauses(as_json: AsJson = False) -> None:
    """Pauses in force. Example: slotledger pauses --json"""
    with open_for_verb() as world, world.database.reading() as tx:
        rows = [scopes.named(tx, row) for row in scopes.listing(tx, scopes.EVERYBODY, now=world.clock())]
    show(rows, as_json, ["id", "scope", "automations", "reason", "until"])


@app.command()
def resume(
    pause_id: Annotated[int, typer.Argument(metavar="ID")],
    preview: Annotated[bool, typer.Option("--preview", help="only show what waits")] = False,
    discard: Annotated[list[int] | None, typer.Option(help="drop this message; several times")] = None,
    as_json: AsJson = False,
) -> None:
    """Go on; what waited runs in its order. Example: slotledger resume 3 --preview"""
    with open_for_verb() as world:
        if preview:
            with world.database.reading() as tx:
                rows = scopes.preview(tx, scopes.EVERYBODY, pause_id, now=world.clock())
            show(rows, as_json, ["id", "kind", "slot_id", "would"])
            return
        with world.database.transaction() as tx:
            dropped = scopes.resume(tx, scopes.EVERYBODY, pause_id, discard=discard or [], now=world.clock())
            after = {"discarded": [row["id"] for row in dropped]}
            record(world, tx, "pause.ended", f"pause:{pause_id}", operator_id=scopes.owner(tx, pause_id), after=after)
    of_it = ", ".join(str(i) for i in after["discarded"])
    out.print(f"Pause {pause_id} is over; dropped: {of_it}." if of_it else f"Pause {pause_id} is over.")


@reviews.command("list")
def list_reviews(as_json: AsJson = False) -> None:
    """What asks for a human. Example: slotledger reviews list"""
    with open_for_verb() as world, world.database.reading() as tx:
        rows = reviewing.listing(tx, scopes.EVERYBODY, state="open")
    show(rows, as_json, ["id", "kind", "detail", "choices", "created_at"])


@reviews.command("approve")
def approve_review(
    review_id: Annotated[int, typer.Argument(metavar="ID")],
    choice: Annotated[str, typer.Option(help="one of its choices; the first if left out")] = "",
) -> None:
    """Example: slotledger reviews approve 4 --choice follow"""
    with open_for_verb() as world, world.database.transaction() as tx:
        done = reviewing.approve(tx, world.terms, scopes.EVERYBODY, review_id, choice, now=world.clock())
        after = {"kind": done["kind"], "choice": done["choice"]}
        record(
            world, tx, "review.approved", f"review:{review_id}", operator_id=done["operator_id"] or None, after=after
        )
    out.print("Done.")


@reviews.command("dismiss")
def dismiss_review(review_id: Annotated[int, typer.Argument(metavar="ID")]) -> None:
    """Example: slotledger reviews dismiss 4"""
    with open_for_verb() as world, world.database.transaction() as tx:
        done = reviewing.dismiss(tx, world.terms, scopes.EVERYBODY, review_id, now=world.clock())
        after = {"kind": done["kind"]}
        record(
            world, tx, "review.dismissed", f"review:{review_id}", operator_id=done["operator_id"] or None, after=after
        )
    out.print("Done.")


@outboxes.command("list")
def list_outbox(
    state: Annotated[
        Literal["waiting", "queued", "running", "done", "parked", "discarded"] | None,
        typer.Option(help="what is still to be done or was parked if left out"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Example: slotledger outbox list --state parked"""
    with open_for_verb() as world, world.database.reading() as tx:
        rows = outbox.listing(tx, state=state or "")
    show(rows, as_json, ["id", "kind", "state", "attempts", "not_before", "last_error"])


@outboxes.command("retry")
def retry_outbox(message_id: Annotated[int, typer.Argument(metavar="ID")]) -> None:
    """Example: slotledger outbox retry 17"""
    with open_for_verb() as world, world.database.transaction() as tx:
        changed = outbox.retry(tx, message_id, now=world.clock())
        if changed:
            record(world, tx, "outbox.retried", f"outbox:{message_id}")
    if not changed:
        fail("only what waits or is parked can be tried again", 1)


@outboxes.command("park")
def park_outbox(message_id: Annotated[int, typer.Argument(metavar="ID")]) -> None:
    """Example: slotledger outbox park 17"""
    with open_for_verb() as world, world.database.transaction() as tx:
        changed = outbox.park(tx, message_id, why="parked by hand", now=world.clock())
        if changed:
            record(world, tx, "outbox.parked", f"outbox:{message_id}")
    if not changed:
        fail("only what is still to be done can be parked", 1)
