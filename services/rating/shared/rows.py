"""Small helpers of rating's stores: pages of lists, and what a lost insert race means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from services.chassis.page import Listed, Page

T = TypeVar("T")


def read_list(
    tx: Connection,
    statement: sa.Select[Any],
    key: sa.ColumnElement[Any],
    page: Page,
    make: Callable[[Row[Any]], T],
    *,
    newest_first: bool = False,
) -> Listed[T]:
    """One page of a list that is ordered by `key`, unique within it; one row more than asked tells whether more follow.

    Ids are time-ordered, so a list that is newest first is ordered by id, falling.
    """
    if page.after:
        statement = statement.where(key < page.after[0] if newest_first else key > page.after[0])
    order = key.desc() if newest_first else key.asc()
    rows: Sequence[Row[Any]] = tx.execute(
        statement.add_columns(sa.cast(key, sa.Text).label("page_key"))
        .order_by(order)
        .offset(page.skip)
        .limit(page.size + 1)
    ).all()
    return Listed.of(rows, page, lambda row: (row.page_key,)).map(make)
