"""Wait for something to become true: with a limit, by the monotonic clock, without sleeping blindly."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# The second check comes soon, since most waits here end within milliseconds (a process that just exited) ...
FIRST_PAUSE_SECONDS = 0.002
# ... and no pause exceeds this, so that a slow start costs at most this much extra and little CPU.
LONGEST_PAUSE_SECONDS = 0.05
# The pause grows for eight checks until it reaches the longest.
PAUSE_GROWTH = 1.5


def wait_until(predicate: Callable[[], T], *, timeout: float, what: str) -> T:
    """The first truthy answer of `predicate`.

    Args:
        predicate: called at least once; an exception that it raises ends the wait and reaches the caller.
        timeout: seconds after which the wait gives up.
        what: the thing, as it should read in "gave up waiting for …".

    Raises:
        TimeoutError: the predicate was still falsy at the deadline.
    """
    deadline = time.monotonic() + timeout
    pause = FIRST_PAUSE_SECONDS
    while not (answer := predicate()):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"gave up waiting for {what} after {timeout:g} s")
        time.sleep(min(pause, left))
        pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE_SECONDS)
    return answer
