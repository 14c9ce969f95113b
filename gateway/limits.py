"""How much a key and an organization may ask of one gateway process, and what that looks like to callers (ADR 20).

Requests are counted in windows of fixed length, in memory. A window costs two look-ups and no allocation, since every
event and every question passes here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from math import ceil

from gateway.auth.keys import Caller
from gateway.exchange import Lines
from gateway.limit_terms import BUDGET_SECONDS, Budget, Terms
from gateway.problem import Problem

# What every limited answer says of the limit that is nearest.
RATE_HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
# A few megabytes. Only keys that work have windows; when there are more, those that have ended are dropped.
MAX_WINDOWS = 20_000


class _Limit:
    """One limit, ready to be counted and told.

    Attributes:
        whose: for people: who has it, and for what.
        amount: requests in a window; 0 for any number.
        seconds: the length of a window.
        told: the header that says the amount.
    """

    __slots__ = ("amount", "seconds", "told", "whose")

    def __init__(self, whose: str, amount: int, seconds: int) -> None:
        self.whose = whose
        self.amount = amount
        self.seconds = seconds
        self.told = (b"ratelimit-limit", b"%d" % amount)


class _Window:
    """What was counted since a window began; it is changed in place, since every request passes one."""

    __slots__ = ("count", "ends_at", "limit")

    def __init__(self, limit: _Limit, ends_at: float) -> None:
        self.limit = limit
        self.ends_at = ends_at
        self.count = 0

    def is_nearer_than(self, other: _Window | None) -> bool:
        """Whether less of its limit is left."""
        return other is None or self.count * other.limit.amount > other.count * self.limit.amount


class Limits:
    """Counts requests; use it from one event loop."""

    def __init__(self, terms: Terms | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with empty windows.

        Args:
            terms: the limits.
            clock: seconds that never go back.
        """
        terms = terms or Terms()
        self._clock = clock
        self._key = _Limit("this key", terms.key, terms.seconds)
        self._organization = _Limit("the organization", terms.organization, terms.seconds)
        self._budgets = {
            budget: _Limit(f"the organization's budget of {budget}", amount, BUDGET_SECONDS)
            for budget, amount in terms.budgets
        }
        self._windows: dict[Hashable, _Window] = {}

    @property
    def counted(self) -> int:
        """How many windows are held."""
        return len(self._windows)

    def take(self, caller: Caller, budget: Budget | None, lines: Lines) -> None:
        """Count a request, and write the headers that say what is left of the limit that is nearest.

        Raises:
            Problem: 429, with the seconds until there is room again.
        """
        now, owner = self._clock(), caller.organization.id
        nearest = self._take(caller.key_id, self._key, now, None)
        nearest = self._take(owner, self._organization, now, nearest)
        if budget is not None:
            nearest = self._take((owner, budget), self._budgets[budget], now, nearest)
        if nearest is not None:
            lines.append(nearest.limit.told)
            lines.append((b"ratelimit-remaining", b"%d" % (nearest.limit.amount - nearest.count)))
            lines.append((b"ratelimit-reset", b"%d" % ceil(nearest.ends_at - now)))

    def _take(self, name: Hashable, limit: _Limit, now: float, nearest: _Window | None) -> _Window | None:
        """Count a request against a limit; the nearer of its window and the one that was nearest so far."""
        if not limit.amount:
            return nearest
        window = self._windows.get(name)
        if window is None or window.ends_at <= now:
            window = self._begin(name, limit, now)
        if window.count >= limit.amount:
            raise _too_many(limit, ceil(window.ends_at - now))
        window.count += 1
        return window if window.is_nearer_than(nearest) else nearest

    def _begin(self, name: Hashable, limit: _Limit, now: float) -> _Window:
        if len(self._windows) >= MAX_WINDOWS:
            self._windows = {name: window for name, window in self._windows.items() if window.ends_at > now}
            if len(self._windows) >= MAX_WINDOWS:
                self._windows.clear()
        window = self._windows[name] = _Window(limit, now + limit.seconds)
        return window


def _too_many(limit: _Limit, seconds: int) -> Problem:
    headers = {
        "Retry-After": str(seconds),
        "RateLimit-Limit": str(limit.amount),
        "RateLimit-Remaining": "0",
        "RateLimit-Reset": str(seconds),
    }
    detail = f"{limit.whose} allows {limit.amount} requests in {limit.seconds} s; nothing was done, try again later"
    return Problem(429, "too_many_requests", detail, headers=headers)
