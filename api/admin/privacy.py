"""What is kept of a client, and its erasure. The address travels in the body: paths stand in the logs of proxies."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter, Response
from pydantic import Field

from api import forgetting
from api.admin.common import CAUSE, REFUSALS, Act, Change, In, answer
from api.deps import Here
from api.security import Who
from booking.privacy import Erased
from ledger.db import Tx

router = APIRouter()


class ClientIn(In):
    """Who."""

    email: str = Field(min_length=3, max_length=254, description="the address they booked with, whatever its case")


class ErasureIn(ClientIn):
    """Who, and whether what is to come is given up for it."""

    cancel: bool = False


@router.post("/clients/export", responses=REFUSALS)
def export_client(body: ClientIn, here: Here, who: Who) -> Response:
    """Everything that is kept of them, as one document; empty lists for a stranger."""
    who.must_be_admin()
    return answer(forgetting.exported(here.database, body.email, now=here.now()))


@router.post("/clients/erase", responses=REFUSALS)
def erase_client(body: ErasureIn, here: Here, who: Who, act: Act) -> Response:
    """Erase them. Who has a booking to come or waits is refused with 409 `still_expected`, or cancelled first. With
    ``waits_for`` above 0 the mails about that go out first, and the erasure follows by itself. Repeating does nothing."""
    who.must_be_admin()
    now = here.now()

    def noted(tx: Tx, done: Erased) -> None:
        # Whom, must not be written down.
        act.record(tx, "client.erased", Change(tx, now, CAUSE, "client", after=asdict(done)))

    done = forgetting.erase(
        here.database, here.terms, body.email, cancel=body.cancel, mail_url=here.settings.mail_url, now=now,
        cause=CAUSE, noted=noted,
    )  # fmt: skip
    return answer(asdict(done))
