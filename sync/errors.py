"""What can't be done with a connection or a calendar, as one tree.

::

    SyncError
    ├── NotFound         no such connection or calendar
    ├── NotWritable      bookings can't go into a calendar that we may only read
    ├── BookingsTaken    the operator has a calendar for bookings already
    ├── Disabled         a person switched this connection off
    ├── VoiceNotOffered  this provider can't invite clients in our place
    └── BadLink          a link to connect an account isn't ours
        ├── LinkExpired  it is too old
        ├── LinkUsed     an account was connected through it already
        └── WrongAccount the person signed in with another account than the one to be reconnected
"""

from __future__ import annotations


class SyncError(Exception):
    """Something about a connection can't be done."""

    code = "sync_error"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.__doc__)


class NotFound(SyncError):
    """There is no such connection or calendar."""

    code = "not_found"


class NotWritable(SyncError):
    """This calendar can only be read; bookings need one that can be written."""

    code = "calendar_not_writable"


class BookingsTaken(SyncError):
    """Another calendar of this operator takes the bookings; take that role from it first."""

    code = "bookings_calendar_taken"


class Disabled(SyncError):
    """This connection is switched off."""

    code = "connection_disabled"


class VoiceNotOffered(SyncError):
    """Only a Google or Microsoft account can invite clients itself."""

    code = "voice_not_offered"


class BadLink(SyncError):
    """This link is not valid."""

    code = "bad_link"


class LinkExpired(BadLink):
    """This link is too old."""

    code = "link_expired"


class LinkUsed(BadLink):
    """This link has been used."""

    code = "link_used"


class WrongAccount(BadLink):
    """This is another account than the one to be reconnected."""

    code = "wrong_account"
