"""Usage events: one, a batch, and reading them back. Properties pass through as the caller's own bytes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from farebox.common.v1.period_pb2 import Period
from farebox.ingest.v1 import usage_event_service_pb2 as service
from farebox.ingest.v1.usage_event_pb2 import IngestOutcome, StoredUsageEvent, UsageEvent
from farebox.rating.v1.organization_pb2 import Organization
from gateway.bridge import callers_field
from gateway.call import Call
from gateway.dialects.nozle import pages, write
from gateway.dialects.nozle.event_body import EventBody, read_event, read_many, read_one
from gateway.dialects.nozle.read import Reader
from gateway.engine.coalescer import Outcome, read_outcomes
from gateway.problem import Problem, invalid
from services.kernel.clock import SystemClock
from services.kernel.instant import to_text

# As Lago: more events than this are sent in several batches.
MAX_BATCH = 100


async def create(call: Call) -> Any:
    """`POST /events`: store one event."""
    event = read_one(call.body)
    outcome = await call.coalescer.ingest(call.organization.id, event)
    problem = refusal(outcome, call.organization)
    if problem is not None:
        raise problem
    return {"event": await _answer(call, event, outcome)}


async def create_batch(call: Call) -> Any:
    """`POST /events/batch`: store up to 100 events; nothing is stored where one cannot be read."""
    bodies = read_many(call.body)
    if not bodies:
        raise invalid("events", "no_events", "holds no event")
    if len(bodies) > MAX_BATCH:
        raise invalid("events", "too_many_events", f"holds more than {MAX_BATCH} events")
    events = _read_all(bodies)
    response = await call.ask(call.clients.events.IngestUsageEvents, service.IngestUsageEventsRequest(events=events))
    outcomes = read_outcomes(response)
    problems = {index: refusal(outcome, call.organization) for index, outcome in enumerate(outcomes)}
    _raise_all({index: problem for index, problem in problems.items() if problem is not None})
    return {"events": [await _answer(call, *pair) for pair in zip(events, outcomes, strict=True)]}


async def find(call: Call) -> Any:
    """`GET /events/{transaction_id}`."""
    request = service.GetUsageEventRequest(transaction_id=call.path["transaction_id"])
    answer = await call.ask(call.clients.events.GetUsageEvent, request)
    return {"event": stored_event(answer.event)}


async def find_all(call: Call) -> Any:
    """`GET /events`: by code, customer, subscription and time."""
    query, page = Reader(call.query), pages.read(call.query)
    request = service.ListUsageEventsRequest(
        page=page,
        external_customer_id=query.text("external_customer_id"),
        external_subscription_id=query.text("external_subscription_id"),
        code=query.text("code"),
        occurred=_span(query.instant("timestamp_from"), query.instant("timestamp_to")),
    )
    answer = await call.ask(call.clients.events.ListUsageEvents, request)
    events = [stored_event(event) for event in answer.events]
    return {"events": events, "meta": pages.meta(page, answer.page, len(events))}


def refusal(outcome: Outcome, organization: Organization) -> Problem | None:
    """The refusal that an outcome is for the caller; None where it is a success."""
    detail = outcome.detail
    match outcome.outcome:
        case IngestOutcome.INGEST_OUTCOME_REJECTED:
            message = f"{detail.field}: {detail.description}" if detail.field else detail.description
            details = {callers_field(detail.field) or "event": [detail.reason or "value_is_invalid"]}
            return Problem(422, "validation_errors", message, fields=details)
        case IngestOutcome.INGEST_OUTCOME_CONFLICT:
            message = detail.description or "the transaction_id is used by an event with other content"
            details = {"transaction_id": ["value_already_exist"]}
            return Problem(409, "transaction_id_reused", message, fields=details)
        case IngestOutcome.INGEST_OUTCOME_DUPLICATE if _rejects_duplicates(organization):
            return invalid("transaction_id", "value_already_exist", "is stored already")
        case _:
            return None


def stored_event(stored: StoredUsageEvent) -> dict[str, Any]:
    """An event as the log holds it."""
    event = stored.event
    return {
        **_event(event, write.instant(event, "occurred_at")),
        "lago_subscription_id": stored.subscription_id or None,
        "created_at": write.instant(stored, "received_at"),
        "status": StoredUsageEvent.State.Name(stored.state).removeprefix("STATE_").lower(),
        "reason": stored.reason or None,
        "voided_by": stored.voided_by or None,
        "replaced_by": stored.replaced_by or None,
    }


async def _answer(call: Call, event: UsageEvent, outcome: Outcome) -> dict[str, Any]:
    """A stored event, as its sender gets it back."""
    is_repeat = outcome.outcome == IngestOutcome.INGEST_OUTCOME_DUPLICATE
    if not event.HasField("occurred_at") and (is_repeat or call.organization.test_mode):
        # The log gave it a time that is not ours: that of the first sending, or of a test clock.
        request = service.GetUsageEventRequest(transaction_id=event.transaction_id)
        stored = (await call.ask(call.clients.events.GetUsageEvent, request)).event
        return {**stored_event(stored), "status": "duplicate" if is_repeat else _status(outcome)}
    now = to_text(SystemClock().now())
    return {
        **_event(event, write.instant(event, "occurred_at") or now),
        "lago_subscription_id": None,
        "created_at": now,
        "status": _status(outcome),
        "reason": outcome.detail.reason or None,
    }


def _event(event: UsageEvent, timestamp: str | None) -> dict[str, Any]:
    return {
        "lago_id": None,
        "nozle_id": None,
        "transaction_id": event.transaction_id,
        "lago_customer_id": None,
        "external_customer_id": event.external_customer_id or None,
        "external_subscription_id": event.external_subscription_id,
        "code": event.code,
        "timestamp": timestamp,
        "precise_total_amount_cents": write.decimal(event, "precise_total_amount_cents"),
        "properties": msgspec.Raw(event.properties or b"{}"),
    }


def _status(outcome: Outcome) -> str:
    return IngestOutcome.Name(outcome.outcome).removeprefix("INGEST_OUTCOME_").lower()


def _rejects_duplicates(organization: Organization) -> bool:
    return organization.duplicate_events == Organization.DUPLICATE_EVENTS_REJECT


def _read_all(bodies: list[EventBody]) -> list[UsageEvent]:
    events, problems = [], {}
    for index, body in enumerate(bodies):
        try:
            events.append(read_event(body))
        except Problem as problem:
            problems[index] = problem
    _raise_all(problems)
    return events


def _raise_all(problems: Mapping[int, Problem]) -> None:
    """Refuse a batch for some of its events, each by its place in the batch, as Lago does."""
    if not problems:
        return
    details = {str(index): problem.fields for index, problem in problems.items()}
    first = min(problems)
    raise Problem(
        problems[first].status, problems[first].reason, f"event {first}: {problems[first].detail}", fields=details
    )


def _span(start: datetime | None, end: datetime | None) -> Period | None:
    return Period(start=start, end=end) if start or end else None
