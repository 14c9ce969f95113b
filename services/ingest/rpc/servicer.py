"""The servicer of the log: unpack, call, pack."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from farebox.ingest.v1 import domain_events_pb2
from farebox.ingest.v1 import usage_event_service_pb2 as pb
from farebox.ingest.v1 import usage_event_service_pb2_grpc as pb_grpc
from services.chassis.page import read_page
from services.chassis.rpc.answers import answers
from services.chassis.rpc.answers_async import answers_async, streams_async, streams_in_threads
from services.chassis.rpc.calls import organization_of
from services.ingest.commands.ingest import Deps
from services.ingest.commands.void import void_usage_event
from services.ingest.convert import requests as convert
from services.ingest.convert.usage_event import answers_to_pb, found_to_pb
from services.ingest.convert.wire import announcement
from services.ingest.queries import events, shards
from services.ingest.rpc.intake import Intake

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["UsageEventService"].full_name


class UsageEventServicer(pb_grpc.UsageEventServiceServicer):
    """The usage-event log over gRPC."""

    def __init__(self, deps: Deps, intake: Intake) -> None:
        """Serve `deps`; `intake` takes batches in."""
        self._deps = deps
        self._intake = intake

    @answers_async
    async def IngestUsageEvents(self, request: Any, context: Any) -> Any:
        """Store a batch."""
        answers = await self._intake.take(organization_of(context), request)
        outcomes, details = answers_to_pb(answers, request.events)
        return pb.IngestUsageEventsResponse(outcomes=outcomes, details=details)

    @streams_async
    async def StreamUsageEvents(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        """Store batches one after the other, acknowledging each."""
        organization = organization_of(context)
        with self._intake.stream():
            async for request in request_iterator:
                answers = await self._intake.take(organization, request)
                outcomes, details = answers_to_pb(answers, request.events)
                yield pb.StreamUsageEventsResponse(sequence=request.sequence, outcomes=outcomes, details=details)

    @answers
    def GetUsageEvent(self, request: Any, context: Any) -> Any:
        """Find one event."""
        found = events.get_usage_event(self._deps.db, organization_of(context), request.transaction_id)
        return pb.GetUsageEventResponse(event=found_to_pb(found))

    @answers
    def ListUsageEvents(self, request: Any, context: Any) -> Any:
        """List events."""
        page = read_page(request.page.page_size, request.page.page_token, request.page.skip)
        wanted = convert.filter_from_pb(request)
        found, token = events.list_usage_events(self._deps.db, organization_of(context), wanted, page)
        return pb.ListUsageEventsResponse(events=map(found_to_pb, found), page=convert.page_to_pb(token))

    @answers
    def VoidUsageEvent(self, request: Any, context: Any) -> Any:
        """Take an event back."""
        organization = organization_of(context)
        voiding = convert.voiding_from_pb(request, now_us=self._intake.now_us(organization))
        voided, replacement = void_usage_event(self._deps, organization, voiding)
        return convert.voided_to_pb(voided, replacement)

    @answers
    def ListQuarantinedUsageEvents(self, request: Any, context: Any) -> Any:
        """List events that cannot be billed yet."""
        page = read_page(request.page.page_size, request.page.page_token, request.page.skip)
        found, token = events.list_quarantined(self._deps.db, organization_of(context), request.reason, page)
        return pb.ListQuarantinedUsageEventsResponse(events=map(found_to_pb, found), page=convert.page_to_pb(token))

    @streams_in_threads
    def ReplayUsageEvents(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: ARG002
        """Send a shard's batches again."""
        for run in shards.replay(self._deps.db, request.shard, request.from_number, request.to_number):
            batch = domain_events_pb2.UsageEventsAccepted.FromString(announcement(run))
            yield pb.ReplayUsageEventsResponse(batch=batch)

    @answers
    def ListShardPositions(self, request: Any, context: Any) -> Any:  # noqa: ARG002
        """Say how far each shard has come."""
        positions = shards.positions(self._deps.db)
        return pb.ListShardPositionsResponse(positions=convert.positions_to_pb(positions))
