"""Calls that count wait for one another: those of an organization that came meanwhile share a transaction.

A call is answered after the commit only, by what it was answered first (chassis.idempotency), and as if it had been
alone. Two calls with one `request_id` are never in one transaction: the later one finds the answer of the first.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy.engine import Connection

from services.chassis import failpoint, idempotency
from services.chassis.db import retrying
from services.chassis.group_commit import Commit, GroupCommit
from services.chassis.isolate import concerns_none, isolated
from services.chassis.log import logger
from services.entitlements.commands.consumption import count
from services.entitlements.deps import Deps
from services.entitlements.domain.counting import Command, Counted
from services.kernel.errors import FareboxError, UnavailableError
from services.kernel.ids import OrganizationId

log = logger(__name__)

# Calls in one transaction, each some 80 µs of our time. Everybody in it waits for all of it.
MAX_TOGETHER = 256
# Organizations that are counted for at once; one of them waits for its rows or for the disk, and others go on.
LINES = 4


@dataclass(eq=False)
class Call:
    """A caller who waits for its answer.

    Attributes:
        organization: who calls.
        request: the message, with its `request_id`.
        command: what it asks for.
        pack: makes the answer of what was counted.
        unpack: reads an answer that was given before.
        receipt: resolves to the answer; to None where a refusal may not be kept.
        is_final: whether a refusal is kept as the answer; otherwise the call leaves no trace where it is refused.
        answer: the answer; None before the commit.
        error: why there is none; None if there is one.
    """

    organization: OrganizationId
    request: idempotency.Request
    command: Command
    pack: Callable[[Counted], Any]
    unpack: Callable[[bytes], Any]
    receipt: asyncio.Future[Any]
    is_final: bool = True
    answer: Any = None
    error: Exception | None = None

    @property
    def identity(self) -> tuple[str, str]:
        """What tells the call from others of the organization, and a repeat by."""
        return self.request.DESCRIPTOR.full_name, self.request.request_id


@dataclass(slots=True)
class _Lane:
    """Calls of one organization.

    Attributes:
        waiting: those that are in no transaction yet.
        is_taken: whether a line is at work on others.
    """

    waiting: deque[Call] = field(default_factory=deque)
    is_taken: bool = False


class CallQueue:
    """Calls that wait, by organization; of each, one transaction is on its way at a time.

    It needs no bound: the server takes no more calls than may be in progress.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lanes: dict[OrganizationId, _Lane] = {}
        self._ready: deque[OrganizationId] = deque()
        self._is_closed = False

    def put(self, call: Call) -> None:
        """Add a call.

        Raises:
            UnavailableError: the process is stopping.
        """
        with self._changed:
            if self._is_closed:
                raise UnavailableError("STOPPING", "this process takes no more calls")
            lane = self._lanes.setdefault(call.organization, _Lane())
            lane.waiting.append(call)
            if len(lane.waiting) == 1 and not lane.is_taken:
                self._ready.append(call.organization)
                self._changed.notify()

    def take(self, done: Sequence[Call]) -> list[Call]:
        """The next calls of one organization, whoever has waited longest; see chassis.group_commit.Queue."""
        with self._changed:
            if done:
                self._release(done[0].organization)
            while not self._ready and not self._is_closed:
                self._changed.wait()
            if not self._ready:
                return []
            lane = self._lanes[self._ready.popleft()]
            lane.is_taken = True
            return _together(lane.waiting)

    def _release(self, organization: OrganizationId) -> None:
        lane = self._lanes[organization]
        lane.is_taken = False
        if lane.waiting:
            self._ready.append(organization)
        else:
            del self._lanes[organization]

    def close(self) -> None:
        """Take no more calls; those that wait are still handed out."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


def _together(waiting: deque[Call]) -> list[Call]:
    """Take the first calls out that may share a transaction; a repeat of one of them stays."""
    taken: dict[tuple[str, str], Call] = {}
    stay: list[Call] = []
    while waiting and len(taken) < MAX_TOGETHER:
        call = waiting.popleft()
        if taken.setdefault(call.identity, call) is not call:
            stay.append(call)
    waiting.extendleft(reversed(stay))
    return list(taken.values())


class Counting:
    """Counts for the callers of this process; submit from the loop that it is given."""

    def __init__(self, deps: Deps, loop: asyncio.AbstractEventLoop) -> None:
        """Prepare the lines; nothing starts yet.

        Args:
            deps: of the service.
            loop: on which callers wait.
        """
        self._deps = deps
        self._loop = loop
        self._queue = CallQueue()
        self._lines: GroupCommit[Call] = GroupCommit("counting", self._queue, self._line, lines=LINES)
        self._lines.listen(self._hear)

    def start(self) -> None:
        """Begin to count."""
        self._lines.start()

    def stop(self) -> None:
        """Count for who waits, and end."""
        self._lines.stop()

    def submit(
        self,
        organization: OrganizationId,
        request: idempotency.Request,
        command: Command,
        pack: Callable[[Counted], Any],
        unpack: Callable[[bytes], Any],
        *,
        is_final: bool = True,
    ) -> asyncio.Future[Any]:
        """Count together with others that wait; the answer, after the commit.

        One that is not final and would be refused leaves no trace and resolves to None: something may have been missed
        that would allow it, so that the caller asks for news and submits it again.

        Raises:
            UnavailableError: the process is stopping.
        """
        call = Call(organization, request, command, pack, unpack, self._loop.create_future(), is_final)
        self._queue.put(call)
        return call.receipt

    def _hear(self, calls: Sequence[Call]) -> None:
        """Hand calls that are done to the loop; runs in a line's thread."""
        self._loop.call_soon_threadsafe(_answer, calls)

    @contextmanager
    def _line(self) -> Iterator[Commit[Call]]:
        yield partial(commit, self._deps)


def _answer(calls: Sequence[Call]) -> None:
    """Answer callers, on their loop; whoever hung up is not there to hear it."""
    for call in calls:
        if call.receipt.done():
            continue
        if call.error is not None:
            call.receipt.set_exception(call.error)
        else:
            call.receipt.set_result(call.answer)


def commit(deps: Deps, calls: Sequence[Call]) -> None:
    """Count for calls of one organization in one transaction; one that cannot be done at all is left out alone."""
    try:
        retrying(lambda: _commit(deps, calls, _do))
    except Exception as error:
        if len(calls) == 1 or concerns_none(error):
            raise
        log.exception("counted_apart", calls=len(calls))
        retrying(lambda: _commit(deps, calls, _do_apart))


def _commit(deps: Deps, calls: Sequence[Call], do: Callable[[Deps, Connection, Sequence[Call]], None]) -> None:
    with deps.db.transaction(calls[0].organization) as tx:
        do(deps, tx, calls)
        failpoint.hit("entitlements.before_commit")
    failpoint.hit("entitlements.after_commit")


def _do_apart(deps: Deps, tx: Connection, calls: Sequence[Call]) -> None:
    _, failed = isolated(tx, calls, partial(_do, deps, tx))
    for call, error in failed:
        call.error = error


def _do(deps: Deps, tx: Connection, calls: Sequence[Call]) -> None:
    """Answer calls: a repeat by what was answered first, all others by counting together."""
    organization = calls[0].organization
    fresh: list[Call] = []
    for call, known in zip(
        calls, idempotency.claim_all(tx, organization, [call.request for call in calls]), strict=True
    ):
        call.answer = call.error = None
        if known is None:
            fresh.append(call)
        elif isinstance(known, FareboxError):
            call.error = known
        else:
            call.answer = idempotency.replayed(call.unpack(known))
    results = count(deps, tx, organization, [call.command for call in fresh])
    for call, result in zip(fresh, results, strict=True):
        if isinstance(result, FareboxError):
            call.error = result
        elif call.is_final or result.access.is_allowed:
            call.answer = call.pack(result)
    idempotency.keep_all(
        tx, organization, [(call.request, call.answer.SerializeToString()) for call in fresh if call.answer is not None]
    )
    idempotency.disclaim_all(tx, organization, [call.request for call in fresh if call.answer is None])
