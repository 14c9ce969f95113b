"""Takes in the events of calls and answers every caller after the commit; unary calls and streams share it.

Everything but `_begin` with `may_ask` runs on the server's event loop, so that one turn of the loop answers all callers
of a commit. Nothing on the loop may wait: whatever has to ask the database goes to the server's threads.

Small calls of one organization that arrive during a commit travel on together, as if one call had brought them; see the
package's docstring.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any, Generic, NamedTuple, TypeVar

from services.chassis.db import is_unavailable
from services.chassis.freshness import Freshness
from services.ingest.domain.outcome import Answer, Outcome, Receipt, answer_to
from services.ingest.domain.usage_events import MAX_BATCH_BYTES, MAX_EVENTS, UsageEvents
from services.ingest.pipeline.commit import Committer
from services.ingest.pipeline.prepare import CatalogUnknownError, Preparer
from services.ingest.pipeline.queue import Submission
from services.kernel.clock import Clock
from services.kernel.errors import FareboxError, FieldViolation, ResourceExhaustedError, UnavailableError
from services.kernel.ids import OrganizationId
from services.kernel.instant import to_us

RETRY_AFTER_SECONDS = 5
# A stream is cheap while it waits, but may hold a batch of 4 MiB in the transport's buffers.
MAX_STREAMS = 256
# A call of this many events or more is a batch by itself.
BATCH_EVENTS = 32
# If several callers send, their small calls are gathered for this long: a commit costs as much as thirty events.
GATHER_SECONDS = 0.008
# Longer than the longest statement and its retries: waiting for an answer is better than an unknown outcome.
MAX_WAIT_SECONDS = 60.0
# How often we check for calls that have waited too long. One check covers all of them, and so costs each next to
# nothing.
SWEEP_SECONDS = 1.0
# Events that wait for news before they are set aside; beyond this many bytes the others are set aside at once.
MAX_UNSURE_BYTES = 32 * 1024 * 1024

# The wire's form of an event; only `convert` knows it.
Sent = TypeVar("Sent")
Item = TypeVar("Item")
# Reads events at the organization's present time: returns the well-formed ones and, by index, what is wrong with the
# others.
ReadEvents = Callable[[Sequence[Sent], int], tuple[UsageEvents, dict[int, FieldViolation]]]


class Call(NamedTuple, Generic[Sent]):
    """A caller that waits for its answer.

    Attributes:
        events: the events it sent.
        with_subscriptions: whether the answer says for which subscription each event counts.
        receipt: resolves to the answer.
    """

    events: Sequence[Sent]
    with_subscriptions: bool
    receipt: asyncio.Future[Receipt]


class Batch(NamedTuple, Generic[Sent]):
    """Calls of one organization that travel together.

    Attributes:
        organization: whose calls they are.
        calls: the calls, in order.
        violations: by index over the events of all calls, what is wrong with those that are not well formed.
        received_us: when the log received the calls.
        present_us: the organization's time then.
        submission: the well-formed events; None if there are none.
    """

    organization: OrganizationId
    calls: Sequence[Call[Sent]]
    violations: Mapping[int, FieldViolation]
    received_us: int
    present_us: int
    submission: Submission | None


class Intake(Generic[Sent]):
    """Takes in the events of calls; use it only from the loop that it is given."""

    def __init__(
        self,
        clock: Clock,
        preparer: Preparer,
        committer: Committer,
        freshness: Freshness,
        loop: asyncio.AbstractEventLoop,
        pool: Executor,
        read_events: ReadEvents[Sent],
    ) -> None:
        """Prepare to take calls.

        Args:
            clock: the machine's clock.
            preparer: resolves and encodes events.
            committer: commits them, and is listened to.
            freshness: what the log has heard of rating's catalog.
            loop: the server's event loop.
            pool: threads for work that has to wait.
            read_events: reads the callers' events.
        """
        self._clock = clock
        self._preparer = preparer
        self._committer = committer
        self._freshness = freshness
        self._loop = loop
        self._pool = pool
        self._read_events = read_events
        self._streams = 0
        # When each call will have waited too long, in the order in which they came; swept as long as there is one.
        self._waiting: deque[tuple[float, asyncio.Future[Receipt]]] = deque()
        # Only the loop touches these: the gathered small calls by organization, how many calls, events and bytes they
        # are, and the batches that are being committed.
        self._gathered: dict[OrganizationId, list[Call[Sent]]] = {}
        self._gathered_calls = self._gathered_events = self._gathered_bytes = 0
        self._usual_calls = 0
        self._launching: asyncio.TimerHandle | None = None
        self._committing: dict[Submission, Batch[Sent]] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self._unsure_bytes = 0
        committer.listen(self._hear)

    def take(
        self,
        organization: OrganizationId,
        events: Sequence[Sent],
        byte_size: int,
        *,
        with_subscriptions: bool = False,
    ) -> asyncio.Future[Receipt]:
        """Store the events of a call; returns the future of its answer, which comes after the commit.

        The answer may turn out to be an error:
            ResourceExhaustedError: too many calls wait; nothing is stored.
            UnavailableError: the log is unavailable or takes too long; sending the batch again is safe.

        Args:
            organization: the calling organization.
            events: at least one, at most as many as a call may bring.
            byte_size: the size of the call.
            with_subscriptions: whether the answer says for which subscription each event counts.
        """
        call = Call(events, with_subscriptions, self._loop.create_future())
        self._watch(call)
        if len(events) >= BATCH_EVENTS:
            self._launch(organization, [call])
        else:
            self._gather(organization, call, byte_size)
        return call.receipt

    def _watch(self, call: Call[Sent]) -> None:
        self._waiting.append((self._loop.time() + MAX_WAIT_SECONDS, call.receipt))
        if len(self._waiting) == 1:
            self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """Give up calls that have waited too long, and forget those that are answered."""
        now = self._loop.time()
        while self._waiting and (self._waiting[0][0] <= now or self._waiting[0][1].done()):
            _, receipt = self._waiting.popleft()
            if not receipt.done():
                receipt.set_exception(
                    UnavailableError("COMMIT_OUTCOME_UNKNOWN", "the commit takes too long; send the same batch again")
                )
        if self._waiting:
            self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def _gather(self, organization: OrganizationId, call: Call[Sent], byte_size: int) -> None:
        self._gathered.setdefault(organization, []).append(call)
        self._gathered_calls += 1
        self._gathered_events += len(call.events)
        self._gathered_bytes += byte_size
        if self._gathered_events >= MAX_EVENTS or self._gathered_bytes >= MAX_BATCH_BYTES:
            self._launch_gathered()
        elif not self._committing:
            self._consider_launch()

    def _consider_launch(self) -> None:
        """Launch the gathered calls if as many came as travelled together last time; otherwise wait for more."""
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
        for organization, calls in gathered.items():
            self._launch(organization, calls)

    def _launch(self, organization: OrganizationId, calls: Sequence[Call[Sent]]) -> None:
        """Read, prepare and submit calls; in a thread if memory does not hold enough of the catalog."""
        try:
            self._submit(self._begin(organization, calls, may_ask=False))
        except CatalogUnknownError:
            self._begin_task(self._launch_asking(organization, calls))
        except Exception as error:  # noqa: BLE001 - every caller hears of it
            self._fail(organization, calls, error)

    def _begin_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _launch_asking(self, organization: OrganizationId, calls: Sequence[Call[Sent]]) -> None:
        try:
            begin = partial(self._begin, organization, calls, may_ask=True)
            self._submit(await self._loop.run_in_executor(self._pool, begin))
        except Exception as error:  # noqa: BLE001 - every caller hears of it
            self._fail(organization, calls, error)

    def _begin(self, organization: OrganizationId, calls: Sequence[Call[Sent]], *, may_ask: bool) -> Batch[Sent]:
        """Read and prepare calls.

        Raises:
            CatalogUnknownError: the database would have to be asked, which `may_ask` forbids.
        """
        preparer = self._preparer
        received_us = to_us(self._clock.now())
        now_us = preparer.now_us(organization, received_us, may_ask=may_ask)
        sent = list(chain.from_iterable(call.events for call in calls))
        events, violations = self._read_events(sent, now_us)
        if any(violation.field == "timestamp" for violation in violations.values()):
            # The event may be too far ahead only because a test clock was advanced and we do not know of it yet.
            now_us = preparer.now_us(organization, received_us, must_ask=True, may_ask=may_ask)
            events, violations = self._read_events(sent, now_us)
        submission = None
        if events:
            preparation = preparer.prepare(organization, events, received_us, may_ask=may_ask)
            submission = Submission(organization, events, received_us, preparation)
        return Batch(organization, calls, violations, received_us, now_us, submission)

    def _submit(self, batch: Batch[Sent]) -> None:
        if batch.submission is None:
            _settle(batch, [])
        elif batch.submission.prepared.reasons and self._unsure_bytes <= MAX_UNSURE_BYTES:
            self._begin_task(self._submit_when_sure(batch, batch.submission))
        else:
            self._commit(batch, batch.submission)

    async def _submit_when_sure(self, batch: Batch[Sent], submission: Submission) -> None:
        """Before events are set aside, hear what their organization has changed; the commit looks at it all anew."""
        self._unsure_bytes += submission.byte_size
        try:
            await asyncio.wrap_future(self._freshness.hear_newest(batch.organization))
            self._commit(batch, submission)
        except Exception as error:  # noqa: BLE001 - every caller hears of it
            self._fail(batch.organization, batch.calls, error)
        finally:
            self._unsure_bytes -= submission.byte_size

    def _commit(self, batch: Batch[Sent], submission: Submission) -> None:
        self._committer.submit(submission)
        self._committing[submission] = batch

    def _hear(self, finished: Sequence[Submission]) -> None:
        """Hand finished batches to the loop; called in a committer's thread."""
        self._loop.call_soon_threadsafe(self._finish, finished)

    def _finish(self, finished: Sequence[Submission]) -> None:
        for submission in finished:
            batch = self._committing.pop(submission)
            error = submission.error
            if error is None:
                try:
                    _settle(batch, submission.answers)
                except Exception as failure:  # noqa: BLE001 - every caller hears of it, and the other batches go on
                    error = failure
            if error is not None:
                self._fail(batch.organization, batch.calls, error)
        if self._gathered:
            self._consider_launch()

    def _fail(self, organization: OrganizationId, calls: Sequence[Call[Sent]], error: Exception) -> None:
        """Tell callers of an error; if one of several calls may be at fault, each is first tried alone."""
        if len(calls) > 1 and not isinstance(error, FareboxError) and not is_unavailable(error):
            for call in calls:
                self._launch(organization, [call])
            return
        for call in calls:
            if not call.receipt.done():
                call.receipt.set_exception(error)

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Count a stream as long as it lives.

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


def _settle(batch: Batch[Sent], answers: Sequence[Answer]) -> None:
    """Answer every call; `answers` are those of the well-formed events."""
    present_us = batch.present_us if batch.submission is None else batch.submission.preparation.present_us
    is_asked = any(call.with_subscriptions for call in batch.calls)
    subscriptions = _subscriptions(batch.submission, answers) if is_asked else []
    if batch.violations:
        rejections = {index: answer_to(violation) for index, violation in batch.violations.items()}
        answers = _interleave(answers, rejections)
        subscriptions = _interleave(subscriptions, dict.fromkeys(rejections, "")) if is_asked else []
    start = 0
    for call in batch.calls:
        end = start + len(call.events)
        # A caller that hung up no longer waits for the answer.
        if not call.receipt.done():
            told = subscriptions[start:end] if call.with_subscriptions else ()
            call.receipt.set_result(Receipt(answers[start:end], batch.received_us, present_us, told))
        start = end


def _subscriptions(submission: Submission | None, answers: Sequence[Answer]) -> list[str]:
    """The subscription that each well-formed event counts for; empty if it counts for none."""
    if submission is None:
        return []
    return [
        target.subscription_id or "" if answer.outcome is Outcome.ACCEPTED else ""
        for target, answer in zip(submission.prepared.targets, answers, strict=True)
    ]


def _interleave(items: Sequence[Item], others: Mapping[int, Item]) -> list[Item]:
    """All items in one order: `others` at their indices, `items` in between."""
    rest = iter(items)
    return [others[index] if index in others else next(rest) for index in range(len(items) + len(others))]
