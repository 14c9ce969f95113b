"""Who reads after a change finds it: the metadata by which callers and services say which change they mean.

    farebox-change          answered by rating: the number of the newest change of the organization in rating's log
    farebox-after-change    sent to a service that follows this log: answer as of this number or a later one
    farebox-behind          answered by such a service: it did not hear of that change in time, and answers without it
    farebox-revision        answered by entitlements to its own changes: a check at this revision finds them

A method that answers from what it has heard is decorated:

    @answers_async
    @current_async(is_denied)
    async def Check(self, request, context): ...

It waits for the change that the caller names. And before it says no to a caller who names none, or an older one, the
service asks whether there is a newer change; if there is, it waits for that and answers anew. A command does the same
by `hear_before` and `hear_newest`, before it keeps its refusal. Both waits are bounded (chassis.freshness), and what is
allowed or found costs nothing.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from services.chassis.freshness import Freshness
from services.chassis.rpc.calls import Context, organization_of
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import OrganizationId

CHANGE_KEY = "farebox-change"
AFTER_CHANGE_KEY = "farebox-after-change"
BEHIND_KEY = "farebox-behind"
REVISION_KEY = "farebox-revision"
# What a bigint holds.
_MAX_DIGITS = 18

M = TypeVar("M", bound=Callable[..., Any])
Q = TypeVar("Q")
A = TypeVar("A")


class Announces(Protocol):
    """Dependencies of a service whose log others follow."""

    @property
    def newest_change(self) -> Callable[[OrganizationId], int | None]:
        """The number of an organization's newest change."""


class Hears(Protocol):
    """A servicer of a service that follows a log."""

    @property
    def freshness(self) -> Freshness:
        """What the service has heard of the log."""


def says(key: str, newest: Callable[[Any, OrganizationId], int | None]) -> Callable[[M], M]:
    """Wrap a method that changes something: its answer carries a number by which the change is found.

    Args:
        key: of the metadata.
        newest: the number of the newest change of an organization, given the service's dependencies; None for none.
    """

    def decorate(method: M) -> M:
        @functools.wraps(method)
        def answer(self: Any, request: Any, context: Context) -> Any:
            reply = method(self, request, context)
            number = newest(self.deps, organization_of(context))
            if number is not None:
                context.set_trailing_metadata(((key, str(number)),))
            return reply

        answer.said = key  # type: ignore[attr-defined]
        return answer  # type: ignore[return-value]

    return decorate


def _newest_change(deps: Announces, organization: OrganizationId) -> int | None:
    return deps.newest_change(organization)


# For a method that changes what other services follow.
says_change = says(CHANGE_KEY, _newest_change)


def current(lacks: Callable[[Any], bool] | None = None) -> Callable[[M], M]:
    """Wrap a method that reads what the service has heard of.

    Args:
        lacks: whether an answer might be another one if something was missed, which is then looked for once. None
            where no answer tells.
    """

    def decorate(method: M) -> M:
        @functools.wraps(method)
        def answer(self: Any, request: Any, context: Context) -> Any:
            hearing = Hearing(self, context)
            known = hearing.known
            reply = method(self, request, context)
            if lacks is not None and lacks(reply) and hearing.newest() > known:
                reply = method(self, request, context)
            hearing.tell()
            return reply

        return answer  # type: ignore[return-value]

    return decorate


def current_async(lacks: Callable[[Any], bool]) -> Callable[[M], M]:
    """As `current`, for a coroutine method on an event loop."""

    def decorate(method: M) -> M:
        @functools.wraps(method)
        async def answer(self: Any, request: Any, context: Any) -> Any:
            freshness: Freshness = self.freshness
            await hear_before(freshness, context)
            known = freshness.heard
            reply = await method(self, request, context)
            if not lacks(reply):
                return reply
            heard = await hear_newest(freshness, context)
            return await method(self, request, context) if heard > known else reply

        return answer  # type: ignore[return-value]

    return decorate


async def hear_before(freshness: Freshness, context: Any) -> None:
    """Wait on a loop for the change that a caller names, if it names one; costs nothing where it is known."""
    after = after_change_of(context)
    if after > freshness.heard and (await asyncio.wrap_future(freshness.hear(after))).is_behind:
        _tell(freshness, context)


async def hear_newest(freshness: Freshness, context: Any) -> int:
    """Wait on a loop for the newest change of the caller's organization; returns the position reached for certain."""
    heard = await asyncio.wrap_future(freshness.hear_newest(organization_of(context)))
    if heard.is_behind:
        _tell(freshness, context)
    return heard.number


def _tell(freshness: Freshness, context: Context) -> None:
    """Tell a caller that the answer does not know everything that it should."""
    context.set_trailing_metadata(((BEHIND_KEY, str(freshness.heard)),))


class Hearing:
    """One call's wait for what its service has to hear.

    Attributes:
        known: the position of the log that the service had reached for certain when the call's work began.
    """

    def __init__(self, servicer: Hears, context: Context) -> None:
        """Wait for the change that the caller names, if it names one."""
        self._freshness = servicer.freshness
        self._context = context
        self._organization = organization_of(context)
        self._is_behind = self._freshness.wait(self._organization, after_change_of(context)).is_behind
        self.known = self._freshness.heard

    def newest(self) -> int:
        """Wait for the organization's newest change; the position that is then reached for certain."""
        heard = self._freshness.wait_for_newest(self._organization)
        self._is_behind |= heard.is_behind
        return heard.number

    def tell(self) -> None:
        """Tell the caller where the answer does not know everything that it should."""
        if self._is_behind:
            _tell(self._freshness, self._context)


def after_change_of(context: Context) -> int:
    """The change after which a call asks; 0 where it names none.

    Raises:
        InvalidArgumentError: it is no number.
    """
    for key, value in context.invocation_metadata() or ():
        if key == AFTER_CHANGE_KEY:
            if not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > _MAX_DIGITS:
                raise InvalidArgumentError.of_field(AFTER_CHANGE_KEY, "invalid_format", "is the number of a change")
            return int(value)
    return 0
