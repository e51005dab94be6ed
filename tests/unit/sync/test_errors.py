"""The error tree: stable codes, and docstrings that are messages."""

from __future__ import annotations

from sync import errors
from sync.errors import SyncError


def test_each_has_a_code_of_its_own_and_a_message() -> None:
    found = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, SyncError)]
    assert len({e.code for e in found}) == len(found) == 10
    assert all(str(e()) == e.__doc__ for e in found)
    assert str(errors.NotFound("no calendar 7")) == "no calendar 7"
