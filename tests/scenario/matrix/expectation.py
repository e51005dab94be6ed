"""What each cell demands, from its coordinates alone. Nothing here knows the product: it is the promise, told again.

People come, go, move and wait; who is told what follows from that, and what the calendar holds follows from who comes.
An automation that was paused and resumed changes nothing (P10), so no function here asks for it.
"""

from __future__ import annotations

from dataclasses import replace

from tests.scenario.matrix.axes import Arrangement, Cell, Ending, Kind, Provider
from tests.scenario.matrix.outcome import LANGUAGES, TITLES, Booked, Outcome, Shown, Told

COMES = ("confirmed", "completed", "no_show")
HOLDS = ("pending", "confirmed")
NAMES = {who: f"{who.title()} Muster" for who in ("kata", "emil", "otto", "lena", "vera")}
CAPACITY = {Kind.INDIVIDUAL: 1, Kind.GROUP: 2}


def expected(cell: Cell) -> Outcome:
    """How the story of a cell must end."""
    story = _Story(cell)
    _ARRANGE[cell.arrangement](story)
    _END[cell.ending](story)
    return story.outcome()


class _Story:
    def __init__(self, cell: Cell) -> None:
        self.group = cell.kind is Kind.GROUP
        self.approval = cell.arrangement is Arrangement.APPROVAL
        self.calendar = cell.provider is not Provider.NONE
        self.capacity = CAPACITY[cell.kind]
        self.at = "ten"  # where Kata is
        self.bookings: dict[str, Booked] = {}
        self.line: dict[str, str] = {}
        self.mails: dict[str, list[Told]] = {}
        self.timelines: dict[str, list[str]] = {}
        self.ended: list[str] = []
        self.tagged = ""

    # people

    def comes(self, who: str, at: str, *, cause: str = "api", word: str = "booked", about: str = "booked") -> None:
        """Somebody takes seats; where the operator approves, both are told that this is to be awaited."""
        status = "pending" if self.approval else "confirmed"
        self.bookings[who] = Booked(status, at, 0)
        if self.approval:
            self.happens(who, "requested", cause)
            self.tell(who, "pending", cause, who, "anna")
            return
        self.happens(who, word, cause)
        self.invite(who, about, cause)
        self.tell(who, about, cause, "anna")

    def approved(self, who: str) -> None:
        """The operator says yes, and needs no mail about it."""
        self.bookings[who] = replace(self.bookings[who], status="confirmed")
        self.happens(who, "approved", "admin:front-desk")
        self.invite(who, "approved", "admin:front-desk")

    def waits(self, who: str) -> None:
        """Somebody joins the line."""
        self.line[who] = "waiting"
        self.tell("", "waitlisted", "api", who)

    def promoted(self, who: str, at: str, cause: str) -> None:
        """Whoever waits gets the seat; the mail is an invitation to them."""
        self.line[who] = "promoted"
        self.comes(who, at, cause=cause, word="promoted", about="promoted")

    def moves(self, who: str, to: str, word: str, about: str, cause: str, *, tells_operator: bool = False) -> None:
        """The same booking and UID at another time."""
        known = self.bookings[who]
        self.bookings[who] = Booked("confirmed", to, known.revision + 1)
        self.happens(who, word, cause)
        self.invite(who, about, cause)
        if tells_operator:
            self.tell(who, about, cause, "anna")

    def goes(self, who: str, about: str, cause: str, *, tells_operator: bool = True) -> None:
        """A booking is cancelled; what was put into the client's calendar is taken out of it."""
        known = self.bookings[who]
        self.bookings[who] = replace(known, status="cancelled", revision=known.revision + 1)
        self.happens(who, "cancelled", cause)
        self.tell(who, about, cause, who, calendar=f"CANCEL {known.revision + 1}")
        if tells_operator:
            self.tell(who, about, cause, "anna")

    def is_over(self) -> None:
        """The day before and the day itself pass: a reminder each, and then it has taken place."""
        came = [who for who, booked in self.bookings.items() if booked.status == "confirmed"]
        for who in came:
            self.tell(who, "reminder", "", who)
        for who in came:
            if who in self.ended:
                continue
            self.bookings[who] = replace(self.bookings[who], status="completed")
            self.happens(who, "complete", "time")

    # words

    def happens(self, who: str, what: str, cause: str) -> None:
        """A line of the booking's timeline."""
        self.timelines.setdefault(who, []).append(f"{what} ← {cause}")

    def invite(self, who: str, about: str, cause: str) -> None:
        """A mail that puts the booking into the client's calendar, or to its new time there."""
        self.tell(who, about, cause, who, calendar=f"REQUEST {self.bookings[who].revision}")

    def tell(self, whose: str, about: str, cause: str, *readers: str, calendar: str = "") -> None:
        """A mail to each reader about somebody's booking; an operator's never carries an invitation."""
        for reader in readers:
            with_it = "" if reader == "anna" else calendar
            self.mails.setdefault(reader, []).append(Told(about, with_it, LANGUAGES[reader]))

    # the end

    def outcome(self) -> Outcome:
        """Seats and events follow from who comes."""
        seats: dict[str, int] = {}
        there: dict[str, list[str]] = {}
        for who, booked in self.bookings.items():
            if booked.status in (*HOLDS, *COMES):
                seats[booked.at] = seats.get(booked.at, 0) + 1
            if booked.status in COMES:
                there.setdefault(booked.at, []).append(who)
        shown = [self._shown(at, people) for at, people in there.items()] if self.calendar else []
        return Outcome(
            bookings=self.bookings,
            line=self.line,
            seats=seats,
            events=tuple(sorted(shown, key=lambda event: event.at)),
            mails={reader: tuple(told) for reader, told in self.mails.items()},
            timelines={who: tuple(lines) for who, lines in self.timelines.items()},
        )

    def _shown(self, at: str, people: list[str]) -> Shown:
        title = TITLES[LANGUAGES["anna"]]
        if self.group:
            return Shown(at, f"{title} ({len(people)}/{self.capacity})")
        (only,) = people
        return Shown(at, f"{title}: {NAMES[only]}{self.tagged}", (only,))


# --- how the booking comes to be ------------------------------------------------------------------------------------


def _companion(story: _Story, who: str = "emil", at: str = "ten") -> None:
    """In a group somebody else is there already."""
    if story.group:
        story.comes(who, at)
        if story.approval:
            story.approved(who)


def _direct(story: _Story) -> None:
    _companion(story)
    story.comes("kata", "ten")


def _approval(story: _Story) -> None:
    _direct(story)
    story.approved("kata")


def _from_the_line(story: _Story) -> None:
    _companion(story)
    story.comes("lena", "ten")
    story.waits("kata")
    story.goes("lena", "cancelled_by_client", "api")


def _auto(story: _Story) -> None:
    _from_the_line(story)
    story.promoted("kata", "ten", "api")


def _offer(story: _Story) -> None:
    _from_the_line(story)
    story.tell("", "offer", "api", "kata")
    story.promoted("kata", "ten", "api")


def _reschedule(story: _Story) -> None:
    _direct(story)
    _companion(story, "otto", "one")
    story.at = "one"
    story.moves("kata", "one", "rescheduled", "moved_by_client", "client_link", tells_operator=True)


def _follow(story: _Story) -> None:
    _direct(story)
    story.at = "one"
    if not story.calendar:  # the dashboard's door for one booking: the others of the group stay
        _companion(story, "otto", "one")
        story.moves("kata", "one", "rescheduled", "moved", "admin:front-desk")
        return
    _slot_moves(story, "operator moved the event")


def _propose(story: _Story) -> None:
    _direct(story)
    story.at = "one"
    if story.group:  # several can't be asked one by one: their operator's word counts
        _slot_moves(story, "operator moved the event")
        return
    story.happens("kata", "proposed", "operator moved the event")
    story.tell("kata", "proposal", "operator moved the event", "kata")
    _slot_moves(story, "client_link")


def _slot_moves(story: _Story, cause: str) -> None:
    for who in story.bookings:
        story.moves(who, "one", "moved", "moved", cause)


_ARRANGE = {
    Arrangement.DIRECT: _direct,
    Arrangement.HOLD: _direct,  # a hold leaves no trace
    Arrangement.APPROVAL: _approval,
    Arrangement.WAITLIST_AUTO: _auto,
    Arrangement.WAITLIST_OFFER: _offer,
    Arrangement.RESCHEDULE: _reschedule,
    Arrangement.FOLLOW: _follow,
    Arrangement.PROPOSE: _propose,
}


# --- what becomes of it ---------------------------------------------------------------------------------------------


def _alone(story: _Story) -> None:
    story.is_over()


def _no_show(story: _Story) -> None:
    story.bookings["kata"] = replace(story.bookings["kata"], status="confirmed")
    story.ended.append("kata")
    story.is_over()
    story.bookings["kata"] = replace(story.bookings["kata"], status="no_show")
    cause = "admin:front-desk"
    if not story.group and story.calendar:  # the operator writes it behind the event's title, and there it stays
        cause, story.tagged = "operator_calendar", " no-show"
    story.happens("kata", "no_show", cause)
    story.tell("kata", "no_show", cause, "kata")


def _client_link(story: _Story) -> None:
    story.waits("vera")
    story.goes("kata", "cancelled_by_client", "client_link")
    story.promoted("vera", story.at, "client_link")


def _in_calendar(story: _Story) -> None:
    cause = "operator deleted the event"
    story.waits("vera")
    for who, booked in list(story.bookings.items()):
        if booked.status == "confirmed" and booked.at == story.at:
            story.goes(who, "cancelled_by_operator", cause, tells_operator=False)
    story.promoted("vera", story.at, cause)


def _api(story: _Story) -> None:
    story.waits("vera")
    story.goes("kata", "cancelled_by_admin", "admin:front-desk")
    story.promoted("vera", story.at, "admin:front-desk")


def _reply(story: _Story) -> None:
    story.waits("vera")
    story.goes("kata", "cancelled_by_client", "calendar_reply")
    story.promoted("vera", story.at, "calendar_reply")


_END = {
    Ending.ALONE: _alone,
    Ending.CLIENT_LINK: _client_link,
    Ending.IN_CALENDAR: _in_calendar,
    Ending.API: _api,
    Ending.REPLY: _reply,
    Ending.NO_SHOW: _no_show,
}
