"""The usage-event log as ingest serves it: pages of events, replays of shards, positions."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import grpc

from farebox.common.v1 import page_pb2
from farebox.ingest.v1 import usage_event_service_pb2 as pb
from farebox.ingest.v1 import usage_event_service_pb2_grpc as grpc_pb
from services.chassis.follower import Message
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.streams import shard_subject
from services.kernel.errors import UnavailableError
from services.rating.shared.usage_log import UsageEventPage, UsageEventsWanted
from services.rating.usage.convert import event_page_from_pb
from services.wire.values import period_to_pb

# A page of 1,000 events comes within milliseconds; a log that needs longer than this is as good as away.
LIST_SECONDS = 10.0
POSITIONS_SECONDS = 2.0
# A replay streams as much as was missed; the follower takes a bounded part of it at a time.
REPLAY_SECONDS = 30.0
# Sixteen logs look for a lost tail at the same moment; one question answers all of them.
POSITIONS_KEPT_SECONDS = 1.0


class IngestLog:
    """Asks ingest; safe to use from many threads."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = grpc_pb.UsageEventServiceStub(channel)
        self._guard = threading.Lock()
        self._known: dict[int, int] = {}
        self._known_until = 0.0

    def page(self, wanted: UsageEventsWanted, *, size: int, token: str) -> UsageEventPage:
        """One page of a subscription's events on a metric, in order of receipt.

        Raises:
            UnavailableError: ingest cannot be asked now.
        """
        request = pb.ListUsageEventsRequest(
            page=page_pb2.PageRequest(page_size=size, page_token=token),
            subscription_id=wanted.subscription_id,
            code=wanted.code,
            occurred=period_to_pb(wanted.occurred),
        )
        metadata = ((ORGANIZATION_KEY, wanted.organization_id),)
        try:
            response = self._stub.ListUsageEvents(request, timeout=LIST_SECONDS, metadata=metadata)
        except grpc.RpcError as error:
            raise _unavailable(error) from error
        return event_page_from_pb(response)

    def shard_positions(self) -> dict[int, int]:
        """The newest batch of each shard, at most a second old when followers ask for it many times."""
        with self._guard:
            if time.monotonic() > self._known_until:
                self._known = self.newest_positions()
                self._known_until = time.monotonic() + POSITIONS_KEPT_SECONDS
            return dict(self._known)

    def newest_positions(self) -> dict[int, int]:
        """The newest batch of each shard, asked now.

        Raises:
            UnavailableError: ingest cannot be asked now.
        """
        try:
            response = self._stub.ListShardPositions(pb.ListShardPositionsRequest(), timeout=POSITIONS_SECONDS)
        except grpc.RpcError as error:
            raise _unavailable(error) from error
        return {each.shard: each.last_number for each in response.positions}

    def replay(self, shard: int, first: int, last: int) -> Iterator[Message]:
        """The batches of a shard again, from the first to the last number.

        Raises:
            UnavailableError: ingest cannot be asked now.
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
            call.cancel()


def _unavailable(error: grpc.RpcError) -> UnavailableError:
    return UnavailableError("USAGE_LOG_UNAVAILABLE", f"ingest cannot be asked: {error.code().name}")
