"""Another system is told of a booking's life by the running service, also when its plug is pulled in the middle.

Covers: workers.webhooks, api.admin.webhooks.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.receiver import Receiver, Told
from tests.support.service import Practice, practice, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(params=["embedded", "redis"])
def anna(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Practice]:
    with practice(tmp_path, "radicale", request.param) as made:
        yield made


def test_told_once_in_order_and_after_a_crash_by_the_same_name(anna: Practice) -> None:
    key = anna.service.cli("token", "create", "--scope", "operator:anna", "--name", "crm").strip()
    caller = {"Authorization": f"Bearer {key}"}
    events = ["booking.booked", "booking.rescheduled", "booking.cancelled"]
    held, answer = threading.Event(), threading.Event()

    def hold(_: Told) -> None:
        if not held.is_set():
            held.set()
            answer.wait(60)

    with Receiver(before=hold) as crm:
        body = {"url": crm.url, "operator": "anna", "events": events}
        made = anna.service.call("POST", "/admin/webhooks", json=body, headers=caller)
        assert made.status_code == 201, made.text
        token = anna.book(anna.starts()[3], "kata")["token"]
        assert held.wait(60)
        anna.service.kill()  # it has been told, and that isn't noted
        answer.set()
        anna.service.start()
        assert (
            anna.service.call("POST", f"/bookings/{token}/reschedule", json={"start": anna.starts()[8]}).status_code
            == 200
        )
        assert anna.service.call("POST", f"/bookings/{token}/cancel").status_code == 200
        wait_until(lambda: "booking.cancelled" in crm.types, 180)
        assert crm.types == ["booking.booked", *events]
        first, again = crm.told[:2]
        assert (first.id, first.body) == (again.id, again.body)
        assert len({call.id for call in crm.told}) == 3
        assert all(call.is_signed_by(made.json()["secret"]) for call in crm.told)
        told = [call.json["data"]["cursor"] for call in crm.told[1:]]

        def feed() -> list[int]:
            rows = anna.service.call("GET", "/admin/events", headers=caller).json()["items"]
            return [row["cursor"] for row in rows if row["type"] in events]

        wait_until(lambda: feed() == told)
