"""Many rows in one statement: as one JSON text that PostgreSQL reads as a table, in either role and any number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

_ENCODER = msgspec.json.Encoder(decimal_format="string")


def rows_json(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as the argument of `json_to_recordset`; decimals travel as text, so they stay exact."""
    return _ENCODER.encode(list(rows)).decode()


def upsert_sql(table: str, columns: Mapping[str, str], key: str, update: str) -> str:
    """INSERT … ON CONFLICT for the rows of one JSON argument, in the order of the key so that writers never deadlock.

    Args:
        table: the name of the table; `update` calls its row `kept`.
        columns: the SQL types of the JSON's columns.
        key: the columns of the conflict, comma-separated.
        update: what follows ON CONFLICT (…), e.g. `DO UPDATE SET …`.
    """
    names = ", ".join(columns)
    types = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    return (
        f"INSERT INTO {table} AS kept ({names}) SELECT {names} FROM json_to_recordset(%s::json) AS r({types}) "
        f"ORDER BY {key} ON CONFLICT ({key}) {update}"
    )
