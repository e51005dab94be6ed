"""What the desk calls things, in the reader's language."""

from __future__ import annotations

from booking.i18n import catalog, marked

_WORDS: dict[str, dict[str, str]] = {
    "review": {
        "promotion": marked("A seat became free while the line was paused"),
        "move": marked("An appointment was moved in the calendar to a time that does not fit"),
        "overlap": marked("Another event lies over an appointment"),
        "closed_hours": marked("The hours of an appointment were closed in the calendar"),
        "bulk_deletion": marked("Many appointments vanished from the calendar at once"),
        "calendar_emptied": marked("A calendar is suddenly empty"),
        "calendar_unreadable": marked("A calendar can no longer be read"),
        "counter": marked("A client asks for another time"),
        "reply": marked("An answer from a client's calendar is not clear"),
        "late_decline": marked("A client declined after the time for it"),
        "failed_address": marked("A mail address does not take our mail"),
        "unsent_mail": marked("The mail server does not take our mail"),
        "unwritten_event": marked("Entries could not be written into the calendar"),
        "mailbox": marked("The mailbox for clients’ answers can’t be read"),
        "reconnect": marked("A calendar account must be connected again"),
        "channel_silent": marked(
            "A calendar has stopped telling us about changes; it is read every few minutes instead"
        ),
        "webhook": marked("A receiver of our notices does not answer"),
        "no_show": marked("A group appointment was marked as missed: who did not come?"),
    },
    "choice": {
        "promotion:next": marked("Give it to the first in line"),
        "move:follow": marked("Move the appointment there after all"),
        "move:restore": marked("Put the event back"),
        "overlap:cancel": marked("Cancel the appointment"),
        "closed_hours:cancel": marked("Cancel the appointment"),
        "bulk_deletion:cancel": marked("They were meant: cancel these appointments"),
        "calendar_emptied:accept": marked("Yes, it is empty"),
        "counter:follow": marked("Move the appointment to that time"),
        "reply:cancel": marked("Cancel the appointment"),
        "late_decline:cancel": marked("Cancel the appointment"),
        "failed_address:cancel": marked("Cancel the appointment"),
        "unsent_mail:retry": marked("Send it again"),
        "unwritten_event:retry": marked("Try again"),
        "no_show:one": marked("Did not come:"),
        "webhook:resume": marked("Send what was missed"),
        "no_show:all": marked("Nobody came"),
    },
    "dismiss": {
        "promotion": marked("Open it to everybody"),
        "move": marked("Leave the appointment where it is"),
        "overlap": marked("Leave it as it is"),
        "closed_hours": marked("Leave it as it is"),
        "bulk_deletion": marked("Keep them and put them back into the calendar"),
        "calendar_emptied": marked("No, go on with what was known"),
        "counter": marked("Keep the present time"),
        "": marked("Put away"),
    },
    "automation": {
        "cancel": marked("cancellations from the calendar"),
        "move": marked("moves from the calendar"),
        "promote": marked("giving free seats to the line"),
        "no_show": marked("what follows a missed appointment"),
        "remind": marked("reminders"),
        "push": marked("writing into calendars"),
    },
    "would": {
        "RemoteCancellation": marked("would cancel the appointment"),
        "RemoteMove": marked("would move the appointment"),
        "PromoteWaitlist": marked("would give a free seat to the first in line"),
        "TimeFreed": marked("would give free time to the line and open the rest"),
        "PushEvent": marked("would write the calendar entry"),
        "NoShowTagged": marked("would mark or unmark a missed appointment"),
        "AskWhoCame": marked("would ask whether the client came"),
        "ReleaseUnconfirmed": marked("would offer an unconfirmed place to those who wait"),
        "SweepEvent": marked("would remove a doubled calendar entry"),
        "RemindBooking": marked("would remind the client"),
        "AskAttendance": marked("would ask the client whether they come"),
        "GuestDeclined": marked("would cancel the appointment"),
        "ClientDeclined": marked("would cancel the appointment"),
        "idle": marked("would do nothing any more"),
        "": marked("would be done"),
    },
    "connection": {
        "ok": marked("works"),
        "stale": marked("could not be read lately"),
        "reconnect": marked("must be connected again"),
        "disabled": marked("switched off"),
    },
    "cause": {
        "page": marked("on the booking page"),
        "client_link": marked("by the client's link"),
        "api": marked("by a program"),
        "calendar_reply": marked("by an answer from the client's calendar"),
        "operator_calendar": marked("in the operator's calendar"),
        "operator moved the event": marked("in the operator's calendar"),
        "operator deleted the event": marked("in the operator's calendar"),
        "due": marked("when its time had come"),
        "time": marked("when its time had come"),
        "unconfirmed": marked("as nobody had confirmed it"),
    },
    "role": {
        "busy": marked("blocks time"),
        "availability": marked("opens hours"),
        "bookings": marked("takes the bookings"),
    },
    "problem": {
        "slot_taken": marked("That time is no longer free."),
        "too_late": marked("It is too late for that."),
        "does_not_fit": marked("It does not fit there."),
        "invalid": marked("Something in the form is not right."),
        "": marked("That is not possible any more."),
    },
    "method": {
        "password": marked("password"),
        "passkey": marked("passkey"),
        "google": "Google",
        "microsoft": "Microsoft",
    },
}


_BROWSERS = (
    ("Edg", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser", "Samsung Internet"), ("Firefox", "Firefox"), ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"), ("Chrom", "Chrome"), ("Safari", "Safari"),
)  # fmt: skip
_SYSTEMS = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS", "macOS"),
    ("CrOS", "ChromeOS"), ("Linux", "Linux"),
)  # fmt: skip


def browser_name(agent: str) -> str:
    """``Firefox · Windows`` for what a browser says of itself, in its first words where it is none of the known ones.

    The order counts: most browsers name older ones too.
    """
    found = [next((name for sign, name in each if sign in agent), "") for each in (_BROWSERS, _SYSTEMS)]
    return " · ".join(filter(None, found)) or agent[:40] or "–"


def word(kind: str, key: str, language: str) -> str:
    """The name of `key` among words of that kind; the general one, or the key itself, for what has no name yet."""
    words = _WORDS[kind]
    text = words.get(key) or words.get("")
    return catalog(language).gettext(text) if text else key.rpartition(":")[2].replace("_", " ")
