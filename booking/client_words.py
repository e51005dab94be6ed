"""What a client reads, for each thing a letter can be about."""

from __future__ import annotations

from collections.abc import Callable

from booking.client_letter import ClientLetter
from booking.letters import About
from booking.stationery import Action, Aside, Body, Fact


def client_body(about: About, say: ClientLetter) -> Body:
    """The whole letter. Raises ValueError for what is never told to a client."""
    writer = WRITERS.get(about)
    if writer is None:
        raise ValueError(f"{about} is never told to a client")
    return writer(say)


def _confirmed(say: ClientLetter, heading: str, *paragraphs: str) -> Body:
    return say.compose(
        say.reader.gettext("Confirmed: %(service)s, %(when)s", service=say.service, when=say.brief()),
        heading,
        *paragraphs,
        say.calendar(),
        actions=say.change(),
    )


def _booked(say: ClientLetter) -> Body:
    return _confirmed(say, say.reader.gettext("Your booking is confirmed"))


def _approved(say: ClientLetter) -> Body:
    gettext = say.reader.gettext
    return _confirmed(say, gettext("Your booking is confirmed"), gettext("Your request has been accepted."))


def _pending(say: ClientLetter) -> Body:
    gettext = say.reader.gettext
    return say.compose(
        gettext("Request received: %(service)s, %(when)s", service=say.service, when=say.brief()),
        gettext("We have received your request"),
        say.pending(),
        gettext("The invitation for your calendar comes with the confirmation."),
        actions=say.change(),
        accent="wait",
    )


def _declined(say: ClientLetter) -> Body:
    gettext = say.reader.gettext
    return say.compose(
        gettext("Not possible: %(service)s, %(when)s", service=say.service, when=say.brief()),
        gettext("Your request could not be accepted"),
        gettext("Unfortunately this time is not possible. You are welcome to choose another one."),
        say.calendar(),
        actions=say.again(),
        accent="bad",
    )


def _expired(say: ClientLetter) -> Body:
    gettext = say.reader.gettext
    return say.compose(
        gettext("Request expired: %(service)s, %(when)s", service=say.service, when=say.brief()),
        gettext("Your request has expired"),
        gettext("It was not answered in time, and the time is no longer kept for you. We are sorry about that."),
        gettext("You are welcome to choose another time."),
        say.calendar(),
        actions=say.again(),
        accent="bad",
    )


def _moved(say: ClientLetter) -> Body:
    gettext = say.reader.gettext
    return say.compose(
        gettext("New time: %(service)s, %(when)s", service=say.service, when=say.brief()),
        gettext("Your booking has a new time"),
        gettext("%(operator)s has moved it to the time below.", operator=say.operator),
        gettext("If this time does not suit you, choose another one or cancel.") if say.matter.changeable else "",
        say.calendar(),
        actions=say.change(main="reschedule"),
        accent="wait",
    )


def _moved_by_client(say: ClientLetter) -> Body:
    return say.compose(
        say.reader.gettext("New time: %(service)s, %(when)s", service=say.service, when=say.brief()),
        say.reader.gettext("Your new time is confirmed"),
        say.calendar(),
        actions=say.change(),
    )


def _proposal(say: ClientLetter) -> Body:
    gettext, home = say.reader.gettext, say.matter.offering.timezone
    proposed = say.matter.proposed
    if proposed is None:
        raise ValueError("a proposal needs a time")
    booked = say.when()
    times = (
        Fact(gettext("Proposed time"), say.reader.when(proposed.start, proposed.end, home=home), strong=2),
        Fact(gettext("Booked time"), booked.lines, strong=2),
    )
    return say.compose(
        gettext("Another time? %(service)s, %(when)s", service=say.service, when=say.reader.brief(proposed.start)),
        gettext("%(operator)s proposes another time", operator=say.operator),
        gettext("Your booking stays as it is unless you accept the proposal."),
        facts=say.facts(times=times),
        actions=(
            Action(gettext("Answer the proposal"), say.manage("proposal"), main=True),
            Action(gettext("Choose another time"), say.manage("reschedule")),
        ),
        accent="wait",
    )


def _counter_declined(say: ClientLetter) -> Body:
    gettext, wanted = say.reader.gettext, say.matter.proposed
    if wanted is None:
        raise ValueError("an answer to a wish needs the time that was wanted")
    times = (
        Fact(gettext("Booked time"), say.when().lines, strong=2),
        Fact(gettext("Wanted time"), say.reader.when(wanted.start, wanted.end, home=say.matter.offering.timezone)),
    )
    return say.compose(
        gettext("Unchanged: %(service)s, %(when)s", service=say.service, when=say.brief()),
        gettext("The other time is not possible"),
        gettext("Unfortunately the time you asked for does not suit %(operator)s.", operator=say.operator),
        gettext("Your booking stays as it is. If it does not suit you, choose another time or cancel.")
        if say.matter.changeable
        else gettext("Your booking stays as it is."),
        facts=say.facts(times=times),
        actions=say.change(main="reschedule"),
        accent="wait",
    )


def _cancelled(say: ClientLetter, heading: str, *paragraphs: str) -> Body:
    return say.compose(
        say.reader.gettext("Cancelled: %(service)s, %(when)s", service=say.service, when=say.brief()),
        heading,
        *paragraphs,
        say.calendar(),
        actions=say.again(),
        accent="bad",
    )


def _cancelled_by_client(say: ClientLetter) -> Body:
    gettext = say.reader.gettext
    return _cancelled(
        say, gettext("Your booking is cancelled"), gettext("You have cancelled it; there is nothing more to do.")
    )


def _cancelled_by_operator(say: ClientLetter) -> Body:
    gettext = say.reader.gettext
    return _cancelled(
        say,
        gettext("Your booking has been cancelled"),
        gettext("Unfortunately %(operator)s had to cancel it. We are sorry about that.", operator=say.operator),
        gettext("You are welcome to choose another time."),
    )


def _cancelled_by_admin(say: ClientLetter) -> Body:
    gettext = say.reader.gettext
    return _cancelled(
        say,
        gettext("Your booking has been cancelled"),
        gettext("Unfortunately it cannot take place. We are sorry about that."),
        gettext("You are welcome to choose another time."),
    )


def _cancelled_unconfirmed(say: ClientLetter) -> Body:
    gettext = say.reader.gettext
    return _cancelled(
        say,
        gettext("Your booking has been cancelled"),
        gettext("It was not confirmed in time, and the place has been released."),
        gettext("You are welcome to choose another time."),
    )


def _promoted(say: ClientLetter) -> Body:
    gettext = say.reader.gettext
    return say.compose(
        gettext("A place for you: %(service)s, %(when)s", service=say.service, when=say.brief()),
        gettext("A place has become free and is yours"),
        gettext("You were on the waiting list; it is now booked for you."),
        say.calendar(),
        gettext("If it no longer suits you, please cancel soon, so that somebody else can have it.")
        if say.matter.changeable
        else "",
        actions=say.change(),
    )


def _waitlisted(say: ClientLetter) -> Body:
    gettext, matter = say.reader.gettext, say.matter
    times = [Fact(gettext("You are waiting for"), say.wish(matter.wish), strong=2)] if matter.wish else []
    if matter.position:
        times.append(Fact(gettext("Your place in line"), (str(matter.position),)))
    promise = (
        gettext("As soon as a place that suits you becomes free, we book it for you and send you the invitation.")
        if matter.accept == "auto"
        else gettext("As soon as a place that suits you becomes free, we offer it to you first, and you decide.")
    )
    return say.compose(
        gettext("Waiting list: %(service)s", service=say.service),
        gettext("You are on the waiting list"),
        promise,
        gettext("The attached entry notes the time in your calendar as tentative and keeps it free.")
        if matter.method
        else "",
        facts=say.facts(times=tuple(times)),
        actions=(
            Action(gettext("See your place in line"), say.line(), main=True),
            Action(gettext("Leave the waiting list"), say.line("leave")),
        ),
        accent="wait",
    )


def _left_line(say: ClientLetter) -> Body:
    gettext, matter = say.reader.gettext, say.matter
    return say.compose(
        gettext("No longer waiting: %(service)s", service=say.service),
        gettext("You are no longer on the waiting list"),
        gettext("The attached message takes it out of your calendar.") if matter.method else "",
        facts=say.facts(
            times=(Fact(gettext("You were waiting for"), say.wish(matter.wish), strong=2),) if matter.wish else ()
        ),
        actions=say.again(),
    )


def _offer(say: ClientLetter) -> Body:
    gettext, until = say.reader.gettext, say.matter.until
    if until is None:
        raise ValueError("an offer needs an end")
    return say.compose(
        gettext("A place is free: %(service)s, %(when)s", service=say.service, when=say.brief()),
        gettext("A place has become free"),
        gettext(
            "It is kept for you alone until %(moment)s. Please answer by then; after that it is offered to the next person in line.",
            moment=say.reader.moment(until),
        ),
        actions=(
            Action(gettext("Take the place"), say.line("accept"), main=True),
            Action(gettext("No, thank you"), say.line("decline")),
        ),
    )


def _offer_expired(say: ClientLetter) -> Body:
    gettext, waiting = say.reader.gettext, say.matter.waiting
    return say.compose(
        gettext("Offer expired: %(service)s, %(when)s", service=say.service, when=say.brief()),
        gettext("The offer has expired"),
        gettext("There was no answer in time, so the place is no longer kept for you."),
        gettext("The attached message takes it out of your calendar.") if say.matter.method else "",
        gettext("You stay on the waiting list.")
        if waiting
        else gettext("You are no longer on the waiting list, but you can join it again at any time."),
        actions=(Action(gettext("See your place in line"), say.line(), main=True),) if waiting else say.again(),
        accent="bad",
    )


def _reminder(say: ClientLetter) -> Body:
    gettext, matter = say.reader.gettext, say.matter
    confirm = (Action(gettext("I will be there"), say.manage("confirm"), main=True),)
    return say.compose(
        gettext("Reminder: %(service)s, %(when)s", service=say.service, when=say.brief()),
        gettext("Your booking is coming up"),
        gettext("You can’t come? Please cancel, so that somebody else can have the place.")
        if matter.changeable
        else "",
        actions=(() if matter.attendance_confirmed else confirm) + say.change(),
        asides=(Aside("", ((gettext("Turn reminders off"), say.reminders()),)),),
    )


def _attendance(say: ClientLetter) -> Body:
    gettext = say.reader.gettext
    return say.compose(
        gettext("Please confirm: %(service)s, %(when)s", service=say.service, when=say.brief()),
        gettext("Will you be there?"),
        gettext(
            "Please say that you will come. Without your answer the place may be given to somebody who is waiting."
        ),
        actions=(Action(gettext("I will be there"), say.manage("confirm"), main=True), *say.change()),
        accent="wait",
    )


def _no_show(say: ClientLetter) -> Body:
    gettext = say.reader.gettext
    return say.compose(
        gettext("We missed you: %(service)s, %(when)s", service=say.service, when=say.brief()),
        gettext("We missed you"),
        gettext("It seems that you could not come. If that is a mistake, please answer this mail."),
        gettext("You are welcome to choose another time."),
        actions=say.again(),
        accent="bad",
    )


WRITERS: dict[About, Callable[[ClientLetter], Body]] = {
    About.BOOKED: _booked,
    About.PENDING: _pending,
    About.APPROVED: _approved,
    About.DECLINED: _declined,
    About.EXPIRED: _expired,
    About.MOVED: _moved,
    About.MOVED_BY_CLIENT: _moved_by_client,
    About.PROPOSAL: _proposal,
    About.COUNTER_DECLINED: _counter_declined,
    About.CANCELLED_BY_CLIENT: _cancelled_by_client,
    About.CANCELLED_BY_OPERATOR: _cancelled_by_operator,
    About.CANCELLED_BY_ADMIN: _cancelled_by_admin,
    About.CANCELLED_UNCONFIRMED: _cancelled_unconfirmed,
    About.PROMOTED: _promoted,
    About.WAITLISTED: _waitlisted,
    About.LEFT_LINE: _left_line,
    About.OFFER: _offer,
    About.OFFER_EXPIRED: _offer_expired,
    About.REMINDER: _reminder,
    About.ATTENDANCE: _attendance,
    About.NO_SHOW: _no_show,
}
"""Who writes which letter. What isn't here is never told to a client."""
