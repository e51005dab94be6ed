"""A small practice in the books: rows that letters are about, without the commands that make them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from booking.catalogue import Offering
from booking.letters import Matter
from booking.services import ServiceSpec, rules
from booking.tables import Booking, Offer, Service, WaitlistEntry
from booking.terms import Terms
from connectors.model import Period
from ledger.db import Tx
from ledger.tables import Delivery, Operator, Slot

TERMS = Terms("https://book.example", "bookings@book.example")
SPEC: dict[str, Any] = {
    "title": "Consultation",
    "place": "Main street 1",
    "price": "80 €",
    "texts": {"hu": {"title": "Konzultáció"}, "ar": {"title": "استشارة", "place": "الشارع الرئيسي"}},
    "fields": [{"name": "phone", "type": "phone", "label": {"en": "Phone", "de": "Telefon"}}, {"name": "first_time", "type": "consent"}],
}  # fmt: skip


def offering_with(language: str = "en", **changes: Any) -> Offering:
    """Anna's consultation, or with other keys."""
    spec = ServiceSpec.model_validate(SPEC | changes)
    return Offering(
        operator_id=1,
        operator_slug="anna",
        operator_name="Anna Kovács",
        operator_email="anna@practice.example",
        operator_language=language,
        timezone="Europe/Budapest",
        service_id=1,
        slug="consultation",
        active=True,
        spec=spec,
        rules=rules(1, "consultation", spec, "Europe/Budapest"),
    )


def matter_at(start: datetime, language: str = "en", **changes: Any) -> Matter:
    """What a letter about Kata's booking at that time may speak of."""
    values: dict[str, Any] = {
        "offering": offering_with(language),
        "booking_id": "b1",
        "token": "kata-token",
        "name": "Kata Nagy",
        "email": "kata@example.org",
        "zone": "America/New_York",
        "language": language,
        "period": Period(start, start + timedelta(minutes=50)),
        "waits_for": "approval",
        "until": start - timedelta(hours=2),
        "proposed": Period(start + timedelta(days=1), start + timedelta(days=1, minutes=50)),
        "answers": {"phone": "+36 1 234 5678", "first_time": True},
    }
    return Matter(**(values | changes))


class Practice:
    """Anna and one service of hers, stored. All its methods write in the transaction it was made with."""

    def __init__(self, tx: Tx, now: datetime, *, language: str = "en", spec: Mapping[str, Any] | None = None) -> None:
        self.tx, self.now = tx, now
        self.start = now + timedelta(days=7)
        self.operator_id = self._one(
            sa.insert(Operator)
            .values(
                slug="anna", name="Anna Kovács", email="anna@practice.example", timezone="Europe/Budapest",
                language=language, created_at=now,
            )
            .returning(Operator.id)
        )  # fmt: skip
        self.service_id = self._one(
            sa.insert(Service)
            .values(operator_id=self.operator_id, slug="consultation", spec=dict(spec or SPEC), created_at=now)
            .returning(Service.id)
        )

    def slot(self, capacity: int = 1) -> int:
        """A slot a week from now."""
        end = self.start + timedelta(minutes=50)
        return self._one(
            sa.insert(Slot)
            .values(
                operator_id=self.operator_id, service_id=self.service_id, starts_at=self.start, ends_at=end,
                block_start=self.start, block_end=end, capacity=capacity, taken=0, created_at=self.now,
            )
            .returning(Slot.id)
        )  # fmt: skip

    def booking(self, booking_id: str = "b1", *, slot_id: int = 1, **changes: Any) -> str:
        """Kata's confirmed booking, or with other columns."""
        values: dict[str, Any] = {
            "id": booking_id, "token": f"token-{booking_id}", "operator_id": self.operator_id,
            "service_id": self.service_id, "slot_id": slot_id, "seats": 1, "status": "confirmed",
            "starts_at": self.start, "ends_at": self.start + timedelta(minutes=50), "client_name": "Kata Nagy",
            "client_email": "kata@example.org", "client_timezone": "America/New_York", "language": "en", "answers": {},
            "revision": 0, "uid": f"{booking_id}@book.example", "organizer_tag": f"tag-{booking_id}",
            "created_at": self.now, "updated_at": self.now,
        }  # fmt: skip
        self.tx.execute(sa.insert(Booking).values(**(values | changes)))
        return booking_id

    def change(self, booking_id: str, **changes: Any) -> None:
        """Other columns."""
        self.tx.execute(sa.update(Booking).where(Booking.id == booking_id).values(**changes))

    def invited(self, booking_id: str, state: str = "handed_over", method: str = "REQUEST") -> None:
        """A mail was prepared for the client; state: what became of it. method: ``""`` for words alone."""
        self.tx.execute(
            sa.insert(Delivery).values(
                message_id=f"<{booking_id}@x>", booking_id=booking_id, operator_id=self.operator_id, audience="client",
                kind="booked", recipient="kata@example.org", method=method, state=state, created_at=self.now,
            )
        )  # fmt: skip

    def waiting(self, **changes: Any) -> int:
        """Jon's place in line."""
        day = self.start.date().isoformat()
        values: dict[str, Any] = {
            "token": f"line-{changes.get('client_email', 'jon')}", "operator_id": self.operator_id,
            "service_id": self.service_id, "first_date": day, "last_date": day, "client_name": "Jon Little",
            "client_email": "jon@example.org", "client_timezone": "Europe/London", "language": "en", "answers": {},
            "created_at": self.now, "updated_at": self.now,
        }  # fmt: skip
        return self._one(sa.insert(WaitlistEntry).values(**(values | changes)).returning(WaitlistEntry.id))

    def offer(self, entry_id: int, status: str = "open") -> int:
        """A seat kept for somebody waiting."""
        return self._one(
            sa.insert(Offer)
            .values(
                entry_id=entry_id, slot_id=1, starts_at=self.start, ends_at=self.start + timedelta(minutes=50),
                status=status, expires_at=self.now + timedelta(minutes=30), created_at=self.now,
            )
            .returning(Offer.id)
        )  # fmt: skip

    def _one(self, statement: Any) -> int:
        return int(self.tx.execute(statement).scalar_one())
