"""Words that a page needs beside its own: names of days, of states, of what happened. In the reader's language."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from itertools import groupby
from typing import Any

from babel.dates import format_date, format_time, get_day_names
from babel.lists import format_list

from booking.i18n import catalog, locale, marked, zone_of

_STATES = {
    "pending": marked("Waiting for confirmation"),
    "confirmed": marked("Confirmed"),
    "cancelled": marked("Cancelled"),
    "completed": marked("Took place"),
    "no_show": marked("Missed"),
    "declined": marked("Declined"),
    "expired": marked("Expired"),
}
_HAPPENINGS = {
    "booked": marked("Booked"),
    "requested": marked("Requested"),
    "promoted": marked("A place became free and is yours"),
    "accepted": marked("Accepted; the calendar is being checked"),
    "approved": marked("Confirmed"),
    "calendar_checked": marked("Calendar checked"),
    "rescheduled": marked("Moved to another time"),
    "moved": marked("Moved to another time"),
    "proposed": marked("Another time proposed"),
    "proposal_declined": marked("The proposed time was declined"),
    "cancelled": marked("Cancelled"),
    "declined": marked("Declined"),
    "expired": marked("Expired"),
    "complete": marked("Took place"),
    "no_show": marked("Missed"),
    "undo_no_show": marked("Not missed after all"),
    "attendance_asked": marked("Asked whether they come"),
    "attendance_confirmed": marked("Attendance confirmed"),
    "offered_to_line": marked("Offered to those who wait"),
    "tentative": marked("Answered: maybe"),
    "declined_too_late": marked("Declined too late"),
    "mail_bounced": marked("The mail came back"),
    "delegated": marked("Somebody else was named"),
    "client_wrote": marked("Wrote back"),
    "reply_doubted": marked("An answer came that may not be theirs"),
    "reply_from_other_address": marked("Answered from another mail address"),
    "reply_to_old_time": marked("Answered about the time before"),
    "reply_too_late": marked("Answered when it was over"),
    "invitation_asked_again": marked("The calendar asked for the invitation again"),
    "other_time_wanted": marked("Another time asked for"),
    "other_time_declined": marked("The time asked for is not possible"),
    "other_time_impossible": marked("Another time asked for that cannot be"),
    "reminders_off": marked("Reminders turned off"),
    "reminders_on": marked("Reminders turned on"),
    "mail_delayed": marked("The mail is delayed"),
    "mail_handed_over": marked("Mail handed over"),
    "mail_refused": marked("The mail address refused our mail"),
    "mail_stuck": marked("The mail server does not take our mail"),
    "address_changed": marked("Mail address changed"),
    "erased": marked("Personal data erased"),
}


def status_name(status: str, language: str) -> str:
    """A booking's state."""
    return catalog(language).gettext(_STATES[status])


def marks(status: str) -> str:
    """How a booking's state looks: a class of the style sheet, empty for what is well."""
    return {"pending": "wait", "confirmed": "", "completed": ""}.get(status, "bad")


def happening(what: str, language: str) -> str:
    """A line of the timeline; a word that has no name yet is shown as it is."""
    return catalog(language).gettext(_HAPPENINGS[what]) if what in _HAPPENINGS else what.replace("_", " ")


def month_name(day: date, language: str) -> str:
    """Month and year."""
    return str(format_date(day, "LLLL y", locale(language)))


def day_name(day: date, language: str) -> str:
    """Weekday, day, month."""
    return str(format_date(day, "full", locale(language)))


def by_day(instants: Iterable[datetime], zone: str) -> list[tuple[date, list[datetime]]]:
    """Instants in their order, under the days that they fall on in that zone."""
    return [(day, list(each)) for day, each in groupby(instants, lambda i: i.astimezone(zone_of(zone)).date())]


def plain_date(day: date | str, language: str) -> str:
    """Day, month and year, in few signs. day: as it is, or written ``YYYY-MM-DD``."""
    return str(format_date(date.fromisoformat(day) if isinstance(day, str) else day, "medium", locale(language)))


def weekday_name(day: date, language: str, width: str) -> str:
    """``wide`` or ``short``: so short that seven stand side by side on a phone, in languages that hardly shorten too."""
    names = get_day_names("abbreviated", "stand-alone", locale(language))
    if width == "wide":
        names = get_day_names("wide", "stand-alone", locale(language))
    elif max(map(len, names.values())) > 4:
        names = get_day_names("narrow", "stand-alone", locale(language))
    return str(names[day.weekday()])


def wish_limits(wish: Mapping[str, Any], language: str) -> str:
    """The weekdays and hours that a wish for a range of days is limited to; empty where any will do."""
    names = get_day_names("abbreviated", "stand-alone", locale(language))
    days = [str(names[d - 1]) for d in wish["weekdays"]]
    hours = [format_time(time(int(t[:2]) % 24, int(t[3:])), "short", locale=locale(language)) for t in wish["between"]]
    found = [format_list(days, locale=locale(language))] if 0 < len(days) < 7 else []
    found += ["–".join(hours)] if list(wish["between"]) != ["00:00", "24:00"] else []
    return " · ".join(found)


def weekdays(language: str) -> list[tuple[int, str]]:
    """``(ISO number, name)`` in the order of the reader's week."""
    names = get_day_names("wide", "stand-alone", locale(language))
    first = int(locale(language).first_week_day)
    return [(d + 1, str(names[d])) for d in [(first + i) % 7 for i in range(7)]]
