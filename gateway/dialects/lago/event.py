"""Usage events: one, a batch, and reading them back; listing the quarantine, and taking an event back."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.common.v1.period_pb2 import Period
from farebox.ingest.v1 import usage_event_service_pb2 as rpc
from farebox.ingest.v1.usage_event_pb2 import IngestOutcome, StoredUsageEvent, UsageEvent
from gateway.engine.coalescer import Outcome
from gateway.engine.event_body import read_many, read_one
from gateway.engine.event_outcome import store, store_all, times
from gateway.engine.paging import PageQuery, page_meta, page_request
from gateway.listing import listed
from gateway.operation import Listed, Nothing, Request, operation
from gateway.problem import invalid
from gateway.projection import aware, exact, project
from gateway.schema import Code, DecimalInput, DecimalText, Instant, InstantInput, Words
from services.kernel.money import plain

STATE = Words(StoredUsageEvent.State, "STATE_")
OUTCOME = Words(IngestOutcome, "INGEST_OUTCOME_")
Properties = Annotated[msgspec.Raw, Meta(description="The sender's own JSON object, untouched.")]


class SentUsageEvent(Struct, kw_only=True):
    """One reported consumption; the same `transaction_id` again is the same event."""

    transaction_id: Code
    code: Code
    external_subscription_id: Code | UnsetType = UNSET
    external_customer_id: Code | UnsetType = UNSET
    timestamp: InstantInput | UnsetType = UNSET
    properties: dict[str, msgspec.Raw] | UnsetType = UNSET
    precise_total_amount_cents: DecimalInput | UnsetType = UNSET


class SentOne(Struct):
    """One event under its root."""

    event: SentUsageEvent


class SentMany(Struct):
    """Up to 100 events; nothing is stored if one of them cannot be read."""

    events: Annotated[list[SentUsageEvent], Meta(min_length=1, max_length=100)]


class UsageEventAnswer(Struct, kw_only=True):
    """An event as its sender gets it back; `reason` says why it cannot be billed yet."""

    transaction_id: str
    external_customer_id: str | None
    external_subscription_id: str
    lago_subscription_id: str | None
    code: str
    timestamp: Instant
    created_at: Annotated[datetime, Meta(tz=True, description="When the log received it.")]
    precise_total_amount_cents: DecimalText | None
    properties: Properties
    status: Annotated[str, OUTCOME.told]
    reason: str | None


class UsageEventBatchAnswer(Struct):
    """The events of a batch, in order."""

    events: list[UsageEventAnswer]


class LoggedUsageEvent(UsageEventAnswer, kw_only=True):
    """An event as the log holds it."""

    status: Annotated[str, STATE.told]
    voided_by: str | None
    replaced_by: str | None


class UsageEventQuery(PageQuery, kw_only=True):
    """Which events."""

    NOT_OFFERED: ClassVar = frozenset({"timestamp_from_started_at"})

    external_customer_id: Code | UnsetType = UNSET
    external_subscription_id: Code | UnsetType = UNSET
    code: Code | UnsetType = UNSET
    timestamp_from: InstantInput | UnsetType = UNSET
    timestamp_to: InstantInput | UnsetType = UNSET


class QuarantineQuery(PageQuery, kw_only=True):
    """Which events in quarantine."""

    reason: Annotated[str, Meta(max_length=100, description="E.g. `METRIC_UNKNOWN`.")] | UnsetType = UNSET
    external_customer_id: Code | UnsetType = UNSET


class ByTransaction(Struct):
    """An event by its sender's id."""

    transaction_id: Code


class TakenBack(Struct):
    """Why an event is voided, in a sentence for people."""

    reason: Annotated[str, Meta(min_length=1, max_length=255)]


async def create(request: Request[Nothing, Nothing, bytes]) -> UsageEventAnswer:
    """Store one event.

    The answer comes once the event is durably stored. An event that cannot be billed yet is quarantined, and billed as
    soon as it can be.
    """
    event = read_one(request.body)
    return answer_of(event, await store(request.call, event))


async def create_batch(request: Request[Nothing, Nothing, bytes]) -> UsageEventBatchAnswer:
    """Store up to 100 events."""
    events = read_many(request.body)
    outcomes = await store_all(request.call, events, with_subscriptions=True)
    return UsageEventBatchAnswer([answer_of(*pair) for pair in zip(events, outcomes, strict=True)])


async def find(request: Request[ByTransaction, Nothing, Nothing]) -> LoggedUsageEvent:
    """Find an event by its sender's id."""
    call, asked = request.call, rpc.GetUsageEventRequest(transaction_id=request.path.transaction_id)
    return logged_event((await call.ask(call.clients.events.GetUsageEvent, asked)).event)


async def find_all(request: Request[Nothing, UsageEventQuery, Nothing]) -> Listed[LoggedUsageEvent]:
    """List events in the order of their receipt."""
    call, query = request.call, request.query
    names = ("external_customer_id", "external_subscription_id", "code")
    given = {name: getattr(query, name) for name in names if getattr(query, name) is not UNSET}
    asked = rpc.ListUsageEventsRequest(page=page_request(query), occurred=_span(query), **given)
    answer = await call.ask(call.clients.events.ListUsageEvents, asked)
    return Listed([logged_event(event) for event in answer.events], page_meta(query, answer.page, len(answer.events)))


async def find_quarantined(request: Request[Nothing, QuarantineQuery, Nothing]) -> Listed[LoggedUsageEvent]:
    """List the events that cannot be billed yet, each with its reason.

    They are billed automatically once the missing metric, subscription or price appears; a wrong event is voided or
    replaced.
    """
    return await listed(request.call, rpc.ListQuarantinedUsageEventsRequest, request.query, logged_event)


async def void(request: Request[ByTransaction, Nothing, TakenBack]) -> LoggedUsageEvent:
    """Take an event back. The aggregate changes, and an invoiced period is corrected on the next invoice."""
    call, body = request.call, request.body
    asked = rpc.VoidUsageEventRequest(transaction_id=request.path.transaction_id, reason=body.reason, actor="rest")
    return logged_event((await call.ask(call.clients.events.VoidUsageEvent, asked)).event)


async def replace(request: Request[ByTransaction, Nothing, bytes]) -> LoggedUsageEvent:
    """Replace an event by another with its own `transaction_id`, in one step.

    Raises:
        Problem: 422, the event names the same transaction_id.
    """
    call, transaction_id = request.call, request.path.transaction_id
    replacement = read_one(request.body)
    if replacement.transaction_id == transaction_id:
        raise invalid("transaction_id", "value_is_invalid", "must be another than the replaced event's")
    asked = rpc.VoidUsageEventRequest(
        transaction_id=transaction_id, reason="replaced", actor="rest", replacement=replacement
    )
    return logged_event((await call.ask(call.clients.events.VoidUsageEvent, asked)).replacement)


def answer_of(event: UsageEvent, outcome: Outcome) -> UsageEventAnswer:
    """A sent event as its sender gets it back: a repeat has the times of the first sending."""
    received_at, occurred_at = times(event, outcome)
    # Field by field and not by `project`: events are the one thing that is answered thousands of times a second.
    return UsageEventAnswer(
        transaction_id=event.transaction_id,
        external_customer_id=event.external_customer_id or None,
        external_subscription_id=event.external_subscription_id,
        lago_subscription_id=outcome.subscription_id or None,
        code=event.code,
        timestamp=occurred_at,
        created_at=received_at,
        precise_total_amount_cents=_amount(event),
        properties=_properties(event),
        status=cast("str", OUTCOME.word(outcome.outcome)),
        reason=outcome.detail.reason or None,
    )


def logged_event(stored: StoredUsageEvent) -> LoggedUsageEvent:
    """An event as the log holds it."""
    event = stored.event
    return project(
        LoggedUsageEvent,
        event,
        properties=_properties(event),
        lago_subscription_id=stored.subscription_id or None,
        timestamp=aware(event.occurred_at),
        created_at=aware(stored.received_at),
        status=STATE.word(stored.state),
        reason=stored.reason or None,
        voided_by=stored.voided_by or None,
        replaced_by=stored.replaced_by or None,
    )


def _properties(event: UsageEvent) -> msgspec.Raw:
    return msgspec.Raw(event.properties or b"{}")


def _amount(event: UsageEvent) -> str | None:
    named = "precise_total_amount_cents"
    return plain(exact(event.precise_total_amount_cents)) if event.HasField(named) else None


def _span(query: UsageEventQuery) -> Period | None:
    start, end = query.timestamp_from, query.timestamp_to
    if start is UNSET and end is UNSET:
        return None
    return Period(start=None if start is UNSET else start, end=None if end is UNSET else end)


_ONE = "/events/{transaction_id}"
OPERATIONS = (
    operation("POST", "/events", create, answer_root="event", body_schema=SentOne, is_event=True),
    operation("GET", "/events", find_all, answer_root="events"),
    operation("POST", "/events/batch", create_batch, body_schema=SentMany, is_event=True),
    operation("GET", "/quarantined_events", find_quarantined, answer_root="events"),
    operation("GET", _ONE, find, answer_root="event"),
    operation("POST", f"{_ONE}/void", void, root="event"),
    operation("POST", f"{_ONE}/replace", replace, answer_root="event", body_schema=SentOne),
)
