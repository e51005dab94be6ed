"""The command line ``slotledger`` (INTERFACE §3). Each verb is thin: it calls what the other doors call."""

from __future__ import annotations

import re

import typer
from sqlalchemy.exc import SQLAlchemyError

from api.cli import books, calendars, judgement, people, privacy, processes, upkeep
from api.cli.common import fail
from booking.errors import BookingError
from connectors.errors import AddressRefused, ConnectorError
from ledger.backup import BackupError
from ledger.identity.errors import IdentityError
from ledger.settings import BadSettings
from ledger.vault import VaultError
from sync.errors import SyncError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Appointments from the calendar that people already use.",
)
for verbs in (processes, privacy, upkeep, calendars, judgement):
    app.add_typer(verbs.app)
for name, verbs_of in {
    "operator": books.operators,
    "service": books.services,
    "connect": calendars.connects,
    "calendar": calendars.calendars,
    "token": judgement.tokens,
    "user": people.users_verbs,
    "reviews": judgement.reviews,
    "outbox": judgement.outboxes,
}.items():
    app.add_typer(verbs_of, name=name)


def main() -> None:
    """Exit codes: 0 done, 1 failed, 2 bad usage. A failure is one line on stderr."""
    try:
        app()
    except BadSettings as error:
        fail(str(error), 2)
    except AddressRefused as error:
        fail(f"{error}; one in your own network needs SLOTLEDGER_ALLOW_PRIVATE_NETWORKS=true, for the service too", 1)
    except (BookingError, SyncError, ConnectorError, VaultError, BackupError, IdentityError) as error:
        fail(str(error), 1)
    except OSError as error:
        fail(str(error), 1)
    except SQLAlchemyError as error:
        said = str(error).splitlines()[0]
        if re.search(r"no such (table|column)|\.Undefined(Table|Column)\)", said):
            fail("the database is not at this version yet: slotledger migrate brings it there", 1)
        fail(f"the database: {said}", 1)
