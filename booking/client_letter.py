"""The frame of every letter to a client: greeting, facts, links, and the sentences that several letters share."""

from __future__ import annotations

from datetime import UTC, datetime, time

from babel.dates import format_date, get_day_names
from babel.lists import format_list

from booking.calendar_links import Appointment, add_links
from booking.i18n import Reader, format_time, locale, same_clock, zone_label
from booking.letters import Matter
from booking.rules import Wish
from booking.services import Texts
from booking.stationery import Action, Aside, Body, Fact, courteous_name, one_line, subject
from booking.terms import Terms


class ClientLetter:
    """One letter to one client. What it says is in `booking.client_words`; here are its parts."""

    def __init__(self, matter: Matter, terms: Terms, proof: str = "") -> None:
        self.matter = matter
        self.terms = terms
        self.proof = proof
        self.reader = Reader(matter.language, matter.zone)
        self.words = matter.offering.spec.text(self.reader.language)
        self.service = one_line(self.words.title)
        self.operator = one_line(matter.offering.operator_name)
        self.link = matter.offering.spec.link if matter.joins else ""

    # --- parts --------------------------------------------------------------------------------------------------

    def compose(
        self,
        title: str,
        heading: str,
        *paragraphs: str,
        facts: tuple[Fact, ...] | None = None,
        actions: tuple[Action, ...] = (),
        asides: tuple[Aside, ...] | None = None,
        accent: str = "good",
    ) -> Body:
        """What every letter to a client has: greeting, facts of the booking, why it came; and with an invitation the ways
        to take it by hand."""
        name = courteous_name(self.matter.name)
        gettext = self.reader.gettext
        footer = gettext(
            "You receive this mail because this address was given for a booking with %(operator)s.",
            operator=self.operator,
        )
        return Body(
            subject=subject(title),
            heading=heading,
            greeting=gettext("Hello %(name)s,", name=name) if name else gettext("Hello,"),
            paragraphs=tuple(p for p in paragraphs if p),
            facts=self.facts() if facts is None else facts,
            actions=actions,
            asides=self.by_hand() if asides is None else asides,
            footer=(footer,),
            accent=accent,
        )

    def facts(self, *, times: tuple[Fact, ...] | None = None) -> tuple[Fact, ...]:
        """Service, time, place, seats, price. times: instead of the booked time."""
        gettext = self.reader.gettext
        found = [Fact(gettext("Service"), (self.service,)), *((self.when(),) if times is None else times)]
        found.append(Fact(gettext("With"), (self.operator,)))
        if self.words.place:
            found.append(Fact(gettext("Where"), (one_line(self.words.place),)))
        if self.link:
            found.append(Fact(gettext("Online"), (self.link,), href=self.link))
        if self.matter.seats > 1:
            found.append(Fact(gettext("Places"), (str(self.matter.seats),)))
        if self.words.price:
            found.append(Fact(gettext("Price"), (one_line(self.words.price),)))
        return tuple(found)

    def when(self) -> Fact:
        """The booked time, on the reader's clock and on the operator's where that shows something else."""
        at, home = self.matter.at, self.matter.offering.timezone
        return Fact(self.reader.gettext("When"), self.reader.when(at.start, at.end, home=home), strong=2)

    def brief(self) -> str:
        """Short day and time, for the subject."""
        return self.reader.brief(self.matter.at.start)

    def manage(self, act: str = "") -> str:
        """Link to the client's page of the booking."""
        return self.terms.manage_url(self.reader.language, self.matter.token, act)

    def reminders(self) -> str:
        """Link to where reminders are turned off."""
        return self.terms.reminders_url(self.reader.language, self.matter.token, self.proof)

    def line(self, act: str = "") -> str:
        """Link to the page of the place in line."""
        return self.terms.waitlist_url(self.reader.language, self.matter.token, act)

    def to_service(self) -> str:
        """Link to the public page of the service."""
        offering = self.matter.offering
        return self.terms.service_url(self.reader.language, offering.operator_slug, offering.slug)

    def change(self, *, main: str = "") -> tuple[Action, ...]:
        """Links to change one's mind, as long as that is possible; after that to look at the booking. main: the filled one."""
        gettext = self.reader.gettext
        if not self.matter.changeable:
            return (Action(gettext("See the booking"), self.manage()),)
        return (
            Action(gettext("Choose another time"), self.manage("reschedule"), main=main == "reschedule"),
            Action(gettext("Cancel the booking"), self.manage("cancel")),
        )

    def again(self) -> tuple[Action, ...]:
        """Link to book anew."""
        return (Action(self.reader.gettext("Choose another time"), self.to_service(), main=True),)

    def calendar(self) -> str:
        """What happens to the client's calendar; ``""`` where nothing does."""
        gettext, method = self.reader.gettext, self.matter.method
        if self.matter.native:
            return gettext("Your calendar hears of it from %(operator)s in a separate mail.", operator=self.operator)
        if method == "CANCEL":
            return gettext("The attached message takes it out of your calendar.")
        return gettext("The attached invitation puts it into your calendar.") if method else ""

    def by_hand(self) -> tuple[Aside, ...]:
        """Links for calendars that don't take the invitation by themselves, where one goes with the letter."""
        matter = self.matter
        if matter.method != "REQUEST" or not matter.booking_id:
            return ()
        about = Appointment(
            title=entry_title(self.words, self.operator),
            period=matter.at,
            place=one_line(self.words.place) or self.link,
            details=bare_details(self.link, self.manage()),
        )
        links = add_links(about, self.terms.invite_url(matter.token))
        return (Aside(self.reader.gettext("Not in your calendar yet? Add it by hand"), links),)

    def pending(self) -> str:
        """Why it isn't decided yet."""
        gettext, until = self.reader.gettext, self.matter.until
        if "approval" not in self.matter.waits_for:
            return gettext(
                "We are comparing it with the calendar of %(operator)s. This usually takes a minute; until then the time is kept for you.",
                operator=self.operator,
            )
        if until is None:
            return gettext(
                "%(operator)s will answer it soon. Until then the time is kept for you.", operator=self.operator
            )
        return gettext(
            "%(operator)s will answer it by %(moment)s at the latest. Until then the time is kept for you.",
            operator=self.operator,
            moment=self.reader.moment(until),
        )

    def wish(self, wish: Wish) -> tuple[str, ...]:
        """What somebody is waiting for: a time, or days with weekdays and hours."""
        rules, language, home = locale(self.reader.language), self.reader.language, self.matter.offering.timezone
        if wish.start is not None:
            length = self.matter.at.duration if self.matter.period else self.matter.offering.spec.duration
            return self.reader.when(wish.start, wish.start + length, home=home)
        first, last = (format_date(day, "long", rules) for day in (wish.first, wish.last))
        lines = [first if first == last else f"{first} – {last}"]
        if wish.weekdays != 127:
            names = get_day_names("abbreviated", "stand-alone", rules)
            lines.append(format_list([names[day] for day in range(7) if wish.weekdays & (1 << day)], locale=rules))
        if wish.between != (0, 1440):
            hours = " – ".join(_clock(minute, language) for minute in wish.between)
            noon = datetime.combine(wish.first, time(12), tzinfo=UTC)
            if not same_clock(noon, self.reader.zone, home):  # these hours are the operator's
                hours += f" ({zone_label(noon, home, language)})"
            lines.append(hours)
        return tuple(lines)


def entry_title(words: Texts, operator: str) -> str:
    """What stands in the client's calendar."""
    return f"{one_line(words.title)} – {operator}"


def bare_details(link: str, url: str) -> str:
    """How to join and how to change or cancel, without words: they would make a link in many scripts very long."""
    return "\n\n".join(each for each in (link, url) if each)


def calendar_text(language: str, words: Texts, link: str, url: str) -> str:
    """The description of the client's calendar entry: the service's own words, how to join, how to change or cancel."""
    gettext = Reader(language, "UTC").gettext
    online, change = gettext("Online"), gettext("Change or cancel")
    parts = [words.description.strip(), f"{online}:\n{link}" if link else "", f"{change}:\n{url}"]
    return "\n\n".join(part for part in parts if part)


def _clock(minute: int, language: str) -> str:
    # A time of day without a day: any will do, 24:00 is written as 0:00.
    hours, minutes = divmod(minute % 1440, 60)
    return format_time(datetime(2000, 1, 1, hours, minutes, tzinfo=UTC), "UTC", language)
