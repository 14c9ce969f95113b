"""The usage-event log as ingest serves it to other services: pages of events, and shards to follow and to replay."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

import grpc

from farebox.ingest.v1 import usage_event_service_pb2 as pb
from farebox.ingest.v1 import usage_event_service_pb2_grpc as pb_grpc
from farebox.ingest.v1.domain_events_pb2 import ShardPosition, UsageEventsAccepted
from services.chassis.followed import Apply, Log, Message, Source
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.kernel.errors import UnavailableError
from services.kernel.ids import OrganizationId
from services.wire.shards import SHARD_COUNT, log_name
from services.wire.streams import USAGE, shard_subject

# A page of 1,000 events arrives within milliseconds; a log that needs longer than this is treated as unavailable.
LIST_SECONDS = 10.0
POSITIONS_SECONDS = 5.0
# A replay streams everything that was missed; a follower takes a bounded part of it at a time and then starts again.
REPLAY_SECONDS = 30.0
# Sixteen logs check for lost messages at the same moment; one request answers all of them.
POSITIONS_KEPT_SECONDS = 1.0


class UsageLogClient:
    """Asks ingest for its log; safe to use from many threads. Every failed call is raised as USAGE_LOG_UNAVAILABLE."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = pb_grpc.UsageEventServiceStub(channel)
        self._guard = threading.Lock()
        self._known: dict[int, int] = {}
        self._known_until = 0.0

    def logs(self, apply: Apply) -> list[Log]:
        """The shards as logs to follow, with ingest as their source.

        Args:
            apply: takes the effect of the messages of any shards, which share a transaction.
        """
        return [
            Log(log_name(shard), USAGE, shard_subject(shard), apply, self._source(shard))
            for shard in range(SHARD_COUNT)
        ]

    def _source(self, shard: int) -> Source:
        return Source(
            replay=lambda first, last: self.replay(shard, first, last),
            published=lambda: self._recently_published().get(shard, 0),
            beyond=self.beyond,
        )

    def events(self, organization: OrganizationId, request: pb.ListUsageEventsRequest) -> pb.ListUsageEventsResponse:
        """One page of an organization's events.

        Raises:
            UnavailableError: `USAGE_LOG_UNAVAILABLE`.
        """
        try:
            return self._stub.ListUsageEvents(
                request, timeout=LIST_SECONDS, metadata=((ORGANIZATION_KEY, organization),)
            )
        except grpc.RpcError as error:
            raise _unavailable(error) from error

    def _recently_published(self) -> dict[int, int]:
        """The newest batch of each shard that ingest had sent to the bus, at most a second ago."""
        with self._guard:
            if time.monotonic() > self._known_until:
                self._known = {position.shard: position.published_number for position in self._positions()}
                self._known_until = time.monotonic() + POSITIONS_KEPT_SECONDS
            return self._known

    def newest_positions(self) -> dict[int, int]:
        """The newest batch of each shard, requested now.

        Raises:
            UnavailableError: `USAGE_LOG_UNAVAILABLE`.
        """
        return {position.shard: position.last_number for position in self._positions()}

    def _positions(self) -> Iterable[ShardPosition]:
        try:
            response = self._stub.ListShardPositions(pb.ListShardPositionsRequest(), timeout=POSITIONS_SECONDS)
        except grpc.RpcError as error:
            raise _unavailable(error) from error
        return response.positions

    def beyond(self, message: Message, number: int) -> Iterable[Message]:
        """The part of a message of several batches that lies beyond one of them.

        Its body says how many entries each batch has. A message of an older ingest does not, and is requested again.

        Raises:
            UnavailableError: `USAGE_LOG_UNAVAILABLE`.
        """
        batch = UsageEventsAccepted.FromString(message.body)
        if len(batch.entry_counts) != message.last - message.first + 1:
            return self.replay(batch.shard, number + 1, message.last)
        passed = number - message.first + 1
        rest = UsageEventsAccepted(
            shard=batch.shard,
            first_number=number + 1,
            last_number=message.last,
            entries=batch.entries[sum(batch.entry_counts[:passed]) :],
            entry_counts=batch.entry_counts[passed:],
        )
        return [replace(message, first=number + 1, body=rest.SerializeToString())]

    def replay(self, shard: int, first: int, last: int) -> Iterator[Message]:
        """Repeat the batches of a shard, from the first to the last number.

        Raises:
            UnavailableError: `USAGE_LOG_UNAVAILABLE`.
        """
        request = pb.ReplayUsageEventsRequest(shard=shard, from_number=first, to_number=last)
        call = self._stub.ReplayUsageEvents(request, timeout=REPLAY_SECONDS)
        try:
            for response in call:
                batch = response.batch
                body = batch.SerializeToString()
                yield Message(shard_subject(shard), batch.first_number, batch.last_number, body, log=log_name(shard))
        except grpc.RpcError as error:
            raise _unavailable(error) from error
        finally:
            # A caller that takes only the first batches leaves the rest unread.
            call.cancel()


def _unavailable(error: grpc.RpcError) -> UnavailableError:
    return UnavailableError("USAGE_LOG_UNAVAILABLE", f"ingest cannot be asked: {error.code().name}")
