"""What may be asked for later (imperative), and what may have happened (past tense). Pure values.

``key`` makes a message unique: appending it again does nothing. ``merges``: unique only while it waits, for things
that may be wanted again. ``line``: messages with the same line run one after the other, in order.
``automation``: which pause holds it (INTERFACE §5).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from functools import cache
from hashlib import sha256
from typing import Any, ClassVar, get_type_hints

from ledger.message import Message as Message
from ledger.message import text

# --- commands to sync -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PullCalendar(Message):
    """Read one calendar's changes into the ledger."""

    calendar_id: int
    merges: ClassVar[bool] = True

    @property
    def line(self) -> str:
        """One pull of a calendar at a time."""
        return f"calendar:{self.calendar_id}"


@dataclass(frozen=True, slots=True)
class PushEvent(Message):
    """Make the provider's event of a slot equal the wish, at least up to ``version``."""

    slot_event_id: int
    version: int
    automation: ClassVar[str] = "push"

    @property
    def line(self) -> str:
        """One write to an event at a time."""
        return f"event:{self.slot_event_id}"


@dataclass(frozen=True, slots=True)
class LookForEvent(Message):
    """An event of ours is missing since an instant; look again (P5). look: 1 at once, 2 at the end of the grace."""

    slot_event_id: int
    missing_since: datetime
    look: int


@dataclass(frozen=True, slots=True)
class SweepEvent(Message):
    """A create had to be repeated where the provider can't refuse the second one: look for what it may have left."""

    slot_event_id: int
    merges: ClassVar[bool] = True
    automation: ClassVar[str] = "push"

    @property
    def line(self) -> str:
        """One of its own: it is planned for later, and no write of the event may wait for it."""
        return f"sweep:{self.slot_event_id}"


@dataclass(frozen=True, slots=True)
class OpenChannel(Message):
    """Have a calendar's provider call us when it changes: open a channel, or renew the one that is there."""

    calendar_id: int
    merges: ClassVar[bool] = True

    @property
    def line(self) -> str:
        """One channel of a calendar at a time."""
        return f"channel:{self.calendar_id}"


@dataclass(frozen=True, slots=True)
class CloseChannel(Message):
    """Tell a provider not to call us through this channel any more."""

    channel_id: str
    merges: ClassVar[bool] = True


# --- facts from sync --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RemoteCancellation(Message):
    """The operator deleted a slot's event, proven by a second look."""

    slot_event_id: int
    slot_id: int
    automation: ClassVar[str] = "cancel"

    @property
    def line(self) -> str:
        """Facts about one slot in their order."""
        return f"facts:{self.slot_id}"


@dataclass(frozen=True, slots=True)
class RemoteMove(Message):
    """The operator gave a slot's event another time. version: of the wish that it was moved away from."""

    slot_event_id: int
    slot_id: int
    version: int
    start: datetime
    end: datetime
    automation: ClassVar[str] = "move"

    @property
    def line(self) -> str:
        """Facts about one slot in their order."""
        return f"facts:{self.slot_id}"


@dataclass(frozen=True, slots=True)
class RemoteOverlap(Message):
    """A foreign event now lies over a taken slot. It may go away, and come again."""

    slot_id: int
    start: datetime
    end: datetime
    merges: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class GuestDeclined(Message):
    """The client declined an invitation that the operator's own account sent (P8). version: of the wish it was sent for."""

    slot_event_id: int
    slot_id: int
    version: int
    automation: ClassVar[str] = "cancel"

    @property
    def line(self) -> str:
        """Facts about one slot in their order."""
        return f"facts:{self.slot_id}"


@dataclass(frozen=True, slots=True)
class GuestAccepted(Message):
    """The client accepted an invitation that the operator's own account sent."""

    slot_event_id: int
    slot_id: int
    version: int

    @property
    def line(self) -> str:
        """Facts about one slot in their order."""
        return f"facts:{self.slot_id}"


@dataclass(frozen=True, slots=True)
class HoursClosed(Message):
    """Hours that a calendar had opened went away; people may be booked in them."""

    operator_id: int
    merges: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class NoShowTagged(Message):
    """The operator tagged a slot's event as a no-show, or took the tag away: the event's row says which."""

    slot_event_id: int
    slot_id: int
    merges: ClassVar[bool] = True
    automation: ClassVar[str] = "no_show"

    @property
    def line(self) -> str:
        """One of its own: it may wait for the start, and a cancellation or a move must not wait with it."""
        return f"no_show:{self.slot_id}"


@dataclass(frozen=True, slots=True)
class TimeFreed(Message):
    """Busy time went away or hours were opened; it stays closed until the people waiting had their turn."""

    operator_id: int
    merges: ClassVar[bool] = True
    automation: ClassVar[str] = "promote"

    @property
    def line(self) -> str:
        """One after the other for an operator."""
        return f"freed:{self.operator_id}"


# --- facts from clients' mail -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MailFact(Message):
    """What one mail to us says. mail: sha256 of its bytes, hex. tag: of the organizer address it was sent to, ``""`` if
    to none; knowing it proves that somebody has the invitation."""

    mail: str
    tag: str

    @property
    def key(self) -> str:
        """As for all, but hashed: it may hold what people wrote, and is as long as they like."""
        said = chr(31).join(text(getattr(self, f.name)) for f in fields(self))
        return f"{type(self).__name__}:{sha256(said.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True)
class ClientReply(MailFact):
    """A client's calendar answered an invitation of ours, or somebody wants us to believe that.

    method: ``REPLY``; another one is what only an organizer may say, or a ``COUNTER`` without a time. said_at: DTSTAMP,
    never later than the mail came. attendee: bare address. verdict: ``pass``, ``fail``, ``unknown`` (RFC 8601).
    """

    uid: str
    method: str
    sequence: int
    said_at: datetime
    partstat: str
    attendee: str
    comment: str
    verdict: str

    @property
    def line(self) -> str:
        """Answers to one invitation in the order in which they came."""
        return f"answers:{self.tag or self.uid}"


@dataclass(frozen=True, slots=True)
class ClientDeclined(ClientReply):
    """The client's calendar declined; the fields are those of `ClientReply`."""

    automation: ClassVar[str] = "cancel"


@dataclass(frozen=True, slots=True)
class ClientCounter(MailFact):
    """The client's calendar asks for another time. The other fields are those of `ClientReply`."""

    uid: str
    sequence: int
    said_at: datetime
    start: datetime
    end: datetime
    verdict: str

    @property
    def line(self) -> str:
        """Answers to one invitation in the order in which they came."""
        return f"answers:{self.tag or self.uid}"


@dataclass(frozen=True, slots=True)
class ClientRefresh(MailFact):
    """The client's calendar asks for the newest version of an invitation."""

    uid: str
    verdict: str

    @property
    def line(self) -> str:
        """Answers to one invitation in the order in which they came."""
        return f"answers:{self.tag or self.uid}"


@dataclass(frozen=True, slots=True)
class ClientWrote(MailFact):
    """Somebody answered a mail of ours in their own words. text: plain, several lines."""

    text: str
    verdict: str

    @property
    def line(self) -> str:
        """Answers to one invitation in the order in which they came."""
        return f"answers:{self.tag}"


@dataclass(frozen=True, slots=True)
class MailBounced(MailFact):
    """A mail of ours came back. message_id: of ours, ``""`` where the report doesn't tell. status: RFC 3463. permanent: it
    won't arrive; else it is still being tried."""

    message_id: str
    status: str
    permanent: bool
    diagnostic: str


# --- commands to booking ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PromoteWaitlist(Message):
    """A seat was freed while promotion was paused; `holder` keeps it from strangers until this runs."""

    operator_id: int
    holder: str
    automation: ClassVar[str] = "promote"


@dataclass(frozen=True, slots=True)
class ExpireHold(Message):
    """A hold's time is over: give its seats to the line, or back."""

    operator_id: int
    holder: str


@dataclass(frozen=True, slots=True)
class ExpireOffer(Message):
    """An offer's time is over: the next in line."""

    offer_id: int


@dataclass(frozen=True, slots=True)
class DecidePending(Message):
    """A booking waits for fresh calendar data or for approval; decide it when the former is there or the latter's time is over."""

    booking_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class CompleteBooking(Message):
    """The appointment is over."""

    booking_id: str
    revision: int


@dataclass(frozen=True, slots=True)
class RemindBooking(Message):
    """The appointment is near; the revision that was planned for."""

    booking_id: str
    revision: int
    automation: ClassVar[str] = "remind"


@dataclass(frozen=True, slots=True)
class AskAttendance(Message):
    """The appointment is near: ask the client whether they come; the revision that was planned for."""

    booking_id: str
    revision: int
    automation: ClassVar[str] = "remind"


@dataclass(frozen=True, slots=True)
class ReleaseUnconfirmed(Message):
    """Nobody has said that they come: offer the place to who waits for it. The revision that was planned for."""

    booking_id: str
    revision: int
    merges: ClassVar[bool] = True
    automation: ClassVar[str] = "no_show"


@dataclass(frozen=True, slots=True)
class AskWhoCame(Message):
    """The appointment is over: ask the operator whether the client came; the revision that has taken place."""

    booking_id: str
    revision: int
    automation: ClassVar[str] = "no_show"


@dataclass(frozen=True, slots=True)
class SendMail(Message):
    """One mail to one person about one revision. audience: ``client`` or ``operator``. about: which message it is; what
    follows a colon makes it another one of the same words.

    To somebody in the line: ``booking_id`` is ``entry:ID`` and the revision is the id of the offer, or 0.
    """

    booking_id: str
    revision: int
    about: str
    audience: str

    @property
    def line(self) -> str:
        """A person gets the messages about a booking in order."""
        return f"mail:{self.booking_id}:{self.audience}"


@dataclass(frozen=True, slots=True)
class CapacityChanged(Message):
    """A slot that people are in has another number of seats; its event shall say so."""

    slot_id: int
    merges: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class ForgetClient(Message):
    """Erase a client when the mails about them have gone out, at `until` at the latest. whose: one of their bookings, or
    ``entry:ID``, a place in line; their address is not named here."""

    whose: str
    until: datetime


# --- to who listens ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendWebhook(Message):
    """Tell one endpoint of one entry of the feed. run: of the endpoint; a later one queues the same entry again."""

    webhook_id: int
    run: int
    entry_id: int
    booking_id: str

    @property
    def line(self) -> str:
        """An endpoint hears of a booking in order."""
        return f"webhook:{self.webhook_id}:{self.booking_id}"


@dataclass(frozen=True, slots=True)
class CatchUpWebhook(Message):
    """Queue the entries of the feed that an endpoint has missed, from a place on, a step at a time."""

    webhook_id: int
    run: int
    after: int

    @property
    def line(self) -> str:
        """One step after the other."""
        return f"catch-up:{self.webhook_id}"


KINDS: dict[str, type[Message]] = {
    kind.__name__: kind
    for kind in (
        PullCalendar, PushEvent, LookForEvent, SweepEvent, OpenChannel, CloseChannel, RemoteCancellation, RemoteMove, RemoteOverlap,
        GuestDeclined, GuestAccepted, NoShowTagged, HoursClosed, TimeFreed,
        ClientReply, ClientDeclined, ClientCounter, ClientRefresh, ClientWrote, MailBounced,
        PromoteWaitlist, ExpireHold, ExpireOffer, DecidePending, CompleteBooking, RemindBooking, AskAttendance,
        ReleaseUnconfirmed, AskWhoCame, SendMail,
        CapacityChanged, ForgetClient, SendWebhook, CatchUpWebhook,
    )
}  # fmt: skip


def to_body(message: Message) -> dict[str, Any]:
    """The fields as JSON values."""
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(message).items()}


def from_body(kind: str, body: dict[str, Any]) -> Message:
    """The message again. Raises KeyError for a kind of another version."""
    cls = KINDS[kind]
    instants = _instants(kind)
    return cls(**{k: datetime.fromisoformat(v) if k in instants else v for k, v in body.items()})


@cache
def _instants(kind: str) -> frozenset[str]:
    return frozenset(name for name, hint in get_type_hints(KINDS[kind]).items() if hint is datetime)
