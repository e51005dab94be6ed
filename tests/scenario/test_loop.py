"""The loop, as its people live it: a real calendar server, the product's own processes, mail on disk.

Run on Radicale and Xandikos, embedded on SQLite and with Redis and PostgreSQL.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.support.foreign import with_times
from tests.support.servers import ics
from tests.support.service import Practice, client, field_of, practice, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(
    scope="module", params=[("radicale", "embedded"), ("xandikos", "embedded"), ("radicale", "redis"), ("xandikos", "redis")],
    ids="-".join,
)  # fmt: skip
def anna(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    """One practice for all tests of a server and a mode; each test uses starts of its own."""
    server, mode = request.param
    with practice(tmp_path_factory.mktemp("service"), server, mode) as made:
        yield made


def at(start: str) -> datetime:
    return datetime.fromisoformat(start).astimezone(UTC)


def object_of(anna: Practice, start: str) -> str:
    """Name of the one event at that start."""
    stamp = f"{at(start):%Y%m%dT%H%M%SZ}"
    names = [name for name, raw in anna.events().items() if field_of(raw, "DTSTART") == stamp]
    assert len(names) == 1, names
    return names[0]


def told(anna: Practice, who: str) -> list[tuple[str | None, int | None, str | None]]:
    return [(m.method, m.sequence, m.uid) for m in anna.service.mails(f"{who}@example.org")]


def test_a_busy_event_closes_its_starts_and_gives_them_back(anna: Practice) -> None:
    start = anna.starts()[4]
    anna.busy.put("lunch.ics", ics("lunch", at(start), minutes=30))
    wait_until(lambda: start not in anna.starts())
    anna.busy.delete("lunch.ics")
    wait_until(lambda: start in anna.starts())


def test_a_booking_is_one_event_one_invitation_one_notice(anna: Practice) -> None:
    start = anna.starts()[6]
    before = len(anna.service.mails("anna@practice.example"))
    booking = anna.in_calendar(anna.book(start, "kata")["token"])
    object_of(anna, start)
    wait_until(lambda: len(told(anna, "kata")) == 1)
    assert told(anna, "kata") == [("REQUEST", 0, booking["uid"])]
    wait_until(lambda: len(anna.service.mails("anna@practice.example")) == before + 1)
    assert anna.service.mails("anna@practice.example")[-1].method is None
    wait_until(lambda: anna.booking(booking["token"])["deliveries"][0]["state"] == "handed_over")
    assert start not in anna.starts()
    assert start in anna.starts("full")


def test_two_hundred_at_one_door_for_one_seat(anna: Practice) -> None:
    start = anna.starts()[34]

    def knock(number: int) -> httpx.Response:
        body = {"start": start, "client": client(f"crowd{number}")}
        return anna.service.call("POST", f"{anna.where}/bookings", json=body)

    with ThreadPoolExecutor(50) as crowd:
        answers = list(crowd.map(knock, range(200)))
    won = [answer.json() for answer in answers if answer.status_code == 201]
    lost = [answer.json() for answer in answers if answer.status_code == 409]
    assert (len(won), len(lost)) == (1, 199), Counter(answer.status_code for answer in answers)
    assert {problem["code"] for problem in lost} == {"slot_taken"}
    assert all(p["alternatives"] and start not in p["alternatives"] and p["waitlist"] for p in lost)
    anna.in_calendar(won[0]["token"])
    object_of(anna, start)
    wait_until(lambda: anna.booking(won[0]["token"])["deliveries"][0]["state"] == "handed_over")
    assert len([mail for mail in anna.service.mails("@example.org") if "crowd" in mail.recipient]) == 1


def test_the_operator_deletes_and_the_first_in_line_gets_the_place(anna: Practice) -> None:
    start = anna.starts()[8]
    booking = anna.in_calendar(anna.book(start, "lena")["token"])
    first = anna.wait_in_line(start, "vera")
    second = anna.wait_in_line(start, "mark")
    assert anna.service.get(f"/waitlist/{second}")["position"] == 2
    old = object_of(anna, start)
    anna.bookings.delete(old)
    wait_until(lambda: anna.booking(booking["token"])["status"] == "cancelled")
    place = wait_until(lambda: p if (p := anna.service.get(f"/waitlist/{first}"))["status"] == "promoted" else None)
    promoted = anna.in_calendar(place["booking"])
    assert object_of(anna, start) != old
    wait_until(lambda: len(told(anna, "lena")) == 2 and len(told(anna, "vera")) == 2)
    assert told(anna, "lena") == [("REQUEST", 0, booking["uid"]), ("CANCEL", 1, booking["uid"])]
    assert told(anna, "vera") == [(None, None, None), ("REQUEST", 0, promoted["uid"])]
    waiting = anna.service.get(f"/waitlist/{second}")
    assert (waiting["status"], waiting["position"]) == ("waiting", 1)
    assert start not in anna.starts()


def test_the_operator_moves_and_the_booking_follows(anna: Practice) -> None:
    free = anna.starts()
    start, target = free[10], free[13]
    booking = anna.in_calendar(anna.book(start, "nina")["token"])
    name = object_of(anna, start)
    moved = with_times(anna.bookings.get(name) or b"", at(target), at(target) + timedelta(minutes=50))
    anna.bookings.put(name, moved)
    followed = wait_until(lambda: b if (b := anna.booking(booking["token"]))["start"] == target else None)
    assert (followed["uid"], followed["revision"], followed["status"]) == (booking["uid"], 1, "confirmed")
    wait_until(lambda: len(told(anna, "nina")) == 2)
    assert told(anna, "nina") == [("REQUEST", 0, booking["uid"]), ("REQUEST", 1, booking["uid"])]
    wait_until(lambda: start in anna.starts() and target not in anna.starts())
    assert object_of(anna, target) == name


def test_the_client_moves_and_the_event_follows(anna: Practice) -> None:
    free = anna.starts()
    start, target = free[16], free[18]
    booking = anna.in_calendar(anna.book(start, "otto")["token"])
    name = object_of(anna, start)
    answer = anna.service.call("POST", f"/bookings/{booking['token']}/reschedule", json={"start": target})
    assert (answer.status_code, answer.json()["revision"]) == (200, 1)
    wait_until(lambda: field_of(anna.bookings.get(name) or b"", "DTSTART") == f"{at(target):%Y%m%dT%H%M%SZ}")
    wait_until(lambda: len(told(anna, "otto")) == 2)
    assert told(anna, "otto")[1] == ("REQUEST", 1, booking["uid"])
    anna.in_calendar(booking["token"])
    assert start in anna.starts()


def test_the_client_cancels_and_the_event_goes(anna: Practice) -> None:
    start = anna.starts()[20]
    booking = anna.in_calendar(anna.book(start, "paul")["token"])
    name = object_of(anna, start)
    for _ in range(2):
        assert anna.service.call("POST", f"/bookings/{booking['token']}/cancel", json={}).status_code == 200
    wait_until(lambda: anna.bookings.get(name) is None)
    wait_until(lambda: len(told(anna, "paul")) == 2)
    assert told(anna, "paul")[1] == ("CANCEL", 1, booking["uid"])
    assert start in anna.starts()


def test_a_series_with_moved_and_deleted_occurrences_blocks_exactly_what_it_should(anna: Practice) -> None:
    free = anna.starts()
    start = at(free[22])
    second, third = start + timedelta(days=1), start + timedelta(days=2)
    # Daily for four days; the second one deleted, the third one two hours later.
    later = third + timedelta(hours=2)
    lines = [
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Other//App//EN", "BEGIN:VEVENT", "UID:series", "DTSTAMP:20261101T000000Z",
        f"DTSTART:{start:%Y%m%dT%H%M%SZ}", f"DTEND:{start + timedelta(minutes=50):%Y%m%dT%H%M%SZ}", "RRULE:FREQ=DAILY;COUNT=4",
        f"EXDATE:{second:%Y%m%dT%H%M%SZ}", "SUMMARY:Series", "END:VEVENT", "BEGIN:VEVENT", "UID:series", "DTSTAMP:20261101T000000Z",
        f"RECURRENCE-ID:{third:%Y%m%dT%H%M%SZ}", f"DTSTART:{later:%Y%m%dT%H%M%SZ}",
        f"DTEND:{later + timedelta(minutes=50):%Y%m%dT%H%M%SZ}", "SUMMARY:Series", "END:VEVENT", "END:VCALENDAR", "",
    ]  # fmt: skip
    before = set(anna.starts())
    anna.busy.put("series.ics", "\r\n".join(lines).encode())
    blocked = {start, later, start + timedelta(days=3)}
    gone = {s for s in before if at(s) in blocked}
    assert gone
    wait_until(lambda: not gone & set(anna.starts()))
    assert before - set(anna.starts()) == gone
    anna.busy.delete("series.ics")
    wait_until(lambda: gone <= set(anna.starts()))


def test_broken_objects_close_what_can_be_read_and_stop_nothing(anna: Practice) -> None:
    free = anna.starts()
    odd, fine = free[30], free[32]
    unknown = (
        ics("odd", at(odd), minutes=30)
        .replace(b"DTSTART:", b"DTSTART;TZID=Mars/Olympus:")
        .replace(b"DTEND:", b"DTEND;TZID=Mars/Olympus:")
    )
    anna.busy.put("odd.ics", unknown.replace(b"Z\r\nDTEND", b"\r\nDTEND").replace(b"Z\r\nSUMMARY", b"\r\nSUMMARY"))
    anna.busy.put("fine.ics", ics("fine", at(fine), minutes=30))
    wait_until(lambda: fine not in anna.starts())
    listed = json.loads(anna.service.cli("calendar", "list", "--json"))
    busy = next(c for c in listed if c["roles"] == "busy")
    assert busy["problems"] == 1
    (problem,) = json.loads(anna.service.cli("calendar", "problems", str(busy["id"]), "--json"))
    assert problem["href"].endswith("odd.ics")
    anna.busy.delete("odd.ics")
    anna.busy.delete("fine.ics")
    wait_until(lambda: fine in anna.starts())
