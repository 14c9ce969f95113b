"""An intake whose committer and catalog do what a test says: no database, no thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime
from typing import Any

from farebox.ingest.v1 import usage_event_pb2 as pb
from farebox.ingest.v1 import usage_event_service_pb2 as service_pb
from services.ingest.convert.usage_event import bytes_of_batch, events_from_pb
from services.ingest.domain.outcome import Answer, Outcome, Receipt
from services.ingest.domain.usage_events import UsageEvents
from services.ingest.pipeline.commit import Finished
from services.ingest.pipeline.intake import Intake
from services.ingest.pipeline.prepare import CatalogUnknownError, Preparation, PreparedUsageEvents
from services.ingest.pipeline.queue import Submission
from services.ingest.pipeline.resolve import Target
from services.kernel.clock import FrozenClock
from services.kernel.ids import OrganizationId
from tests.support.chassis.freshness import PretendedFreshness

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def batch(*transaction_ids: str) -> service_pb.IngestUsageEventsRequest:
    """A request with one event for each id; an empty id is malformed."""
    events = [
        pb.UsageEvent(transaction_id=transaction_id, external_customer_id="acme", code="api_call")
        for transaction_id in transaction_ids
    ]
    return service_pb.IngestUsageEventsRequest(events=events)


def answers_to(submission: Submission) -> list[Answer]:
    """What `FakeCommitter` answers: each event its own id, so that nobody is given another's answer unseen."""
    return [stored(transaction_id) for transaction_id in submission.events.transaction_ids]


def stored(transaction_id: str) -> Answer:
    """The answer to an event with this id."""
    return Answer(Outcome.ACCEPTED, reason=transaction_id)


def _nothing(*_: Any) -> None:
    """Ignore the call."""


class FakeCommitter:
    """Keeps what is submitted until the test commits it or gives it up.

    Attributes:
        submitted: every batch so far, in order.
        refusal: what `submit` raises; None to take batches.
        commits_at_once: whether each batch is committed as soon as it is submitted.
        on_submit: called after each batch that was taken.
    """

    def __init__(self) -> None:
        self.submitted: list[Submission] = []
        self.refusal: Exception | None = None
        self.commits_at_once = False
        self.on_submit: Callable[[], None] = _nothing
        self._finished: Finished = _nothing

    def listen(self, finished: Finished) -> None:
        """As the committer."""
        self._finished = finished

    def submit(self, submission: Submission) -> None:
        """As the committer."""
        if self.refusal is not None:
            raise self.refusal
        self.submitted.append(submission)
        self.on_submit()
        if self.commits_at_once:
            self.commit(submission)

    def commit(self, *submissions: Submission) -> None:
        """One commit of these batches."""
        for submission in submissions:
            submission.answers = answers_to(submission)
        self._finished(submissions)

    def give_up(self, error: Exception, *submissions: Submission) -> None:
        """One commit that failed."""
        for submission in submissions:
            submission.error = error
        self._finished(submissions)

    def ids(self) -> list[list[str]]:
        """The transaction ids of every batch so far."""
        return [list(submission.events.transaction_ids) for submission in self.submitted]


class FakePreparer:
    """Prepares nothing.

    Attributes:
        unknown: organizations of which nothing is in memory until it may be asked for.
        broken: by organization, what preparing its batches raises.
        poison: by transaction_id, what preparing a batch with that event raises.
    """

    def __init__(self) -> None:
        self.unknown: set[OrganizationId] = set()
        self.broken: dict[OrganizationId, Exception] = {}
        self.poison: dict[str, Exception] = {}

    def now_us(
        self, organization: OrganizationId, received_us: int, *, must_ask: bool = False, may_ask: bool = True
    ) -> int:
        """As the preparer, for an organization without a test clock."""
        if must_ask or organization in self.unknown:
            self._ask(organization, may_ask=may_ask)
        return received_us

    def prepare(
        self, organization: OrganizationId, events: UsageEvents, received_us: int, *, may_ask: bool = True
    ) -> Preparation:
        """As the preparer, without the columns that only a commit needs."""
        if organization in self.unknown:
            self._ask(organization, may_ask=may_ask)
        if organization in self.broken:
            raise self.broken[organization]
        for transaction_id in events.transaction_ids:
            if transaction_id in self.poison:
                raise self.poison[transaction_id]
        targets = [
            Target(organization, 0, "", f"subscription of {transaction_id}", b"", b"")
            for transaction_id in events.transaction_ids
        ]
        prepared = PreparedUsageEvents(events, [], [], [], [], targets, [received_us] * len(events), {})
        return Preparation(0, are_duplicates_rejected=False, events=prepared, byte_size=0, present_us=received_us)

    def _ask(self, organization: OrganizationId, *, may_ask: bool) -> None:
        if not may_ask:
            raise CatalogUnknownError
        self.unknown.discard(organization)


def take(
    intake: Intake[pb.UsageEvent], organization: OrganizationId, request: service_pb.IngestUsageEventsRequest
) -> asyncio.Future[Receipt]:
    """As the servicer does."""
    size = bytes_of_batch(request)
    return intake.take(organization, request.events, size, with_subscriptions=request.tells_subscriptions)


class FakeLog:
    """An intake and what it works with."""

    def __init__(self, loop: Any, pool: Executor) -> None:
        """Take batches in on `loop`."""
        self.committer = FakeCommitter()
        self.preparer = FakePreparer()
        preparer: Any = self.preparer
        committer: Any = self.committer
        freshness: Any = PretendedFreshness()
        self.freshness: PretendedFreshness = freshness
        self.intake = Intake(FrozenClock(NOW), preparer, committer, freshness, loop, pool, events_from_pb)
