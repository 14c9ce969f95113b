"""Usage events from protobuf, and their outcomes back into it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from google.protobuf import timestamp_pb2

from farebox.common.v1 import decimal_pb2
from farebox.ingest.v1 import usage_event_pb2 as pb
from farebox.ingest.v1 import usage_event_service_pb2 as service_pb
from services.ingest.convert.properties import EMPTY, are_plain, read_properties
from services.ingest.domain.outcome import ACCEPTED, Answer, Outcome, Receipt
from services.ingest.domain.stored_usage_event import State, StoredUsageEvent
from services.ingest.domain.usage_event import (
    END_OCCURRED_US,
    MAX_AHEAD_US,
    MAX_ID_CHARACTERS,
    UsageEvent,
    check_ids,
    check_occurred,
)
from services.ingest.domain.usage_events import MAX_BATCH_BYTES, MAX_EVENTS, UsageEvents
from services.kernel.errors import FieldViolation, InvalidArgumentError
from services.kernel.money import MAX_UNITS, decimal_or_none, plain

# From this many events on, checking all of them together is cheaper than checking each.
_MANY = 8
_MILLION = 1_000_000
_NANOS = 1_000_000_000

# Indexed by the number of the outcome.
_OUTCOMES = [
    pb.INGEST_OUTCOME_ACCEPTED,
    pb.INGEST_OUTCOME_DUPLICATE,
    pb.INGEST_OUTCOME_CONFLICT,
    pb.INGEST_OUTCOME_QUARANTINED,
    pb.INGEST_OUTCOME_REJECTED,
]
_STATES = {
    State.ACCEPTED: pb.StoredUsageEvent.STATE_ACCEPTED,
    State.QUARANTINED: pb.StoredUsageEvent.STATE_QUARANTINED,
    State.VOIDED: pb.StoredUsageEvent.STATE_VOIDED,
}


def events_from_pb(messages: Sequence[pb.UsageEvent], now_us: int) -> tuple[UsageEvents, dict[int, FieldViolation]]:
    """The well-formed events of a batch in order and, by index, what is wrong with the others.

    Args:
        messages: the events as they were sent.
        now_us: the organization's present time.
    """
    events = plain_events(messages, now_us) if len(messages) >= _MANY else None
    if events is not None:
        return events, {}
    read = [event_from_pb(message, now_us) for message in messages]
    violations = {index: event for index, event in enumerate(read) if isinstance(event, FieldViolation)}
    return UsageEvents.of(event for event in read if isinstance(event, UsageEvent)), violations


def plain_events(messages: Sequence[pb.UsageEvent], now_us: int) -> UsageEvents | None:
    """The events of a batch that is certainly valid, at half the cost of reading event by event.

    `None` is inconclusive: something may be wrong, or written in an unusual way. Read event by event then.
    """
    listed = list(messages)
    transaction_ids = [message.transaction_id for message in listed]
    places = [(message.external_customer_id, message.external_subscription_id, message.code) for message in listed]
    if (
        not all(transaction_ids)
        or max(map(len, transaction_ids)) > MAX_ID_CHARACTERS
        or "\0" in "".join(transaction_ids)
        # Many events have few places, so each place is checked once.
        or any(check_ids("any", *place) for place in set(places))
    ):
        return None
    properties = [message.properties or EMPTY for message in listed]
    moments = _moments(listed, min(now_us + MAX_AHEAD_US, END_OCCURRED_US - 1))
    if moments is None or not are_plain(properties):
        return None
    return UsageEvents(transaction_ids, places, moments, properties, [None] * len(listed))


def _moments(messages: Sequence[pb.UsageEvent], latest_us: int) -> Sequence[int | None] | None:
    """When events occurred. `None` is inconclusive: one of the times may be wrong, or an event has an amount."""
    # A list, because a generator costs each event another 0.05 µs.
    if True in [message.HasField("precise_total_amount_cents") for message in messages]:
        return None
    given = [message.occurred_at for message in messages]
    nanos = [moment.nanos for moment in given]
    if min(nanos) < 0 or max(nanos) >= _NANOS:
        return None
    moments = [moment.seconds * _MILLION + rest // 1000 for moment, rest in zip(given, nanos, strict=True)]
    if max(moments) > latest_us:
        return None
    if min(moments) > 0:
        return moments
    # An absent time reads as 1970.
    if min(moments) < 0 or any(message.HasField("occurred_at") for message in messages):
        return None
    return [None] * len(moments)


def bytes_of_batch(request: service_pb.IngestUsageEventsRequest | service_pb.StreamUsageEventsRequest) -> int:
    """The size in bytes of a request with a batch.

    Raises:
        InvalidArgumentError: it has no events, more than MAX_EVENTS of them, or more than MAX_BATCH_BYTES.
    """
    if not 0 < len(request.events) <= MAX_EVENTS:
        raise InvalidArgumentError.of_field("events", "value_is_invalid", f"must be 1 to {MAX_EVENTS} events")
    size: int = request.ByteSize()
    if size > MAX_BATCH_BYTES:
        raise InvalidArgumentError.of_field("events", "value_too_long", f"must have at most {MAX_BATCH_BYTES} bytes")
    return size


def event_from_pb(message: pb.UsageEvent, now_us: int) -> UsageEvent | FieldViolation:
    """One event, or what is wrong with it."""
    transaction_id, customer = message.transaction_id, message.external_customer_id
    subscription, code = message.external_subscription_id, message.code
    violation = check_ids(transaction_id, customer, subscription, code)
    if violation is not None:
        return violation
    properties = read_properties(message.properties)
    if isinstance(properties, FieldViolation):
        return properties
    occurred_us: int | None = None
    if message.HasField("occurred_at"):
        moment = message.occurred_at
        occurred_us = moment.seconds * _MILLION + moment.nanos // 1000
        if occurred_us > now_us or occurred_us < 0 or not 0 <= moment.nanos < _NANOS:
            violation = _check_moment(moment, occurred_us, now_us)
            if violation is not None:
                return violation
    amount: Decimal | None = None
    if message.HasField("precise_total_amount_cents"):
        amount = decimal_or_none(message.precise_total_amount_cents.value)
        if amount is None:
            return FieldViolation("precise_total_amount_cents", "invalid_number", "must be a decimal number")
        if abs(amount) > MAX_UNITS:
            limit = f"must lie within {plain(MAX_UNITS)} of zero"
            return FieldViolation("precise_total_amount_cents", "value_is_out_of_range", limit)
    # Like UsageEvent(…), without the cost of its constructor, which is a Python function.
    return tuple.__new__(UsageEvent, (transaction_id, customer, subscription, code, occurred_us, properties, amount))


def _check_moment(moment: timestamp_pb2.Timestamp, occurred_us: int, now_us: int) -> FieldViolation | None:
    if not 0 <= moment.nanos < _NANOS:
        return FieldViolation("timestamp", "invalid_format", "must have nanoseconds from 0 to 999999999")
    return check_occurred(occurred_us, now_us=now_us)


def receipt_to_pb(receipt: Receipt, messages: Sequence[pb.UsageEvent]) -> service_pb.IngestUsageEventsResponse:
    """The answer to a call with these events."""
    outcomes, details = _answers_to_pb(receipt.answers, messages)
    return service_pb.IngestUsageEventsResponse(
        outcomes=outcomes,
        details=details,
        received_at=_timestamp(receipt.received_us),
        present_at=_timestamp(receipt.present_us),
        subscription_ids=receipt.subscription_ids,
    )


def acknowledgement_to_pb(
    receipt: Receipt, request: service_pb.StreamUsageEventsRequest
) -> service_pb.StreamUsageEventsResponse:
    """The acknowledgement of one message on a stream."""
    outcomes, details = _answers_to_pb(receipt.answers, request.events)
    return service_pb.StreamUsageEventsResponse(
        sequence=request.sequence,
        outcomes=outcomes,
        details=details,
        received_at=_timestamp(receipt.received_us),
        present_at=_timestamp(receipt.present_us),
    )


def _answers_to_pb(
    answers: Sequence[Answer], messages: Sequence[pb.UsageEvent]
) -> tuple[list[pb.IngestOutcome], list[pb.IngestDetail]]:
    """An outcome for each event, and a detail for each that was not plainly accepted."""
    if answers.count(ACCEPTED) == len(answers):
        return [pb.INGEST_OUTCOME_ACCEPTED] * len(answers), []
    details = [
        _detail_to_pb(index, answer, messages[index].transaction_id)
        for index, answer in enumerate(answers)
        if answer.outcome is not Outcome.ACCEPTED
    ]
    return [_OUTCOMES[answer.outcome] for answer in answers], details


def _detail_to_pb(index: int, answer: Answer, transaction_id: str) -> pb.IngestDetail:
    return pb.IngestDetail(
        index=index,
        transaction_id=transaction_id[:MAX_ID_CHARACTERS],
        outcome=_OUTCOMES[answer.outcome],
        reason=answer.reason,
        field=answer.field,
        description=answer.description,
        occurred_at=None if answer.occurred_us is None else _timestamp(answer.occurred_us),
        received_at=None if answer.received_us is None else _timestamp(answer.received_us),
    )


def stored_event_to_pb(stored: StoredUsageEvent) -> pb.StoredUsageEvent:
    """An event as the log holds it."""
    amount = stored.amount
    event = pb.UsageEvent(
        transaction_id=stored.transaction_id,
        external_customer_id=stored.external_customer_id,
        external_subscription_id=stored.external_subscription_id,
        code=stored.code,
        occurred_at=_timestamp(stored.occurred_us),
        properties=stored.properties,
        precise_total_amount_cents=None if amount is None else decimal_pb2.Decimal(value=plain(amount)),
    )
    return pb.StoredUsageEvent(
        event=event,
        received_at=_timestamp(stored.received_us),
        state=_STATES[stored.state],
        reason=stored.reason,
        subscription_id=stored.subscription_id,
        voided_by=stored.voided_by,
        replaced_by=stored.replaced_by,
    )


def _timestamp(microseconds: int) -> timestamp_pb2.Timestamp:
    seconds, rest = divmod(microseconds, _MILLION)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=rest * 1000)
