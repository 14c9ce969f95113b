"""Requests that read events or take them back, and their answers."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf import timestamp_pb2

from farebox.ingest.v1 import domain_events_pb2
from farebox.ingest.v1 import usage_event_service_pb2 as pb
from services.ingest.commands.void import Voiding
from services.ingest.convert.usage_event import event_from_pb, stored_event_to_pb
from services.ingest.domain.stored_usage_event import StoredUsageEvent
from services.ingest.domain.usage_event import END_OCCURRED_US, MIN_OCCURRED_US
from services.ingest.store.quarantine import Wanted
from services.ingest.store.shards import ShardPosition
from services.ingest.store.stored_usage_events import Filter
from services.kernel.errors import FieldViolation, InvalidArgumentError
from services.kernel.ids import uuid_or_none

_MILLION = 1_000_000


def filter_from_pb(request: pb.ListUsageEventsRequest) -> Filter:
    """Which events to list.

    Raises:
        InvalidArgumentError: an id or a time is not one.
    """
    subscription_id = None
    if request.subscription_id:
        subscription_id = uuid_or_none(request.subscription_id)
        if subscription_id is None:
            raise InvalidArgumentError.of_field("subscription_id", "invalid_format", "must be a Farebox id")
    texts = (request.external_customer_id, request.external_subscription_id, request.code)
    if any("\0" in text for text in texts):
        raise InvalidArgumentError.of_field("filter", "invalid_format", "must be text without NUL characters")
    occurred = request.occurred
    return Filter(
        customer=request.external_customer_id,
        external_subscription_id=request.external_subscription_id,
        subscription_id=subscription_id,
        code=request.code,
        from_us=_us(occurred.start) if occurred.HasField("start") else None,
        until_us=_us(occurred.end) if occurred.HasField("end") else None,
    )


def quarantined_from_pb(request: pb.ListQuarantinedUsageEventsRequest) -> Wanted:
    """Which quarantined events are wanted.

    Raises:
        InvalidArgumentError: a text that no event has.
    """
    if "\0" in request.external_customer_id or "\0" in request.reason:
        raise InvalidArgumentError.of_field("filter", "invalid_format", "must be text without NUL characters")
    return Wanted(request.reason, request.external_customer_id)


def voiding_from_pb(request: pb.VoidUsageEventRequest, now_us: int) -> Voiding:
    """A request to take an event back.

    Raises:
        InvalidArgumentError: the replacement is malformed.
    """
    replacement = None
    if request.HasField("replacement"):
        read = event_from_pb(request.replacement, now_us)
        if isinstance(read, FieldViolation):
            raise InvalidArgumentError.of_field(f"replacement.{read.field}", read.reason, read.description)
        replacement = read
    return Voiding(request.transaction_id, request.reason, request.actor, replacement)


def voided_to_pb(voided: StoredUsageEvent, replacement: StoredUsageEvent | None) -> pb.VoidUsageEventResponse:
    """The voided event, and its replacement if there is one."""
    return pb.VoidUsageEventResponse(
        event=stored_event_to_pb(voided), replacement=None if replacement is None else stored_event_to_pb(replacement)
    )


def positions_to_pb(positions: Iterable[ShardPosition]) -> list[domain_events_pb2.ShardPosition]:
    """How far each shard has come."""
    return [domain_events_pb2.ShardPosition(**position._asdict()) for position in positions]


def _us(moment: timestamp_pb2.Timestamp) -> int:
    """Microseconds since 1970, moved into the years that a time can have, since a filter may start with the year 0."""
    microseconds: int = moment.seconds * _MILLION + moment.nanos // 1000
    return min(max(microseconds, MIN_OCCURRED_US), END_OCCURRED_US - 1)
