"""The servicer of the log: unpack, call, pack."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from farebox.ingest.v1 import domain_events_pb2
from farebox.ingest.v1 import usage_event_pb2 as event_pb
from farebox.ingest.v1 import usage_event_service_pb2 as pb
from farebox.ingest.v1 import usage_event_service_pb2_grpc as pb_grpc
from services.chassis.freshness import Freshness
from services.chassis.rpc.answers import answers
from services.chassis.rpc.answers_async import answers_async, streams_async, streams_in_threads
from services.chassis.rpc.calls import organization_of
from services.chassis.rpc.changes import hear_before
from services.ingest.commands.void import void_usage_event
from services.ingest.convert import requests as convert
from services.ingest.convert.usage_event import acknowledgement_to_pb, bytes_of_batch, receipt_to_pb, stored_event_to_pb
from services.ingest.deps import Deps
from services.ingest.pipeline.intake import Intake
from services.ingest.queries import events, shards
from services.ingest.store.encoding import announcement
from services.wire.values import page_from_pb, page_to_pb

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["UsageEventService"].full_name


class UsageEventServicer(pb_grpc.UsageEventServiceServicer):
    """The usage-event log over gRPC."""

    def __init__(self, deps: Deps, intake: Intake[event_pb.UsageEvent], freshness: Freshness) -> None:
        """Serve `deps`; `intake` takes batches in, `freshness` is what the log has heard of rating's catalog."""
        self._deps = deps
        self._intake = intake
        self._freshness = freshness

    @answers_async
    async def IngestUsageEvents(
        self, request: pb.IngestUsageEventsRequest, context: Any
    ) -> pb.IngestUsageEventsResponse:
        """Store a batch."""
        await hear_before(self._freshness, context)
        receipt = await self._intake.take(
            organization_of(context),
            request.events,
            bytes_of_batch(request),
            with_subscriptions=request.tells_subscriptions,
        )
        return receipt_to_pb(receipt, request.events)

    @streams_async
    async def StreamUsageEvents(
        self, request_iterator: AsyncIterator[pb.StreamUsageEventsRequest], context: Any
    ) -> AsyncIterator[pb.StreamUsageEventsResponse]:
        """Store batches one after the other, acknowledging each."""
        organization = organization_of(context)
        await hear_before(self._freshness, context)
        with self._intake.stream():
            async for request in request_iterator:
                receipt = await self._intake.take(organization, request.events, bytes_of_batch(request))
                yield acknowledgement_to_pb(receipt, request)

    @answers
    def GetUsageEvent(self, request: pb.GetUsageEventRequest, context: Any) -> pb.GetUsageEventResponse:
        """Find one event."""
        event = events.get_usage_event(self._deps.db, organization_of(context), request.transaction_id)
        return pb.GetUsageEventResponse(event=stored_event_to_pb(event))

    @answers
    def ListUsageEvents(self, request: pb.ListUsageEventsRequest, context: Any) -> pb.ListUsageEventsResponse:
        """List events."""
        page, wanted = page_from_pb(request.page), convert.filter_from_pb(request)
        listed = events.list_usage_events(self._deps.db, organization_of(context), wanted, page)
        return pb.ListUsageEventsResponse(events=map(stored_event_to_pb, listed.items), page=page_to_pb(listed))

    @answers
    def VoidUsageEvent(self, request: pb.VoidUsageEventRequest, context: Any) -> pb.VoidUsageEventResponse:
        """Take an event back."""
        organization = organization_of(context)
        voiding = convert.voiding_from_pb(request, self._deps.now_us(organization))
        voided, replacement = void_usage_event(self._deps, organization, voiding)
        return convert.voided_to_pb(voided, replacement)

    @answers
    def ListQuarantinedUsageEvents(
        self, request: pb.ListQuarantinedUsageEventsRequest, context: Any
    ) -> pb.ListQuarantinedUsageEventsResponse:
        """List events that cannot be billed yet."""
        page = page_from_pb(request.page)
        wanted = convert.quarantined_from_pb(request)
        listed = events.list_quarantined(self._deps.db, organization_of(context), wanted, page)
        return pb.ListQuarantinedUsageEventsResponse(
            events=map(stored_event_to_pb, listed.items), page=page_to_pb(listed)
        )

    @streams_in_threads
    def ReplayUsageEvents(
        self,
        request: pb.ReplayUsageEventsRequest,
        context: Any,  # noqa: ARG002
    ) -> Iterator[pb.ReplayUsageEventsResponse]:
        """Send a shard's batches again."""
        for run in shards.replay(self._deps.db, request.shard, request.from_number, request.to_number):
            batch = domain_events_pb2.UsageEventsAccepted.FromString(announcement(run))
            yield pb.ReplayUsageEventsResponse(batch=batch)

    @answers
    def ListShardPositions(
        self,
        request: pb.ListShardPositionsRequest,  # noqa: ARG002
        context: Any,  # noqa: ARG002
    ) -> pb.ListShardPositionsResponse:
        """Say how far each shard has come."""
        positions = shards.positions(self._deps.db)
        return pb.ListShardPositionsResponse(positions=convert.positions_to_pb(positions))
