"""What an operator reads: a mail for each thing that happened, and the words of the event in their calendar."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from booking.catalogue import Offering
from booking.i18n import Reader
from booking.letters import About, Matter
from booking.services import FormField
from booking.stationery import Action, Body, Fact, one_line, subject
from booking.terms import Terms
from ledger.entries import Words


class OperatorLetter:
    """One mail to the operator about one booking, on the operator's clock. What it says is below; here are its parts."""

    def __init__(self, matter: Matter, terms: Terms) -> None:
        self.matter = matter
        self.terms = terms
        self.reader = Reader(matter.offering.operator_language, matter.offering.timezone)
        self.service = one_line(matter.offering.spec.text(self.reader.language).title)
        self.client = one_line(matter.name)

    def compose(
        self, title: str, paragraph: str, *, accent: str = "good", times: tuple[Fact, ...] = (), action: str = ""
    ) -> Body:
        """What every mail to an operator has: who, what, when, the answers, and the way to the dashboard.

        times: instead of the booked time. action: the label of the way there.
        """
        about = [self.client, self.service]
        if self.matter.period:  # who waits for a range of days has none
            about.append(self.reader.brief(self.matter.period.start))
            times = times or (self.when(),)
        return Body(
            subject=subject(f"{title}: {', '.join(about)}"),
            heading=title,
            greeting="",
            paragraphs=(paragraph,),
            facts=self.facts(times),
            actions=(self.way(action),),
            accent=accent,
        )

    def way(self, label: str = "") -> Action:
        """The way to the dashboard: to the booking, or to who waits."""
        gettext, booking_id = self.reader.gettext, self.matter.booking_id
        if not booking_id:
            return Action(gettext("See who waits"), self.terms.line_url(), main=True)
        return Action(label or gettext("Open the booking"), self.terms.operator_url(booking_id), main=True)

    def facts(self, times: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The client, the service, the times, seats, answers, and why."""
        gettext, matter = self.reader.gettext, self.matter
        found = [
            Fact(gettext("Client"), (self.client,)),
            Fact(gettext("Mail address"), (matter.email,), href=f"mailto:{matter.email}"),
            Fact(gettext("Service"), (self.service,)),
            *times,
        ]
        if matter.seats > 1:
            found.append(Fact(gettext("Places"), (str(matter.seats),)))
        found += [Fact(label, (said,)) for label, said in answered(matter.offering.spec.fields, matter, self.reader)]
        if matter.reason:
            found.append(Fact(gettext("Reason"), (one_line(matter.reason),)))
        return tuple(found)

    def when(self) -> Fact:
        """The booked time on the operator's clock, and on the client's where that shows something else."""
        at = self.matter.at
        return Fact(self.reader.gettext("When"), self.reader.when(at.start, at.end, home=self.matter.zone), strong=2)

    def proposed(self, label: str) -> tuple[Fact, ...]:
        """The other time and the booked one."""
        other = self.matter.proposed
        if other is None:
            raise ValueError("a proposal needs a time")
        lines = self.reader.when(other.start, other.end, home=self.matter.zone)
        return Fact(label, lines, strong=2), Fact(self.reader.gettext("Booked time"), self.when().lines, strong=2)


def answered(fields: Iterable[FormField], matter: Matter, reader: Reader) -> list[tuple[str, str]]:
    """The client's answers with their questions, in the order of the form; what wasn't answered is left out."""
    found = []
    for question in fields:
        value = matter.answers.get(question.name)
        if value is None or value == "":
            continue
        if isinstance(value, bool):
            value = reader.gettext("yes") if value else reader.gettext("no")
        elif question.type == "choice":
            value = question.choice_in(str(value), reader.language)
        found.append((one_line(question.label_in(reader.language)), one_line(str(value))))
    return found


def calendar_words(offering: Offering, guests: Sequence[Matter], capacity: int, terms: Terms) -> Words:
    """The words of a slot's event. guests: who comes, in the order they booked; capacity: of that slot."""
    reader = Reader(offering.operator_language, offering.timezone)
    words = offering.spec.text(reader.language)
    service = one_line(words.title)
    if capacity > 1:
        title = f"{service} ({sum(guest.seats for guest in guests)}/{capacity})"
        lines = [_listed(guest) for guest in guests] if offering.spec.names_in_event else []
        url = terms.operator_url()
    else:
        title = ": ".join([service, *(one_line(guest.name) for guest in guests)])
        lines = [line for guest in guests for line in _told(guest, reader)]
        url = terms.operator_url(guests[0].booking_id) if guests else terms.operator_url()
    hint = reader.gettext("Move or delete this event to move or cancel the booking; whoever booked is told.")
    return Words(
        title=title,
        description="\n".join([*lines, *([""] if lines else []), hint, url]),
        location=one_line(words.place) or offering.spec.link,
        url=url,
    )


def _listed(guest: Matter) -> str:
    return one_line(guest.name) + (f" ({guest.seats})" if guest.seats > 1 else "")


def _told(guest: Matter, reader: Reader) -> list[str]:
    said = [(reader.gettext("Client"), one_line(guest.name)), (reader.gettext("Mail address"), guest.email)]
    return [f"{label}: {text}" for label, text in said + answered(guest.offering.spec.fields, guest, reader)]


def operator_body(about: About, say: OperatorLetter) -> Body:
    """The whole mail. Raises ValueError for what is never told to an operator."""
    writer = WRITERS.get(about)
    if writer is None:
        raise ValueError(f"{about} is never told to an operator")
    return writer(say)


def _booked(say: OperatorLetter) -> Body:
    gettext = say.reader.gettext
    return say.compose(gettext("New booking"), gettext("%(client)s has booked.", client=say.client))


def _pending(say: OperatorLetter) -> Body:
    gettext, until = say.reader.gettext, say.matter.until
    if "approval" not in say.matter.waits_for:
        return say.compose(
            gettext("New booking"),
            gettext(
                "%(client)s has booked. The booking is confirmed as soon as your calendar has been read afresh.",
                client=say.client,
            ),
            accent="wait",
        )
    if until is None:
        request = gettext(
            "%(client)s would like to book. Please confirm or decline; until then the time is kept.", client=say.client
        )
    else:
        request = gettext(
            "%(client)s would like to book. Please confirm or decline by %(moment)s; until then the time is kept.",
            client=say.client,
            moment=say.reader.moment(until),
        )
    if missed := say.matter.no_shows:
        request += " " + say.reader.ngettext(
            "%(client)s has missed %(num)s appointment with you before.",
            "%(client)s has missed %(num)s appointments with you before.",
            missed,
            client=say.client,
        )
    return say.compose(gettext("Please decide"), request, accent="wait", action=gettext("Confirm or decline"))


def _approved(say: OperatorLetter) -> Body:
    gettext = say.reader.gettext
    return say.compose(
        gettext("Booking confirmed"), gettext("The booking of %(client)s is confirmed.", client=say.client)
    )


def _declined(say: OperatorLetter) -> Body:
    gettext = say.reader.gettext
    return say.compose(
        gettext("Request declined"),
        gettext("The request of %(client)s was declined; the time is free again.", client=say.client),
        accent="bad",
    )


def _expired(say: OperatorLetter) -> Body:
    gettext = say.reader.gettext
    return say.compose(
        gettext("Request expired"),
        gettext("The request of %(client)s was not decided in time; the time is free again.", client=say.client),
        accent="bad",
    )


def _moved(say: OperatorLetter) -> Body:
    gettext = say.reader.gettext
    return say.compose(
        gettext("New time"), gettext("The booking of %(client)s has a new time.", client=say.client), accent="wait"
    )


def _moved_by_client(say: OperatorLetter) -> Body:
    gettext = say.reader.gettext
    return say.compose(
        gettext("New time"), gettext("%(client)s has chosen another time.", client=say.client), accent="wait"
    )


def _proposal(say: OperatorLetter) -> Body:
    gettext = say.reader.gettext
    return say.compose(
        gettext("Another time proposed"),
        gettext("The booking of %(client)s stays as it is until the proposal is accepted.", client=say.client),
        accent="wait",
        times=say.proposed(gettext("Proposed time")),
    )


def _counter(say: OperatorLetter) -> Body:
    gettext = say.reader.gettext
    return say.compose(
        gettext("Another time wanted"),
        gettext("%(client)s would like another time. Until you decide, the booking stays as it is.", client=say.client),
        accent="wait",
        times=say.proposed(gettext("Wanted time")),
        action=gettext("Accept or decline"),
    )


def _cancelled_by_client(say: OperatorLetter) -> Body:
    gettext = say.reader.gettext
    return say.compose(gettext("Cancelled"), gettext("%(client)s has cancelled.", client=say.client), accent="bad")


def _cancelled_by_operator(say: OperatorLetter) -> Body:
    gettext = say.reader.gettext
    return say.compose(
        gettext("Cancelled"),
        gettext("You have cancelled the booking of %(client)s; the client is told by mail.", client=say.client),
        accent="bad",
    )


def _cancelled_by_admin(say: OperatorLetter) -> Body:
    gettext = say.reader.gettext
    return say.compose(
        gettext("Cancelled"),
        gettext("The booking of %(client)s has been cancelled by the administration.", client=say.client),
        accent="bad",
    )


def _cancelled_unconfirmed(say: OperatorLetter) -> Body:
    gettext = say.reader.gettext
    return say.compose(
        gettext("Cancelled"),
        gettext("%(client)s did not confirm in time; the place has been released.", client=say.client),
        accent="bad",
    )


def _promoted(say: OperatorLetter) -> Body:
    gettext = say.reader.gettext
    return say.compose(
        gettext("From the waiting list"),
        gettext("%(client)s was on the waiting list and now has this place.", client=say.client),
    )


def _reminder(say: OperatorLetter) -> Body:
    gettext = say.reader.gettext
    return say.compose(gettext("Coming up"), gettext("The booking of %(client)s is coming up.", client=say.client))


def _no_show(say: OperatorLetter) -> Body:
    gettext = say.reader.gettext
    return say.compose(
        gettext("Did the client come?"),
        gettext("If %(client)s did not come, mark the booking as a no-show.", client=say.client),
        accent="wait",
    )


def _review(say: OperatorLetter) -> Body:
    gettext = say.reader.gettext
    kind, _, why = say.matter.asks.partition(":")
    if kind == "failed_address":
        return say.compose(
            gettext("A mail did not arrive"),
            gettext(
                "The mail address of %(client)s does not take our mail. Please tell them another way.",
                client=say.client,
            ),
            accent="bad",
        )
    said = {
        "old_time": gettext(
            "%(client)s has declined a time that was changed since. Please ask whether they come at the present one.",
            client=say.client,
        ),
        "too_late": gettext(
            "%(client)s has declined, but later than your service allows. The booking stays until you cancel it.",
            client=say.client,
        ),
        "delegated": gettext("%(client)s would like to send somebody else.", client=say.client),
        "unclear_time": gettext(
            "%(client)s would like another time, but which one could not be read from the mail.", client=say.client
        ),
    }
    doubted = gettext(
        "A calendar answered about the booking of %(client)s, but it is not certain that it was theirs. Nothing was changed.",
        client=say.client,
    )
    other = doubted if kind == "reply" else gettext(
        "Something about the booking of %(client)s asks for your decision.", client=say.client
    )  # fmt: skip
    return say.compose(gettext("Your decision is needed"), said.get(why, other), accent="wait")


def _words(say: OperatorLetter) -> Body:
    gettext, matter = say.reader.gettext, say.matter
    # What they quote holds their own links, which are not the operator's to have.
    lines = [line for line in matter.words.split("\n") if matter.token not in line and say.terms.base_url not in line]
    wrote = Fact(gettext("They write"), tuple(each for each in map(one_line, lines) if each), strong=len(lines))
    body = say.compose(
        gettext("A client has written"),
        gettext("%(client)s has answered a mail of ours. Your answer to this mail reaches them.", client=say.client),
        accent="wait",
    )
    return replace(body, facts=(wrote, *body.facts))


WRITERS: dict[About, Callable[[OperatorLetter], Body]] = {
    About.BOOKED: _booked,
    About.PENDING: _pending,
    About.APPROVED: _approved,
    About.DECLINED: _declined,
    About.EXPIRED: _expired,
    About.MOVED: _moved,
    About.MOVED_BY_CLIENT: _moved_by_client,
    About.PROPOSAL: _proposal,
    About.COUNTER: _counter,
    About.CANCELLED_BY_CLIENT: _cancelled_by_client,
    About.CANCELLED_BY_OPERATOR: _cancelled_by_operator,
    About.CANCELLED_BY_ADMIN: _cancelled_by_admin,
    About.CANCELLED_UNCONFIRMED: _cancelled_unconfirmed,
    About.PROMOTED: _promoted,
    About.REMINDER: _reminder,
    About.NO_SHOW: _no_show,
    About.REVIEW: _review,
    About.WORDS: _words,
}
"""Who writes which mail. What isn't here is never told to an operator."""
