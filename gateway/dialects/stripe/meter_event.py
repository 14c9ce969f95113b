"""Meter events become usage events, in both versions of Stripe's API; an adjustment voids one.

`event_name` is the metric's code, `payload[stripe_customer_id]` the organization's id of the customer, the rest of the
payload the properties, and `identifier` the transaction id. Without an identifier, the Idempotency-Key, which Stripe's
clients send with each retry, is the transaction id, so that a retry never counts twice.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.ingest.v1 import usage_event_service_pb2 as rpc
from farebox.ingest.v1.usage_event_pb2 import UsageEvent
from gateway.call import Call
from gateway.dialects.stripe.form import read_form
from gateway.engine.event_body import OWN_NAMES
from gateway.engine.event_outcome import store, times
from gateway.operation import Endpoint, Nothing, Request, not_offered, operation
from gateway.problem import invalid, not_found
from gateway.schema import Code, Instant, InstantInput
from services.kernel.ids import new_id

CUSTOMER = "stripe_customer_id"
FORM = "application/x-www-form-urlencoded"
_NAMES = {
    **OWN_NAMES,
    "transaction_id": "identifier",
    "code": "event_name",
    "external_customer_id": f"payload[{CUSTOMER}]",
    "properties": "payload",
}
Payload = Annotated[
    dict[str, str],
    Meta(description=f"`{CUSTOMER}`, `value`, and further dimensions; a metric reads them as properties."),
]
Seconds = Annotated[int, Meta(description="Unix seconds.")]


class NewMeterEvent(Struct, kw_only=True):
    """One reported consumption; the same `identifier` again is the same event."""

    NOT_OFFERED: ClassVar = frozenset({"expand"})

    event_name: Annotated[Code, Meta(description="The code of a metric.")]
    payload: Payload
    identifier: Code | UnsetType = UNSET
    timestamp: InstantInput | UnsetType = UNSET


class MeterEvent(Struct, kw_only=True):
    """A stored meter event."""

    object: Literal["billing.meter_event"] = "billing.meter_event"
    created: Seconds
    event_name: str
    identifier: str
    livemode: bool
    payload: Payload
    timestamp: Seconds


class MeterEventV2(Struct, kw_only=True):
    """A stored meter event, in the form of version 2."""

    object: Literal["v2.billing.meter_event"] = "v2.billing.meter_event"
    created: Instant
    event_name: str
    identifier: str
    livemode: bool
    payload: Payload
    timestamp: Instant


class Canceled(Struct):
    """The event to void."""

    identifier: Code


class NewAdjustment(Struct, kw_only=True):
    """A request to void an event."""

    NOT_OFFERED: ClassVar = frozenset({"expand"})

    event_name: Annotated[Code, Meta(description="The code that the event was sent with.")]
    type: Literal["cancel"]
    cancel: Canceled


class Adjustment(Struct, kw_only=True):
    """A voided event; everything that it counted for is corrected."""

    object: Annotated[str, Meta(description="`billing.meter_event_adjustment`, in version 2 with `v2.` before it.")]
    cancel: Canceled
    event_name: str
    livemode: bool
    status: Literal["complete"] = "complete"
    type: Literal["cancel"] = "cancel"


async def create(request: Request[Nothing, Nothing, bytes]) -> MeterEvent:
    """Store a meter event.

    The answer comes once the event is durably stored. An event that cannot be billed yet is quarantined, and billed as
    soon as it can be.
    """
    sent = read_form(NewMeterEvent, request.body)
    event, created, occurred = await _store(request.call, sent)
    return MeterEvent(
        created=_seconds(created),
        event_name=sent.event_name,
        identifier=event.transaction_id,
        livemode=not request.call.organization.test_mode,
        payload=sent.payload,
        timestamp=_seconds(occurred),
    )


async def create_v2(request: Request[Nothing, Nothing, NewMeterEvent]) -> MeterEventV2:
    """Store a meter event, in version 2."""
    sent = request.body
    event, created, occurred = await _store(request.call, sent)
    return MeterEventV2(
        created=created,
        event_name=sent.event_name,
        identifier=event.transaction_id,
        livemode=not request.call.organization.test_mode,
        payload=sent.payload,
        timestamp=occurred,
    )


async def adjust(request: Request[Nothing, Nothing, bytes]) -> Adjustment:
    """Void an event. An invoiced period is corrected on the next invoice."""
    return await _cancel(request.call, read_form(NewAdjustment, request.body), "billing.meter_event_adjustment")


async def adjust_v2(request: Request[Nothing, Nothing, NewAdjustment]) -> Adjustment:
    """Void an event, in version 2."""
    return await _cancel(request.call, request.body, "v2.billing.meter_event_adjustment")


async def _store(call: Call, sent: NewMeterEvent) -> tuple[UsageEvent, datetime, datetime]:
    """Store an event; returns it, when the log received it, and when it occurred.

    Raises:
        Problem: 422, it names no customer; 409, the identifier is another event's.
    """
    event = _usage_event(call, sent)
    created, occurred = times(event, await store(call, event, _NAMES))
    return event, created, occurred


def _usage_event(call: Call, sent: NewMeterEvent) -> UsageEvent:
    customer = sent.payload.get(CUSTOMER, "")
    if not customer:
        raise invalid(f"payload[{CUSTOMER}]", "value_is_mandatory", "is missing: it names the customer")
    properties = {name: value for name, value in sent.payload.items() if name != CUSTOMER}
    return UsageEvent(
        transaction_id=(call.idempotency_key or new_id()) if sent.identifier is UNSET else sent.identifier,
        code=sent.event_name,
        external_customer_id=customer,
        occurred_at=None if sent.timestamp is UNSET else sent.timestamp,
        properties=msgspec.json.encode(properties),
    )


async def _cancel(call: Call, sent: NewAdjustment, kind: str) -> Adjustment:
    """Void an event that was sent with this name.

    Raises:
        Problem: 404, there is no such event with this name.
    """
    identifier = sent.cancel.identifier
    asked = rpc.GetUsageEventRequest(transaction_id=identifier)
    stored = await call.ask(call.clients.events.GetUsageEvent, asked)
    # The name of a stored event never changes, so it is safe to look at it first.
    if stored.event.event.code != sent.event_name:
        raise not_found("meter_event", f"event {identifier} was not sent as {sent.event_name}")
    void = rpc.VoidUsageEventRequest(transaction_id=identifier, reason="canceled by an adjustment", actor="rest")
    await call.ask(call.clients.events.VoidUsageEvent, void)
    return Adjustment(
        object=kind, cancel=sent.cancel, event_name=sent.event_name, livemode=not call.organization.test_mode
    )


def _seconds(instant: datetime) -> int:
    return int(instant.timestamp())


_NO_METERS = "a meter is a billable metric; use /api/v1/billable_metrics, and …/current_usage for its usage"
_NO_SESSIONS = "there are no session tokens; send events to /v2/billing/meter_events"
OPERATIONS: tuple[Endpoint, ...] = (
    operation("POST", "/v1/billing/meter_events", create, bodies={FORM: NewMeterEvent}, is_event=True),
    operation("POST", "/v1/billing/meter_event_adjustments", adjust, bodies={FORM: NewAdjustment}, is_event=True),
    operation("POST", "/v2/billing/meter_events", create_v2, is_event=True),
    operation("POST", "/v2/billing/meter_event_adjustments", adjust_v2, is_event=True),
    *not_offered("POST", "/v2/billing/meter_event_session", _NO_SESSIONS),
    *not_offered("POST", "/v2/billing/meter_event_stream", _NO_SESSIONS),
    *not_offered("GET POST", "/v1/billing/meters", _NO_METERS),
    *not_offered("GET POST", "/v1/billing/meters/{id}", _NO_METERS),
    *not_offered("POST", "/v1/billing/meters/{id}/deactivate", _NO_METERS),
    *not_offered("POST", "/v1/billing/meters/{id}/reactivate", _NO_METERS),
    *not_offered("GET", "/v1/billing/meters/{id}/event_summaries", _NO_METERS),
)
