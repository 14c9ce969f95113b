"""Batches from the wire into the log, and their answers back; what unary calls and streams share.

All of it but `_begin` with `asks` runs on the server's event loop: a commit answers all of its callers with one turn of
it. Nothing on the loop may wait; what has to ask the database goes to the server's threads.

Small calls of one organization that come while a commit is on its way travel on together, as if one call had brought
them: what is done once for thirty events costs each a tenth of what it costs one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from services.chassis.db import is_unavailable
from services.ingest.commands.ingest import Deps, prepare, present_us
from services.ingest.commands.prepare import CatalogUnknownError
from services.ingest.commands.submission import Submission
from services.ingest.convert.usage_event import (
    MAX_BATCH_BYTES,
    MAX_EVENTS,
    answer_of,
    bytes_of_batch,
    events_from_pb,
    organization_bytes,
)
from services.ingest.domain.outcome import Answer
from services.kernel.errors import FareboxError, FieldViolation, ResourceExhaustedError, UnavailableError
from services.kernel.ids import OrganizationId

RETRY_AFTER_SECONDS = 5
# Each is cheap while it waits, but may hold a batch of 4 MiB in the transport's buffers.
MAX_STREAMS = 256
# From so many events on, a call is a batch by itself.
BATCH_EVENTS = 32
# Where several callers send, their small calls are gathered for this long: a commit costs what thirty events cost.
GATHER_SECONDS = 0.008
# Longer than the longest statement and its retries: an answer is worth waiting for, an unknown outcome is not.
MAX_WAIT_SECONDS = 60.0
# How often it is looked for calls that wait too long; one look for all of them costs each next to nothing.
SWEEP_SECONDS = 1.0


class Call(NamedTuple):
    """A caller who waits.

    Attributes:
        events: what it sent.
        answers: what became of them, some day.
    """

    events: Sequence[Any]
    answers: asyncio.Future[Sequence[Answer]]


class Batch(NamedTuple):
    """Calls of one organization on their way together.

    Attributes:
        organization: its 16 bytes.
        calls: the callers, in order.
        wrong: by index over the events of all calls, those that are not well formed.
        submission: the others; None if there are none.
    """

    organization: bytes
    calls: Sequence[Call]
    wrong: Mapping[int, FieldViolation]
    submission: Submission | None


class Intake:
    """Takes batches in."""

    def __init__(self, deps: Deps, loop: asyncio.AbstractEventLoop, pool: Executor) -> None:
        """Take batches into `deps`; `pool` is for what has to wait."""
        self._deps = deps
        self._loop = loop
        self._pool = pool
        self._streams = 0
        # When each call has waited too long, in the order they came; swept once there is one.
        self._waiting: deque[tuple[float, asyncio.Future[Sequence[Answer]]]] = deque()
        # Only the loop touches these: small calls by organization, how much they are, and what is committed.
        self._gathered: dict[bytes, list[Call]] = {}
        self._gathered_calls = self._gathered_events = self._gathered_bytes = 0
        self._usual_calls = 0
        self._launching: asyncio.TimerHandle | None = None
        self._committing: dict[Submission, Batch] = {}
        self._asking: set[asyncio.Task[None]] = set()
        deps.committer.listen(self._hear)

    def now_us(self, organization: OrganizationId) -> int:
        """The organization's present time, from the database."""
        return present_us(self._deps, organization_bytes(organization), fresh=True)[1]

    def take(self, organization: OrganizationId, request: Any) -> asyncio.Future[Sequence[Answer]]:
        """Store the events of a request; the answers to all of them, after the commit.

        The answers may turn out to be an error:
            ResourceExhaustedError: too much waits; nothing is stored.
            UnavailableError: the log is away, or takes too long; sending the batch again is safe.

        Raises:
            InvalidArgumentError: the batch as a whole is too large or empty.
        """
        size = bytes_of_batch(request)
        call = Call(request.events, self._loop.create_future())
        name = organization_bytes(organization)
        self._watch(call)
        if len(call.events) >= BATCH_EVENTS:
            self._launch(name, [call])
        else:
            self._gather(name, call, size)
        return call.answers

    def _watch(self, call: Call) -> None:
        self._waiting.append((self._loop.time() + MAX_WAIT_SECONDS, call.answers))
        if len(self._waiting) == 1:
            self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """Give up calls that wait too long, and forget those that are answered."""
        now = self._loop.time()
        while self._waiting and (self._waiting[0][0] <= now or self._waiting[0][1].done()):
            _, answers = self._waiting.popleft()
            if not answers.done():
                answers.set_exception(
                    UnavailableError("COMMIT_OUTCOME_UNKNOWN", "the commit takes too long; send the same batch again")
                )
        if self._waiting:
            self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def _gather(self, name: bytes, call: Call, size: int) -> None:
        self._gathered.setdefault(name, []).append(call)
        self._gathered_calls += 1
        self._gathered_events += len(call.events)
        self._gathered_bytes += size
        if self._gathered_events >= MAX_EVENTS or self._gathered_bytes >= MAX_BATCH_BYTES:
            self._launch_gathered()
        elif not self._committing:
            self._consider_launch()

    def _consider_launch(self) -> None:
        """Launch what is gathered if as many came as travelled together last; else wait a little for the others."""
        if self._gathered_calls >= self._usual_calls:
            self._launch_gathered()
        elif self._launching is None:
            self._launching = self._loop.call_later(GATHER_SECONDS, self._launch_gathered)

    def _launch_gathered(self) -> None:
        if self._launching is not None:
            self._launching.cancel()
            self._launching = None
        self._usual_calls = self._gathered_calls
        gathered, self._gathered = self._gathered, {}
        self._gathered_calls = self._gathered_events = self._gathered_bytes = 0
        for name, calls in gathered.items():
            self._launch(name, calls)

    def _launch(self, name: bytes, calls: Sequence[Call]) -> None:
        """Read, prepare and submit calls; where memory does not know enough, in a thread."""
        try:
            self._submit(self._begin(name, calls, asks=False))
        except CatalogUnknownError:
            task = self._loop.create_task(self._launch_asking(name, calls))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        except Exception as error:  # noqa: BLE001 - every caller hears of it
            self._fail(name, calls, error)

    async def _launch_asking(self, name: bytes, calls: Sequence[Call]) -> None:
        try:
            batch = await self._loop.run_in_executor(self._pool, partial(self._begin, name, calls, asks=True))
            self._submit(batch)
        except Exception as error:  # noqa: BLE001 - every caller hears of it
            self._fail(name, calls, error)

    def _begin(self, name: bytes, calls: Sequence[Call], *, asks: bool) -> Batch:
        """Read and prepare calls.

        Raises:
            CatalogUnknownError: the database would have to be asked, and may not be.
        """
        received_us, now_us = present_us(self._deps, name, asks=asks)
        sent = list(chain.from_iterable(call.events for call in calls))
        events, wrong = events_from_pb(sent, now_us=now_us)
        if any(one.field == "timestamp" for one in wrong.values()):
            # Too far ahead of a test clock, perhaps, that was advanced since we heard of it.
            _, now_us = present_us(self._deps, name, fresh=True, asks=asks)
            events, wrong = events_from_pb(sent, now_us=now_us)
        return Batch(name, calls, wrong, prepare(self._deps, name, received_us, events, asks=asks) if events else None)

    def _submit(self, batch: Batch) -> None:
        if batch.submission is None:
            _settle(batch, [])
            return
        self._deps.committer.submit(batch.submission)
        self._committing[batch.submission] = batch

    def _hear(self, finished: Sequence[Submission]) -> None:
        """In a committer's thread."""
        self._loop.call_soon_threadsafe(self._finish, finished)

    def _finish(self, finished: Sequence[Submission]) -> None:
        for submission in finished:
            batch = self._committing.pop(submission)
            if submission.error is None:
                _settle(batch, submission.answers)
            else:
                self._fail(batch.organization, batch.calls, submission.error)
        if self._gathered:
            self._consider_launch()

    def _fail(self, name: bytes, calls: Sequence[Call], error: Exception) -> None:
        """Tell callers of an error; where one of several calls may be at fault, each is tried alone first."""
        if len(calls) > 1 and not isinstance(error, FareboxError) and not is_unavailable(error):
            for call in calls:
                self._launch(name, [call])
            return
        for call in calls:
            if not call.answers.done():
                call.answers.set_exception(error)

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Count a stream while it lives.

        Raises:
            ResourceExhaustedError: there are too many already.
        """
        if self._streams >= MAX_STREAMS:
            raise ResourceExhaustedError(
                "TOO_MANY_STREAMS",
                f"this process serves {MAX_STREAMS} streams at once",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1


def _settle(batch: Batch, answers: Sequence[Answer]) -> None:
    """Answer every call; `answers` are those to the well-formed events."""
    if batch.wrong:
        stored = iter(answers)
        count = len(batch.wrong) + len(answers)
        wrong = batch.wrong
        answers = [answer_of(wrong[index]) if index in wrong else next(stored) for index in range(count)]
    start = 0
    for call in batch.calls:
        end = start + len(call.events)
        # Whoever hung up is not there to hear it.
        if not call.answers.done():
            call.answers.set_result(answers[start:end])
        start = end
