"""Small helpers of rating's stores: pages of lists, and what a lost insert race means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from services.chassis.page import Page, write_token

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """A page of a list.

    Attributes:
        entries: the rows, in the list's order.
        next_token: token of the next page; empty on the last one.
    """

    entries: tuple[T, ...]
    next_token: str


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
    kept = rows[: page.size]
    token = write_token(kept[-1].page_key) if len(rows) > page.size else ""
    return Listed(tuple(make(row) for row in kept), token)
