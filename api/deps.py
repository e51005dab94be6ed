"""What every door needs, built once by who starts the service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request

from booking.terms import Terms
from ledger import clock
from ledger.db import Database
from ledger.settings import Settings
from ledger.vault import Vault
from sync.accounts import Accounts


@dataclass(frozen=True, slots=True)
class Site:
    """One running deployment, seen from its doors. demo_mailbox: folder of the demo's mail, None in real life.

    Each route opens its own transaction with a ``with`` block: the commit comes before the answer (P2).
    """

    settings: Settings
    database: Database
    terms: Terms
    vault: Vault
    accounts: Accounts
    now: Callable[[], datetime] = clock.now
    demo: bool = False


def site_of(request: Request) -> Site:
    """The deployment that answers this request."""
    site: Site = request.app.state.site
    return site


Here = Annotated[Site, Depends(site_of)]
