"""What a human may answer where mail or people failed, and what becomes of it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.errors import Refused
from ledger import deliveries, outbox, reviews
from ledger.db import Database
from ledger.messages import NoShowTagged, SendMail
from ledger.tables import OutboxMessage, SlotEvent
from tests.support.browser import signed_in
from tests.support.doors import Doors, open_doors


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    return open_doors(sqlite, talk={}, group={"capacity": 3})


def park_mails(doors: Doors, *, tried: bool) -> list[int]:
    """Every mail that is on its way is parked, as the worker or a person does it; their ids."""
    desk = doors.desk
    with desk.database.transaction() as tx:
        rows = outbox.listing(tx, kind="SendMail", operator_id=desk.operator_id, state="waiting")
        for row in rows:
            if tried:
                mail = deliveries.prepare(
                    tx, message_id=f"<{row['id']}@x>", message=b"bytes", recipient="kata@example.org",
                    booking_id=row["body"]["booking_id"], operator_id=desk.operator_id, audience=row["body"]["audience"],
                    kind=row["body"]["about"], sequence=row["body"]["revision"], now=desk.now,
                )  # fmt: skip
                deliveries.stuck(tx, mail.id, reply="550 no")
                tx.execute(sa.update(OutboxMessage).where(OutboxMessage.id == row["id"]).values(attempts=1))
            outbox.park(tx, row["id"], why="550 no", now=desk.now)
    return sorted(row["id"] for row in rows)


def states(doors: Doors, ids: list[int]) -> set[str]:
    with doors.desk.database.reading() as tx:
        return set(tx.execute(sa.select(OutboxMessage.state).where(OutboxMessage.id.in_(ids))).scalars())


def ask(doors: Doors, kind: str, **more: Any) -> int:
    with doors.desk.database.transaction() as tx:
        reviews.ask(tx, kind, f"{kind}:1", now=doors.now(), operator_id=doors.desk.operator_id, **more)
    (review,) = doors.admin("GET", "/reviews").json()["items"]
    return int(review["id"])


def test_mail_that_could_not_be_sent_is_sent_again_by_one_answer(doors: Doors) -> None:
    doors.desk.book(doors.desk.at(9, 1), "kata")
    ids = park_mails(doors, tried=True)
    review = ask(doors, "unsent_mail")
    assert doors.admin("GET", f"/reviews/{review}").json()["choices"] == ["retry"]
    wrong = doors.admin("POST", f"/reviews/{review}/approve", json={"choice": "burn"})
    assert (wrong.status_code, states(doors, ids)) == (422, {"parked"})
    assert doors.admin("POST", f"/reviews/{review}/approve", json={"choice": "retry"}).json()["state"] == "approved"
    assert len(ids) > 1
    assert states(doors, ids) == {"waiting"}


def test_mail_that_was_parked_by_hand_or_is_another_operators_stays(doors: Doors) -> None:
    doors.desk.book(doors.desk.at(9, 1), "kata")
    by_hand = park_mails(doors, tried=False)
    with doors.desk.database.transaction() as tx:
        assert outbox.retry_all(tx, "unsent_mail", doors.desk.operator_id, now=doors.now()) == 0
        assert outbox.retry_all(tx, "unsent_mail", 0, now=doors.now()) == 0
    assert states(doors, by_hand) == {"parked"}
    doors.desk.book(doors.desk.at(10, 1), "lili")
    park_mails(doors, tried=True)
    with doors.desk.database.transaction() as tx:
        assert outbox.retry_all(tx, "unsent_mail", doors.desk.operator_id + 1, now=doors.now()) == 0
        outbox.append(tx, SendMail("0", 0, "test", "operator"), now=doors.now())
        assert outbox.retry_all(tx, "unsent_mail", doors.desk.operator_id, now=doors.now()) > 0
    assert states(doors, by_hand) == {"parked"}


def give_up_writes(doors: Doors) -> list[int]:
    """Every calendar write that is on its way fails for good, as in the worker; their ids."""
    given_up = []
    with doors.desk.database.transaction() as tx:
        for message_id, kind in outbox.lease(tx, now=doors.now()):
            if kind == "PushEvent":
                leased = outbox.begin(tx, message_id, now=doors.now())
                assert leased is not None
                assert outbox.fail(tx, leased, Refused("403 read only"), now=doors.now()) is None
                given_up.append(message_id)
    return given_up


def test_calendar_writes_that_were_given_up_are_tried_again_by_one_answer(doors: Doors) -> None:
    for hour, who in ((9, "kata"), (10, "lili")):
        doors.desk.book(doors.desk.at(hour, 1), who)
    ids = give_up_writes(doors)
    (review,) = doors.admin("GET", "/reviews", params={"kind": "unwritten_event"}).json()["items"]
    assert (review["choices"], review["detail"]["reply"]) == (["retry"], "403 read only")
    wrong = doors.admin("POST", f"/reviews/{review['id']}/approve", json={"choice": "burn"})
    assert (wrong.status_code, states(doors, ids)) == (422, {"parked"})
    done = doors.admin("POST", f"/reviews/{review['id']}/approve").json()
    assert (done["state"], done["choice"]) == ("approved", "retry")
    assert (len(ids), states(doors, ids)) == (2, {"waiting"})
    assert doors.admin("GET", f"/reviews/{review['id']}").json()["resolved_by"] == "admin"


def test_the_desk_says_which_appointment_and_what_the_server_said_and_tries_again(doors: Doors) -> None:
    doors.desk.book(doors.desk.at(9, 1), "kata")
    ids = give_up_writes(doors)
    anna = signed_in(doors, "anna", "operator:anna")
    page = anna.get("/operator/reviews").text
    for shown in ("Entries could not be written into the calendar", "Kata", "403 read only", "Try again", "Put away"):
        assert shown in page
    (review,) = set(re.findall(r"/reviews/(\d+)", page))
    answer = anna.post(f"/operator/reviews/{review}", data={"approve:retry": "yes"})
    assert answer.headers["location"].endswith("did=decided")
    assert states(doors, ids) == {"waiting"}
    assert "Nothing waits for your decision." in anna.get("/operator/reviews").text


@pytest.mark.parametrize("how", ["dismissed", "tried again"])
def test_calendar_writes_stay_where_they_are_or_end_the_question_by_themselves(doors: Doors, how: str) -> None:
    doors.desk.book(doors.desk.at(9, 1), "kata")
    ids = give_up_writes(doors)
    (review,) = doors.admin("GET", "/reviews").json()["items"]
    if how == "dismissed":
        assert doors.admin("POST", f"/reviews/{review['id']}/dismiss").json()["state"] == "dismissed"
        assert states(doors, ids) == {"parked"}
    else:
        for message_id in ids:
            assert doors.admin("POST", f"/outbox/{message_id}/retry").status_code == 200
        ended = doors.admin("GET", f"/reviews/{review['id']}").json()
        assert (ended["state"], ended["resolved_by"]) == ("approved", "tried again")
    assert doors.admin("GET", "/reviews").json()["items"] == []


def test_a_booking_whose_client_hears_nothing_is_cancelled_like_any_other(doors: Doors) -> None:
    start = doors.desk.at(9, 1)
    booking = doors.desk.book(start, "kata")
    vera = doors.desk.join("vera", {"start": start})
    review = ask(doors, "failed_address", booking_id=booking, slot_id=doors.desk.seen(booking).slot_id)
    assert doors.admin("GET", f"/reviews/{review}").json()["choices"] == ["cancel"]
    assert doors.admin("POST", f"/reviews/{review}/approve").json()["choice"] == "cancel"
    view = doors.desk.view(booking, "admin")
    assert (view["status"], view["timeline"][-1]["cause"]) == ("cancelled", "review:admin")
    doors.desk.work()
    assert doors.desk.place(vera)["status"] == "promoted"


def test_a_bad_address_in_the_line_can_only_be_put_away(doors: Doors) -> None:
    review = ask(doors, "failed_address")
    assert doors.admin("GET", f"/reviews/{review}").json()["choices"] == []
    assert doors.admin("POST", f"/reviews/{review}/approve", json={"choice": "cancel"}).status_code == 422
    assert doors.admin("POST", f"/reviews/{review}/dismiss").status_code == 200


def test_who_of_a_group_did_not_come_is_a_button_with_their_name(doors: Doors) -> None:
    desk = doors.desk
    kata, lili = (desk.book(desk.at(9), who, "group") for who in ("kata", "lili"))
    desk.now = desk.at(10.5)
    desk.work()
    assert desk.seen(kata).status == "completed"
    with desk.database.transaction() as tx:
        row = tx.execute(sa.update(SlotEvent).values(no_show=True).returning(SlotEvent.id, SlotEvent.slot_id)).one()
    desk.say(NoShowTagged(row.id, row.slot_id))
    anna = signed_in(doors, "anna", "operator:anna")
    page = anna.get("/operator/reviews").text
    assert re.search(rf'name="approve:{kata}"[^>]*>Did not come: <bdi>Kata</bdi>', page)
    assert re.search(rf'name="approve:{lili}"[^>]*>Did not come: <bdi>Lili</bdi>', page)
    (review,) = set(re.findall(r"/reviews/(\d+)", page))
    answer = anna.post(f"/operator/reviews/{review}", data={f"approve:{lili}": "yes"})
    assert answer.headers["location"].endswith("did=decided")
    assert [desk.seen(b).status for b in (kata, lili)] == ["completed", "no_show"]
