"""The stories, lived: people at the doors, the operator in their calendar, clients' calendars that answer by mail.

Each change is one `automation` block. Where the cell asks for it, everything is paused inside, what is held is looked
at, and the block's end resumes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from connectors.emulators.mailclient import answer
from connectors.model import PartStat, Period
from ledger.tables import Delivery, OutboxMessage
from tests.scenario.matrix.axes import Arrangement, Automation, Cell, Ending, Provider
from tests.scenario.matrix.calendars import Seen
from tests.scenario.matrix.house import AUTOMATED, House, client, instant, is_group
from tests.scenario.matrix.outcome import LANGUAGES, LENGTH, TIMES

AFTER_THE_GRACE = timedelta(minutes=2)
SERVICE = "/operators/anna/services/talk"


class Story:
    """One cell, lived in one house."""

    def __init__(self, cell: Cell, house: House) -> None:
        self.cell = cell
        self.house = house
        self.at = "ten"

    def live(self) -> None:
        """From the first booking to the end."""
        _ARRANGE[self.cell.arrangement](self)
        _END[self.cell.ending](self)

    # what people do

    def book(self, who: str, at: str = "ten", **more: str) -> None:
        """At the door for machines."""
        request = {"start": instant(at), "client": client(who), **more}
        self.house.tokens[who] = self.house.call("POST", f"{SERVICE}/bookings", 201, json=request)["token"]

    def join(self, who: str, accept: str = "auto") -> None:
        """Wait for the time that the story is about."""
        request = {"client": client(who), "wish": {"start": instant(self.at)}, "accept": accept}
        self.house.places[who] = self.house.call("POST", f"{SERVICE}/waitlist", 201, json=request)["token"]

    def approve(self, who: str) -> None:
        """The operator says yes."""
        self.house.admin("POST", f"/bookings/{self.booking(who)}/confirm")

    def press(self, who: str, act: str, **form: str) -> None:
        """A button behind the link in somebody's mail."""
        self.house.press(f"/{LANGUAGES[who]}/b/{self.house.tokens[who]}/{act}", **form)

    def booking(self, who: str) -> str:
        """The id of somebody's booking."""
        return str(self.house.call("GET", f"/bookings/{self.house.tokens[who]}", 200)["id"])

    def companions(self, who: str = "emil", at: str = "ten") -> None:
        """In a group somebody else is there already."""
        if is_group(self.cell):
            self.book(who, at)
            if self.cell.arrangement is Arrangement.APPROVAL:
                self.house.settle()
                self.approve(who)

    def event(self, at: str) -> Seen:
        """The operator finds the event in their calendar."""
        (found,) = (e for e in self.house.app.events() if e.period.start == TIMES[at])
        return found

    def drag(self) -> None:
        """The operator drags it to one o'clock, and we read the calendar again."""
        self.house.app.drag(self.event("ten"), Period(TIMES["one"], TIMES["one"] + LENGTH))

    # automation

    @contextmanager
    def automation(self, *told: str, frees: bool = False) -> Iterator[None]:
        """A change and all that follows from it; under a pause where the cell asks for one.

        told: what the people who act are told at once, pause or not. frees: a seat comes free by it, for the line alone.
        """
        self.house.settle()
        if self.cell.automation is Automation.RUNNING:
            yield
            self.house.later()
            self.house.later(AFTER_THE_GRACE)
            return
        house = self.house
        wanted = {"scope": "operator:anna", "automations": ["all"], "reason": "I want to look at it first"}
        pause = house.admin("POST", "/pauses", 201, json=wanted)["id"]
        acted, mailed = self._acted(), len(house.mails())
        yield
        shown = house.app.events()
        house.later()
        house.later(AFTER_THE_GRACE)
        assert self._acted() == acted, "something in scope acted while it was paused"
        assert house.app.events() == shown, "the calendar was written while that was paused"
        assert self._abouts(mailed) <= set(told), "somebody was told of what a pause holds"
        held = [row["id"] for row in house.admin("GET", f"/pauses/{pause}/preview")["items"]]
        assert held == self._held()
        if frees:
            self._is_kept_from_strangers()
        house.admin("DELETE", f"/pauses/{pause}")
        house.settle()
        assert not set(held) & set(self._held()) - self._planned(), "resumed, and still waiting"
        house.later()

    def _acted(self) -> set[int]:
        """Automated messages that have begun or ended."""
        begun = OutboxMessage.state.in_(("queued", "running", "done", "parked"))
        return {row.id for row in self.house.rows(OutboxMessage.id, where=(AUTOMATED, begun))}

    def _held(self) -> list[int]:
        waiting = OutboxMessage.state == "waiting"
        return sorted(row.id for row in self.house.rows(OutboxMessage.id, where=(AUTOMATED, waiting)))

    def _planned(self) -> set[int]:
        """Of another day."""
        later = OutboxMessage.not_before > self.house.now
        return {row.id for row in self.house.rows(OutboxMessage.id, where=(AUTOMATED, later))}

    def _abouts(self, since: int) -> set[str]:
        """What the mails from that one on are about."""
        sent = {mail.message_id for mail in self.house.mails()[since:]}
        rows = self.house.rows(Delivery.message_id, Delivery.kind)
        return {row.kind.partition(":")[0] for row in rows if row.message_id in sent}

    def _is_kept_from_strangers(self) -> None:
        """Neither shown as open nor to be had."""
        day = TIMES[self.at].date().isoformat()
        listed = self.house.call("GET", f"{SERVICE}/slots?from={day}&to={day}&timezone=UTC", 200)["slots"]
        assert instant(self.at) not in [slot["start"] for slot in listed if slot["state"] == "open"]
        request = {"start": instant(self.at), "client": {**client("otto"), "email": "stranger@example.org"}}
        refused = self.house.call("POST", f"{SERVICE}/bookings", 409, json=request)
        assert refused["code"] == "slot_taken"


# --- how the booking comes to be ------------------------------------------------------------------------------------


def _direct(story: Story) -> None:
    story.companions()
    with story.automation("booked"):
        story.book("kata")


def _hold(story: Story) -> None:
    story.companions()
    with story.automation("booked"):
        held = story.house.call("POST", f"{SERVICE}/holds", 201, json={"start": instant("ten"), "seats": 1})
        story.book("kata", hold=held["token"])


def _approval(story: Story) -> None:
    story.companions()
    with story.automation("pending", "approved"):
        story.book("kata")
        story.house.settle()
        story.approve("kata")


def _from_the_line(story: Story, accept: str) -> None:
    story.companions()
    story.book("lena")
    story.join("kata", accept)
    with story.automation("cancelled_by_client", frees=True):
        story.house.call("POST", f"/bookings/{story.house.tokens['lena']}/cancel", 200, json={})


def _auto(story: Story) -> None:
    _from_the_line(story, "auto")
    _follow_promotion(story, "kata")


def _offer(story: Story) -> None:
    _from_the_line(story, "ask")
    with story.automation("promoted"):
        story.house.call("POST", f"/waitlist/{story.house.places['kata']}/accept", 200)
    _follow_promotion(story, "kata")


def _follow_promotion(story: Story, who: str) -> None:
    """The key to the booking that somebody in line was given."""
    place = story.house.call("GET", f"/waitlist/{story.house.places[who]}", 200)
    assert place["booking"], place
    story.house.tokens[who] = place["booking"]


def _reschedule(story: Story) -> None:
    story.companions()
    story.book("kata")
    story.companions("otto", "one")
    story.at = "one"
    with story.automation("moved_by_client"):
        story.press("kata", "reschedule", start=instant("one"))


def _follow(story: Story) -> None:
    story.companions()
    story.book("kata")
    story.at = "one"
    if story.cell.provider is Provider.NONE:
        story.companions("otto", "one")
        with story.automation("moved"):
            story.house.admin("POST", f"/bookings/{story.booking('kata')}/reschedule", json={"start": instant("one")})
        return
    with story.automation():
        story.drag()


def _propose(story: Story) -> None:
    story.companions()
    story.book("kata")
    story.at = "one"
    with story.automation():
        story.drag()
    if not is_group(story.cell):
        with story.automation("moved"):
            story.press("kata", "proposal", answer="accept")


_ARRANGE = {
    Arrangement.DIRECT: _direct,
    Arrangement.HOLD: _hold,
    Arrangement.APPROVAL: _approval,
    Arrangement.WAITLIST_AUTO: _auto,
    Arrangement.WAITLIST_OFFER: _offer,
    Arrangement.RESCHEDULE: _reschedule,
    Arrangement.FOLLOW: _follow,
    Arrangement.PROPOSE: _propose,
}


# --- what becomes of it ---------------------------------------------------------------------------------------------


def _alone(story: Story) -> None:
    _reminded(story)
    story.house.until(max(TIMES.values()) + timedelta(hours=2))


def _no_show(story: Story) -> None:
    _reminded(story)
    story.house.until(TIMES[story.at] + timedelta(minutes=20))
    with story.automation():
        if story.cell.provider is Provider.NONE or is_group(story.cell):
            story.house.admin("POST", f"/bookings/{story.booking('kata')}/no-show")
        else:
            story.house.app.tag(story.event(story.at), "no-show")
    story.house.until(max(TIMES.values()) + timedelta(hours=2))


def _reminded(story: Story) -> None:
    """The day before."""
    with story.automation():
        story.house.until(max(TIMES.values()) - timedelta(hours=23))


def _client_link(story: Story) -> None:
    story.join("vera")
    with story.automation("cancelled_by_client", frees=True):
        story.press("kata", "cancel")


def _in_calendar(story: Story) -> None:
    story.join("vera")
    with story.automation(frees=True):
        story.house.app.delete(story.event(story.at))


def _api(story: Story) -> None:
    story.join("vera")
    with story.automation("cancelled_by_admin", frees=True):
        story.house.admin("POST", f"/bookings/{story.booking('kata')}/cancel")


def _reply(story: Story) -> None:
    story.join("vera")
    with story.automation(frees=True):
        story.house.arrives(answer(story.house.invitation("kata"), PartStat.DECLINED, at=story.house.now))


_END = {
    Ending.ALONE: _alone,
    Ending.CLIENT_LINK: _client_link,
    Ending.IN_CALENDAR: _in_calendar,
    Ending.API: _api,
    Ending.REPLY: _reply,
    Ending.NO_SHOW: _no_show,
}
