"""Many things in one transaction, of which one cannot be done: it alone is left out, and all others are done.

    done, failed = isolated(tx, periods, lambda part: close(deps, tx, part))

All are tried together; where they fail, each half is tried by itself, down to the culprit. So a thing that breaks us
costs twice the logarithm of a batch in savepoints, and where nothing fails there is one savepoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy.engine import Connection

from services.chassis.db import is_unavailable, lost_a_race, ran_too_long

T = TypeVar("T")
R = TypeVar("R")


def concerns_none(error: BaseException) -> bool:
    """Whether an error has nothing to do with what work is done on: the database is away, or a race was lost."""
    return lost_a_race(error) or (is_unavailable(error) and not ran_too_long(error))


def isolated(
    tx: Connection,
    things: Sequence[T],
    work: Callable[[Sequence[T]], R],
    *,
    is_passing: Callable[[BaseException], bool] = concerns_none,
) -> tuple[list[R], list[tuple[T, Exception]]]:
    """Do work on things, in their order.

    Args:
        tx: the transaction; what fails is undone in it and nothing else.
        things: what work is to be done on; nothing is done without any.
        work: takes some of them. What it has changed outside the transaction must not matter once it fails.
        is_passing: which errors are none of the things' fault, and end the work as a whole.

    Returns:
        What work has answered, once for each part that could be done together; and the things that fail alone, each
        with its error.

    Raises:
        Exception: one that passes by itself.
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
