"""The log's outcome for an event, as a refusal or a success for the caller."""

from __future__ import annotations

from collections.abc import Mapping

from farebox.ingest.v1.usage_event_pb2 import IngestOutcome
from farebox.rating.v1.organization_pb2 import Organization
from gateway.engine.coalescer import Outcome
from gateway.engine.event_body import OWN_NAMES
from gateway.problem import Problem, invalid

# Looked up once: a name of an enum costs as much as a field of a message.
_ACCEPTED = IngestOutcome.INGEST_OUTCOME_ACCEPTED
# The fields that the log names as in the message; all others have the same name in both.
_FIELDS = {"event.occurred_at": "timestamp", "occurred_at": "timestamp", "event": ""}


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
