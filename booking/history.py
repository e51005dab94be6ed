"""What a client's past with an operator says: missed appointments, by address. It asks for a look, and never refuses."""

from __future__ import annotations

import sqlalchemy as sa

from booking.services import ServiceSpec
from booking.states import Status
from booking.tables import Booking
from ledger.db import Tx


def normal(address: str) -> str:
    """An address as one person has it: in small letters, without what follows a plus sign."""
    local, _, domain = address.lower().rpartition("@")
    return f"{local.partition('+')[0] or local}@{domain}"


def no_shows(tx: Tx, operator_id: int, address: str) -> int:
    """How many appointments with this operator they missed; what was marked by mistake and undone doesn't count."""
    local, _, domain = normal(address).rpartition("@")
    like = sa.func.lower(Booking.client_email).like(f"{_plain(local)}%@{_plain(domain)}", escape="\\")
    missed = sa.select(Booking.client_email).where(
        Booking.operator_id == operator_id, Booking.status == sa.literal_column(f"'{Status.NO_SHOW}'"), like
    )
    return sum(normal(each) == normal(address) for each in tx.execute(missed).scalars())


def asks_for_approval(tx: Tx, spec: ServiceSpec, operator_id: int, address: str) -> bool:
    """Does the service want to look first at somebody who missed that many?"""
    most = spec.approval_after_no_shows
    return most > 0 and no_shows(tx, operator_id, address) >= most


def _plain(text: str) -> str:
    for sign in ("\\", "%", "_"):
        text = text.replace(sign, f"\\{sign}")
    return text
