"""What every Connector must do, whatever server is behind it. A provider's test subclasses `ConnectorContract`.

Fixtures that the subclass gives:

``open_connector``   Callable[[], Connector]: another connector for the same account, as another worker would open one
``calendar``         an empty, writable calendar of that account, its zone `Terms.zone`
``other_calendar``   a second one
``operator``         `tests.support.foreign.Operator`: the owner with another app

Class attributes say what the server can't do; see each one's comment. The days are in 2027; all calendars are pulled
in `WINDOW`.
"""

from __future__ import annotations

from tests.contract.editing import EditingContract
from tests.contract.reading import ReadingContract
from tests.contract.terms import HOUR, MONDAY, WINDOW, Mirror, Opener, entry
from tests.contract.writing import WritingContract

__all__ = ["HOUR", "MONDAY", "WINDOW", "ConnectorContract", "Mirror", "Opener", "entry"]


class ConnectorContract(ReadingContract, EditingContract, WritingContract):
    """All of it. Each test gets an empty calendar."""
