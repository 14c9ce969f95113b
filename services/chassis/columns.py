"""Many rows in one statement, a parameter a column: arrays in the form in which PostgreSQL reads them.

psycopg writes a list value by value, in Python, which costs more than the row is worth to the database. Joined here it
costs a tenth. `%s::uuid[]` in the statement says what the words are:

    INSERT INTO t (id, name) SELECT * FROM unnest(%s::uuid[], %s::text[])      (words(ids), texts(names))
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

# No text of PostgreSQL has it, so it may stand between texts until they are quoted.
_BETWEEN = "\0"


def words(values: Sequence[object]) -> str:
    """A column of values whose text needs no quotes: numbers, UUIDs, constants of ours; NULL for None.

    Raises:
        ValueError: one of them would be read as several.
    """
    if not values:
        return "{}"
    joined = ",".join(["NULL" if value is None else str(value) for value in values])
    if joined.count(",") != len(values) - 1:
        raise ValueError("a word has a comma")
    return "{" + joined + "}"


def texts(values: Sequence[str]) -> str:
    """A column of any texts.

    Raises:
        ValueError: one of them has a NUL, which PostgreSQL cannot keep.
    """
    if not values:
        return "{}"
    joined = _BETWEEN.join(values)
    if joined.count(_BETWEEN) != len(values) - 1:
        raise ValueError("a text has a NUL")
    escaped = joined.replace("\\", "\\\\").replace('"', '\\"')
    return '{"' + escaped.replace(_BETWEEN, '","') + '"}'


def times(values: Sequence[datetime]) -> str:
    """A column of instants."""
    return "{}" if not values else '{"' + '","'.join([value.isoformat() for value in values]) + '"}'
