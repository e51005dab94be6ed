"""Everything that a database holds, as text: to look for what must not be there."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from ledger.db import Database


def texts(database: Database) -> Iterator[tuple[str, str, str]]:
    """``(table, column, text)`` of every value of every table, as the database itself has it; bytes as Latin-1."""
    with database.reading() as tx:
        for table in sa.inspect(tx).get_table_names():
            result = tx.execute(sa.text(f'SELECT * FROM "{table}"'))
            for row in result:
                for column, value in zip(result.keys(), row, strict=True):
                    if isinstance(value, bytes | memoryview):
                        yield table, column, bytes(value).decode("latin-1")
                    elif value is not None:
                        yield table, column, _plain(str(value))


def holding(database: Database, *needles: str) -> list[tuple[str, str, str]]:
    """Where one of these stands, whatever its case."""
    folded = [needle.casefold() for needle in needles]
    return [(t, c, text) for t, c, text in texts(database) if any(n in text.casefold() for n in folded)]


def _plain(text: str) -> str:
    # As JSON is stored on SQLite, letters outside of ASCII are escaped.
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape") if "\\u" in text else text
