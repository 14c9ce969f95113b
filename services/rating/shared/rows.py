"""Small helpers of rating's stores: pages of lists, and a row that others may be replacing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from services.chassis.page import MAX_TOTAL, Listed, Page
from services.kernel.errors import AbortedError, InvalidArgumentError
from services.kernel.ids import uuid_or_none

T = TypeVar("T")

# How often other changes of the same thing may overtake a transaction that waits for it; people do not make more.
MAX_LOOKS = 20
# How many codes or ids one request may name: as many as a page holds.
MAX_NAMED = 1000


def read_list(
    tx: Connection,
    statement: sa.Select[Any],
    key: sa.ColumnElement[Any],
    page: Page,
    make: Callable[[Row[Any]], T],
    *,
    newest_first: bool = False,
) -> Listed[T]:
    """One page of a list in the order of `key`, which is unique in it.

    One extra row is read to see whether more follow.

    Ids are time-ordered, so a list that is newest first is in falling order of its ids.

    Raises:
        InvalidArgumentError: the page's token belongs to another list.
    """
    total = _total(tx, statement) if page.with_total else None
    if page.after:
        if isinstance(key.type, sa.Uuid) and uuid_or_none(page.after[0]) is None:
            raise InvalidArgumentError.of_field("page.page_token", "value_is_invalid", "is not a token of this list")
        statement = statement.where(key < page.after[0] if newest_first else key > page.after[0])
    order = key.desc() if newest_first else key.asc()
    rows: Sequence[Row[Any]] = tx.execute(
        statement.add_columns(sa.cast(key, sa.Text).label("page_key"))
        .order_by(order)
        .offset(page.skip)
        .limit(page.size + 1)
    ).all()
    return Listed.of(rows, page, lambda row: (row.page_key,), total=total).map(make)


def _total(tx: Connection, statement: sa.Select[Any]) -> int | None:
    """How many rows a list has; None beyond `MAX_TOTAL`, where counting stops."""
    rows = statement.with_only_columns(sa.literal(1), maintain_column_froms=True).limit(MAX_TOTAL + 1).subquery()
    counted = int(tx.execute(sa.select(sa.func.count()).select_from(rows)).scalar_one())
    return counted if counted <= MAX_TOTAL else None


def named_in(column: sa.ColumnElement[Any], named: Sequence[str], field: str) -> sa.ColumnElement[bool]:
    """The condition that a column has one of the named values; without named values, any value.

    Raises:
        InvalidArgumentError: more than `MAX_NAMED` are named.
    """
    if len(named) > MAX_NAMED:
        raise InvalidArgumentError.of_field(field, "value_is_invalid", f"are at most {MAX_NAMED}")
    return column.in_(named) if named else sa.true()


def lock_row(
    tx: Connection, statement: sa.Select[Any], *, of: sa.FromClause, is_shared: bool = False
) -> Row[Any] | None:
    """The row that a statement selects, locked until the transaction ends; None if there is none.

    While a transaction waits for the lock, the row may be replaced, as versions are. A second look then finds the row
    that replaced it.

    Args:
        tx: the transaction.
        statement: selects the row.
        of: the table whose row is locked.
        is_shared: whether others may hold the lock too, which only keeps the row from being changed.

    Raises:
        AbortedError: `CHANGED_MEANWHILE`, others replace the row faster than it can be locked; try again.
    """
    locking = statement.with_for_update(read=is_shared, key_share=not is_shared, of=of)
    for _ in range(MAX_LOOKS):
        row = tx.execute(locking).first()
        if row is not None or tx.execute(statement).first() is None:
            return row
    raise AbortedError("CHANGED_MEANWHILE", "others are changing the same thing; try again")
