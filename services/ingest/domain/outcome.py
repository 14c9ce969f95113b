"""The outcome of each sent event, as its sender is told."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from services.kernel.errors import FieldViolation


class Outcome(IntEnum):
    """The outcome of one sent event; numbered from 0 without gaps."""

    ACCEPTED = 0
    DUPLICATE = 1
    CONFLICT = 2
    QUARANTINED = 3
    REJECTED = 4


class Answer(NamedTuple):
    """The answer to one sent event.

    Attributes:
        outcome: what the log did with the event.
        reason: a stable word; empty if the outcome needs none.
        field: the field that is wrong; empty if no single field is.
        description: a sentence for a person.
        occurred_us, received_us: for a repeat, when the stored event occurred and was received; otherwise None.
    """

    outcome: Outcome
    reason: str = ""
    field: str = ""
    description: str = ""
    occurred_us: int | None = None
    received_us: int | None = None


class Receipt(NamedTuple):
    """The answer to one call.

    Attributes:
        answers: one for each event, in order.
        received_us: when the log received them.
        present_us: the organization's time at receipt; events without a time occurred then.
        subscription_ids: Farebox ids of the subscriptions that the events count for: one for each event, empty text for
            an event that counts for none. The sequence is empty if the caller did not ask for them.
    """

    answers: Sequence[Answer]
    received_us: int
    present_us: int
    subscription_ids: Sequence[str] = ()


def answer_to(violation: FieldViolation) -> Answer:
    """The answer to a malformed event."""
    return Answer(Outcome.REJECTED, violation.reason, violation.field, violation.description)


ACCEPTED = Answer(Outcome.ACCEPTED)
DUPLICATE = Answer(Outcome.DUPLICATE)
# For organizations that want duplicates answered as errors, in Lago's words.
DUPLICATE_REJECTED = Answer(
    Outcome.DUPLICATE, "value_already_exist", "transaction_id", "the event is stored already; it counts once"
)
CONFLICT = Answer(
    Outcome.CONFLICT,
    "TRANSACTION_ID_REUSED",
    "transaction_id",
    "another event with other content has this transaction_id; the first stays",
)
EXPIRED = Answer(
    Outcome.REJECTED,
    "value_is_out_of_range",
    "transaction_id",
    "ids of this age were removed by retention; whether it was counted can no longer be told",
)
