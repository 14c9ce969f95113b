"""The usage-event log as rating reads it: pages of the events of a subscription's metric."""

from __future__ import annotations

from farebox.common.v1 import page_pb2
from farebox.ingest.v1 import usage_event_service_pb2 as pb
from services.rating.shared.usage_log import UsageEventPage, UsageEventsWanted
from services.rating.usage.convert import event_page_from_pb
from services.wire.usage_log import UsageLogClient
from services.wire.values import period_to_pb


class IngestLog:
    """The log that ingest keeps; see `shared.usage_log.UsageLog`."""

    def __init__(self, client: UsageLogClient) -> None:
        self._client = client

    def page(self, wanted: UsageEventsWanted, *, size: int, token: str) -> UsageEventPage:
        """One page of a subscription's events on a metric, in order of receipt.

        Raises:
            UnavailableError: `USAGE_LOG_UNAVAILABLE`.
        """
        request = pb.ListUsageEventsRequest(
            page=page_pb2.PageRequest(page_size=size, page_token=token),
            subscription_id=wanted.subscription_id,
            code=wanted.code,
            occurred=period_to_pb(wanted.occurred),
        )
        return event_page_from_pb(self._client.events(wanted.organization_id, request))
