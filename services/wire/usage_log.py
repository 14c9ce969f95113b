"""The usage-event log as ingest serves it to other services: pages of events, and shards to follow and to replay."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import grpc
from sqlalchemy.engine import Connection

from farebox.ingest.v1 import usage_event_service_pb2 as pb
from farebox.ingest.v1 import usage_event_service_pb2_grpc as pb_grpc
from services.chassis.follower import Log, Message
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

Apply = Callable[[Connection, Sequence[Message]], None]


class UsageLogClient:
    """Asks ingest for its log; safe to use from many threads. Every failed call is raised as USAGE_LOG_UNAVAILABLE."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = pb_grpc.UsageEventServiceStub(channel)
        self._guard = threading.Lock()
        self._known: dict[int, int] = {}
        self._known_until = 0.0

    def logs(self, applier: Callable[[int], Apply]) -> list[Log]:
        """The shards as logs to follow, with ingest as their source.

        Args:
            applier: returns, for a shard, the function that applies its messages; each shard is followed by a thread of
                its own.
        """
        return [self._log(shard, applier(shard)) for shard in range(SHARD_COUNT)]

    def _log(self, shard: int, apply: Apply) -> Log:
        return Log(
            name=log_name(shard),
            stream=USAGE,
            subject=shard_subject(shard),
            apply=apply,
            replay=lambda first, last: self.replay(shard, first, last),
            newest=lambda: self.recent_positions().get(shard, 0),
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

    def recent_positions(self) -> dict[int, int]:
        """The newest batch of each shard, as of at most a second ago.

        Raises:
            UnavailableError: `USAGE_LOG_UNAVAILABLE`.
        """
        with self._guard:
            if time.monotonic() > self._known_until:
                self._known = self.newest_positions()
                self._known_until = time.monotonic() + POSITIONS_KEPT_SECONDS
            return dict(self._known)

    def newest_positions(self) -> dict[int, int]:
        """The newest batch of each shard, asked for now.

        Raises:
            UnavailableError: `USAGE_LOG_UNAVAILABLE`.
        """
        try:
            response = self._stub.ListShardPositions(pb.ListShardPositionsRequest(), timeout=POSITIONS_SECONDS)
        except grpc.RpcError as error:
            raise _unavailable(error) from error
        return {position.shard: position.last_number for position in response.positions}

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
                yield Message(shard_subject(shard), batch.first_number, batch.last_number, batch.SerializeToString())
        except grpc.RpcError as error:
            raise _unavailable(error) from error
        finally:
            # A caller that takes only the first batches leaves the rest unread.
            call.cancel()


def _unavailable(error: grpc.RpcError) -> UnavailableError:
    return UnavailableError("USAGE_LOG_UNAVAILABLE", f"ingest cannot be asked: {error.code().name}")
