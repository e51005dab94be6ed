"""What can be wrong with people who sign in.

::

    IdentityError
    ├── NoSuchUser        nobody has that address or number
    └── BadValue          a field can't be taken; .field, .code
"""

from __future__ import annotations


class IdentityError(Exception):
    """It can't be done."""

    code = "not_possible"


class NoSuchUser(IdentityError):
    """There is no such user."""

    code = "no_such_user"


class BadValue(IdentityError):
    """A field can't be taken. field: its name; code: stable; the text is for people, in English."""

    def __init__(self, field: str, code: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.code = code
        self.detail = detail
