"""Events on their way into the log, and its outcome for each: a refusal, or a success for the caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from farebox.ingest.v1 import usage_event_service_pb2 as rpc
from farebox.ingest.v1.usage_event_pb2 import IngestOutcome, UsageEvent
from farebox.rating.v1.organization_pb2 import Organization
from gateway.call import Call
from gateway.engine.coalescer import Outcome, read_outcomes
from gateway.engine.event_body import OWN_NAMES, by_place
from gateway.problem import Problem, invalid
from gateway.projection import aware

# Looked up once: a name of an enum costs as much as a field of a message.
_ACCEPTED = IngestOutcome.INGEST_OUTCOME_ACCEPTED
# The fields that the log names as in the message; all others have the same name in both.
_FIELDS = {"event.occurred_at": "timestamp", "occurred_at": "timestamp", "event": ""}


async def store(call: Call, event: UsageEvent, names: Mapping[str, str] = OWN_NAMES) -> Outcome:
    """Store an event, together with whoever sends one at the same time.

    Args:
        call: the caller's call.
        event: the event.
        names: the caller's name of each field of an event.

    Raises:
        Problem: the log refuses it; see `refusal`.
    """
    outcome = await call.coalescer.ingest(call.organization.id, event)
    problem = refusal(outcome, call.organization, names)
    if problem is not None:
        raise problem
    return outcome


async def store_all(
    call: Call, events: Sequence[UsageEvent], names: Mapping[str, str] = OWN_NAMES, *, with_subscriptions: bool = False
) -> Sequence[Outcome]:
    """Store a batch of events; see `store`.

    Raises:
        Problem: names each event that the log refuses by its place; the others are stored.
    """
    asked = rpc.IngestUsageEventsRequest(events=events, tells_subscriptions=with_subscriptions)
    outcomes = read_outcomes(await call.ask(call.clients.events.IngestUsageEvents, asked))
    problems = {index: refusal(outcome, call.organization, names) for index, outcome in enumerate(outcomes)}
    refused = {index: problem for index, problem in problems.items() if problem is not None}
    if refused:
        raise by_place(refused)
    return outcomes


def times(event: UsageEvent, outcome: Outcome) -> tuple[datetime, datetime]:
    """When the log received an event, and when it occurred; a repeat has the times of the first sending."""
    detail = outcome.detail
    if detail.HasField("received_at"):
        return aware(detail.received_at), aware(detail.occurred_at)
    return aware(outcome.received_at), aware(event.occurred_at if event.HasField("occurred_at") else outcome.present_at)


def refusal(outcome: Outcome, organization: Organization, names: Mapping[str, str] = OWN_NAMES) -> Problem | None:
    """The refusal of an event by its outcome; None for a success.

    Args:
        outcome: the outcome of the event.
        organization: says whether a repeat is a success.
        names: the caller's name of each field of an event.
    """
    if outcome.outcome == _ACCEPTED:
        return None
    detail, transaction_id = outcome.detail, names["transaction_id"]
    match outcome.outcome:
        case IngestOutcome.INGEST_OUTCOME_REJECTED:
            field = _FIELDS.get(detail.field, detail.field)
            name = names.get(field, field)
            message = f"{name}: {detail.description}" if name else detail.description
            reason = detail.reason or "value_is_invalid"
            return Problem(422, "validation_errors", message, fields={name or "event": [reason]})
        case IngestOutcome.INGEST_OUTCOME_CONFLICT:
            message = f"another event with other content has this {transaction_id}; the first stays"
            return Problem(409, "transaction_id_reused", message, fields={transaction_id: ["value_already_exist"]})
        case IngestOutcome.INGEST_OUTCOME_DUPLICATE if (
            organization.duplicate_events == Organization.DUPLICATE_EVENTS_REJECT
        ):
            return invalid(transaction_id, "value_already_exist", "is stored already")
        case _:
            return None
