"""Random days on which the practice changes its rules meanwhile (hours, seats, limits, notice, services on and off), and
clients their address and what they want to be reminded of."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from booking import address, reminders, setup
from tests.support.desk import SPEC, TERMS
from tests.support.random_days import SERVICES, SPECS, RandomDays

PLANS = st.sampled_from(["08:00-12:00", "08:00-13:00", "09:00-12:00", "08:00-10:00"])


class RandomRules(RandomDays):
    """The same practice, run by somebody who can't make up their mind."""

    def _begin(self) -> None:
        """Somebody waits for hours that there aren't yet."""
        super()._begin()
        for service in SPECS:
            self.places.append(self.desk.join("client7", {"start": self.desk.at(12, 1)}, service))

    @rule(
        service=SERVICES,
        plan=PLANS,
        seats=st.sampled_from([2, 3, 4]),
        limit=st.sampled_from([0, 0, 2]),
        notice=st.sampled_from([0, 0, 60]),
    )
    def service_changes(self, service: str, plan: str, seats: int, limit: int, notice: int) -> None:
        """What opens by it is for the line first; nobody is put out."""
        rules: dict[str, Any] = {"hours": {day: [plan] for day in SPEC["hours"]}, "limit_per_day": limit}
        rules |= {"notice_minutes": notice} | ({"capacity": seats} if service == "group" else {})
        before = len(self._live())
        with self.desk.database.transaction() as tx:
            spec = {**SPEC, **SPECS[service], **rules}
            setup.put_service(tx, "anna", service, spec, now=self.desk.now, replace=True)
        assert len(self._live()) == before

    @rule(service=SERVICES, active=st.booleans())
    def service_is_switched(self, service: str, active: bool) -> None:
        """Off and on again; who is booked or waits stays."""
        with self.desk.database.transaction() as tx:
            setup.change_service(tx, "anna", service, spec=None, active=active, now=self.desk.now)

    @precondition(lambda self: self.bookings)
    @rule(data=st.data(), number=st.integers(0, 3))
    def address_changes(self, data: st.DataObject, number: int) -> None:
        """The client has another mailbox: the invitation goes there, and what was said from the old one is asked anew."""
        booking, email = data.draw(st.sampled_from(self.bookings)), f"other{number}@example.org"
        before = self.desk.seen(booking)
        self.attempt(self.in_one, address.change_address, TERMS, booking, email, by="test")
        after = self.desk.seen(booking)
        assert (after.uid, after.slot_id, after.status) == (before.uid, before.slot_id, before.status)
        assert after.revision == before.revision + (after.client_email != before.client_email)

    @precondition(lambda self: self.bookings)
    @rule(data=st.data(), reach=st.sampled_from([*reminders.REACHES, ""]))
    def reminders_are_switched(self, data: st.DataObject, reach: str) -> None:
        """The client wants none of this booking, none at all, or all of them again."""
        booking = data.draw(st.sampled_from(self.bookings))
        if reach:
            self.in_one(reminders.turn_off, booking, reach)
        else:
            self.in_one(reminders.turn_on, booking)

    def _live(self) -> list[Any]:
        with self.desk.database.reading() as tx:
            return self.live(tx)
