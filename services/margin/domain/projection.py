"""What margin knows of other services' things: only as much as cost and revenue need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Organization:
    """A tenant.

    Attributes:
        id: UUID as text.
        default_currency: ISO 4217 code of the currency in which it bills by default.
    """

    id: str
    default_currency: str


@dataclass(frozen=True, slots=True)
class Metric:
    """A billable metric.

    Attributes:
        organization_id: UUID as text.
        code: the organization's code.
        is_sum: whether its units are the sum of a property; if not, each event is one unit.
        field_name: the property that is aggregated; empty for a count.
    """

    organization_id: str
    code: str
    is_sum: bool
    field_name: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """A customer on a plan, over time.

    Attributes:
        organization_id, id: UUIDs as text.
        external_customer_id: the organization's id of the customer.
        plan_code: the plan's code.
        started_at: when it started; None if it never did.
        ended_at: when it ended; None if it has not.
    """

    organization_id: str
    id: str
    external_customer_id: str
    plan_code: str
    started_at: datetime | None
    ended_at: datetime | None


class UsageEvent(NamedTuple):
    """An entry of the usage-event log.

    Attributes:
        organization_id: UUID as text.
        transaction_id: the sender's identity of the event.
        external_customer_id: the organization's id of the customer.
        subscription_id: UUID as text; None if it counts for no subscription.
        code: the metric's code.
        occurred_at: when it occurred.
        properties: the sender's JSON object as bytes.
        is_voided: whether the entry takes the event back.
    """

    organization_id: str
    transaction_id: str
    external_customer_id: str
    subscription_id: str | None
    code: str
    occurred_at: datetime
    properties: bytes
    is_voided: bool = False


@dataclass(frozen=True, slots=True)
class ClockAdvance:
    """A test clock that was set or moved.

    Attributes:
        organization_id: the test-mode organization, a UUID as text.
        now: its time.
        revision: grows with each advance.
        positions: for each shard, the number of the batch that must have been applied first.
    """

    organization_id: str
    now: datetime
    revision: int
    positions: dict[int, int]


@dataclass(frozen=True, slots=True)
class ClockReached:
    """Margin has done everything that is due up to an instant of a test clock; a domain event.

    Attributes:
        organization_id: the test-mode organization, a UUID as text.
        revision: the advance that was reached.
        now: the instant.
    """

    organization_id: str
    revision: int
    now: datetime


def subscription_at(subscriptions: Iterable[Subscription], at: datetime) -> Subscription | None:
    """The only subscription that ran at an instant; None if none or several did."""
    running = [
        s
        for s in subscriptions
        if s.started_at is not None and s.started_at <= at and (s.ended_at is None or at < s.ended_at)
    ]
    return running[0] if len(running) == 1 else None
