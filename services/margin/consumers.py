"""What margin follows: rating's domain events, and the sixteen shards of the usage-event log."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import grpc
from sqlalchemy.engine import Connection

from farebox.ingest.v1 import usage_event_service_pb2 as pb
from farebox.ingest.v1 import usage_event_service_pb2_grpc as pb_grpc
from farebox.ingest.v1.domain_events_pb2 import UsageEventsAccepted
from services.chassis.follower import Log, Message
from services.chassis.streams import RATING, SHARD_COUNT, USAGE, shard_subject
from services.kernel.errors import UnavailableError
from services.margin.commands import projection
from services.margin.commands.projection import usage_log_name
from services.margin.commands.usage import cost_usage
from services.margin.convert import domain_event as convert
from services.margin.deps import Deps

# All shards ask for their newest batch every two seconds; one answer serves them all.
POSITIONS_KEPT = timedelta(seconds=1)
POSITIONS_TIMEOUT_SECONDS = 5
# A replay is read batch by batch; a reader that stays away longer than this starts over from its position.
REPLAY_TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Handler:
    """What is done with the messages of a subject.

    Attributes:
        read: the announcement in a body.
        apply: takes over an announcement.
    """

    read: Callable[[bytes], Any]
    apply: Callable[[Deps, Connection, Any], None]


HANDLERS = {
    "rating.catalog.metric_changed": Handler(convert.metric_changed, projection.save_metric),
    "rating.subscription.changed": Handler(convert.subscription_changed, projection.save_subscription),
    "rating.revenue.accrued": Handler(convert.revenue_accrued, projection.accrue),
    "rating.test_clock.advanced": Handler(convert.test_clock_advanced, projection.reach_test_clock),
}


def rating_log(deps: Deps) -> Log:
    """Rating's domain events as a log to follow; what has no handler is passed over."""

    def apply(tx: Connection, messages: Sequence[Message]) -> None:
        for message in messages:
            handler = HANDLERS.get(message.subject)
            if handler is not None:
                handler.apply(deps, tx, handler.read(message.body))

    return Log("rating", RATING, "rating.>", apply)


class UsageLogs:
    """The shards as logs to follow, with ingest as their source."""

    def __init__(self, deps: Deps, ingest: pb_grpc.UsageEventServiceStub) -> None:
        self._deps = deps
        self._ingest = ingest
        self._guard = threading.Lock()
        self._asked_at: datetime | None = None
        self._positions: dict[int, int] = {}

    def logs(self) -> list[Log]:
        """One log for each shard."""
        return [self._log(shard) for shard in range(SHARD_COUNT)]

    def _log(self, shard: int) -> Log:
        return Log(
            usage_log_name(shard),
            USAGE,
            shard_subject(shard),
            self._apply,
            lambda first, last: self._replay(shard, first, last),
            lambda: self._newest(shard),
        )

    def _apply(self, tx: Connection, messages: Sequence[Message]) -> None:
        batches = [UsageEventsAccepted.FromString(message.body) for message in messages]
        cost_usage(self._deps, tx, [event for batch in batches for event in convert.usage_events_from_pb(batch)])

    def _replay(self, shard: int, first: int, last: int) -> Iterator[Message]:
        request = pb.ReplayUsageEventsRequest(shard=shard, from_number=first, to_number=last)
        try:
            for answer in self._ingest.ReplayUsageEvents(request, timeout=REPLAY_TIMEOUT_SECONDS):
                batch = answer.batch
                body = batch.SerializeToString()
                yield Message(shard_subject(shard), batch.first_number, batch.last_number, body)
        except grpc.RpcError as error:
            raise UnavailableError("INGEST_UNAVAILABLE", f"ingest does not replay shard {shard}: {error}") from error

    def _newest(self, shard: int) -> int:
        with self._guard:
            now = self._deps.clock.now()
            if self._asked_at is None or now - self._asked_at >= POSITIONS_KEPT:
                self._positions = self._ask()
                self._asked_at = now
            return self._positions.get(shard, 0)

    def _ask(self) -> dict[int, int]:
        try:
            answer = self._ingest.ListShardPositions(pb.ListShardPositionsRequest(), timeout=POSITIONS_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            raise UnavailableError("INGEST_UNAVAILABLE", f"ingest does not tell its positions: {error}") from error
        return {position.shard: position.last_number for position in answer.positions}
