"""Lists in plain SQL whose conditions depend on the request, in pages, newest first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection, Row

from services.chassis.page import MAX_TOTAL, Listed, Page
from services.chassis.statement import Filtered
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import uuid_or_none


class NewestFirst:
    """The statements of a list in falling order of an id, which is time-ordered.

    Attributes:
        rows: reads a page of the list.
        count: counts the rows of the whole list, up to one more than `MAX_TOTAL`.
    """

    def __init__(self, select: str, source: str, key: str, *, key_type: str = "uuid", **conditions: str) -> None:
        """Compose the statements.

        Args:
            select: the columns.
            source: the text after FROM, with the conditions that always apply.
            key: the id, e.g. `i.invoice_id`.
            key_type: the id's type.
            conditions: those that apply if their value is given, see `Filtered`.
        """
        self.rows = Filtered(
            f"SELECT {select}, {key}::text AS page_key FROM {source} {{filters}} "
            f"ORDER BY {key} DESC OFFSET %(skip)s LIMIT %(limit)s",
            **conditions,
            after=f"{key} < %(after)s::{key_type}",
        )
        self.count = Filtered(
            f"SELECT count(*) FROM (SELECT 1 FROM {source} {{filters}} LIMIT %(most)s) AS counted", **conditions
        )


def _is_uuid(text: str) -> bool:
    return uuid_or_none(text) is not None


def within(page: Page, *, is_key: Callable[[str], bool] = _is_uuid) -> dict[str, Any]:
    """The values that tell a list's statements which part of it to read.

    Args:
        page: the part that is requested.
        is_key: whether a text can be an id of the list.

    Raises:
        InvalidArgumentError: the page's token belongs to another list.
    """
    after = page.after[0] if page.after else ""
    if after and not is_key(after):
        raise InvalidArgumentError.of_field("page.page_token", "value_is_invalid", "is not a token of this list")
    return {"after": after, "skip": page.skip, "limit": page.size + 1, "most": MAX_TOTAL + 1}


def read_newest(tx: Connection, rows: str, count: str, values: Mapping[str, Any], page: Page) -> Listed[Row[Any]]:
    """A page of a list.

    Args:
        tx: the transaction.
        rows: the statement for a page, with the requested conditions.
        count: the statement that counts, with the same conditions.
        values: the values of the statements, including those of `within(page)`.
        page: which part of the list.
    """
    counted: int | None = tx.exec_driver_sql(count, dict(values)).scalar_one() if page.with_total else None
    found: Sequence[Row[Any]] = tx.exec_driver_sql(rows, dict(values)).all()
    total = counted if counted is not None and counted <= MAX_TOTAL else None
    return Listed.of(found, page, lambda row: (row.page_key,), total=total)
