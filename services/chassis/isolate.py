"""Many things in one transaction: if one of them cannot be done, only that one is left out.

    done, failed = isolated(tx, periods, lambda part: close(deps, tx, part))

All are tried together. If they fail, each half is tried by itself, down to the culprit. So a faulty thing costs twice
the logarithm of the batch in savepoints, and if nothing fails there is one savepoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy.engine import Connection

from services.chassis.db import is_unavailable, lost_a_race, ran_too_long

T = TypeVar("T")
R = TypeVar("R")


def concerns_none(error: BaseException) -> bool:
    """Whether an error has nothing to do with the things: the database is unavailable, or a race was lost."""
    return lost_a_race(error) or (is_unavailable(error) and not ran_too_long(error))


def isolated(
    tx: Connection,
    things: Sequence[T],
    work: Callable[[Sequence[T]], R],
    *,
    is_passing: Callable[[BaseException], bool] = concerns_none,
) -> tuple[list[R], list[tuple[T, Exception]]]:
    """Do some work on things, in their order.

    Args:
        tx: the transaction; only work that fails is undone in it.
        things: the things; if there are none, nothing is done.
        work: does the work on some of them. If it fails, what it has changed outside the transaction must not matter.
        is_passing: whether an error is not the fault of the things, and therefore ends the work as a whole.

    Returns:
        The results of the work, one for each part that could be done together; and the things that failed alone, each
            with its error.

    Raises:
        Exception: an error that passes by itself.
    """
    if not things:
        return [], []
    try:
        with tx.begin_nested():
            return [work(things)], []
    except Exception as error:
        if is_passing(error):
            raise
        if len(things) == 1:
            return [], [(things[0], error)]
    middle = len(things) // 2
    done, failed = isolated(tx, things[:middle], work, is_passing=is_passing)
    also_done, also_failed = isolated(tx, things[middle:], work, is_passing=is_passing)
    return done + also_done, failed + also_failed
