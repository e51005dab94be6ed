"""Exporting and erasing a client for the doors: one transaction a step, and the mail folder where there is one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from booking import privacy
from booking.privacy import Erased
from booking.terms import Terms
from connectors.mail.folder import MailFolder
from ledger.db import Database, Tx


def exported(database: Database, email: str, *, now: datetime) -> dict[str, Any]:
    """What `booking.privacy.export` tells, from one consistent view."""
    with database.reading() as tx:
        return privacy.export(tx, email, now=now)


def erase(
    database: Database,
    terms: Terms,
    email: str,
    *,
    cancel: bool,
    mail_url: str,
    now: datetime,
    cause: str,
    noted: Callable[[Tx, Erased], None],
) -> Erased:
    """Erase a client. cancel: give up first what is to come. noted: writes down who did it, in the transaction that
    does it. Repeating does nothing. Raises `StillExpected`.

    Mail that a ``file:`` folder keeps goes at once; the one about cancellations only with a second call, because it is
    written after this one.
    """  # fmt: skip
    while cancel:
        with database.transaction() as tx:
            if not privacy.give_up(tx, terms, email, now=now, cause=cause):
                break
    with database.transaction() as tx:
        done = privacy.erase(tx, terms, email, now=now, cause=cause)
        noted(tx, done)
    if mail_url.startswith("file:"):
        MailFolder.from_url(mail_url).forget(email)
    return done
