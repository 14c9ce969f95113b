"""What is announced about counted usage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from services.kernel.ids import OrganizationId, SubscriptionId
from services.kernel.period import Period


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """Units of a subscription's metric in a billing period, as a total.

    Attributes:
        organization_id, subscription_id, external_customer_id, metric_code: whose units of which metric they are.
        period: the billing period.
        units: the units after the metric's rounding.
        event_count: how many events were counted.
        revision: grows with each change.
        days: the units that the batch added to each local day, before rounding; None if they do not add up.
    """

    organization_id: OrganizationId
    subscription_id: SubscriptionId
    external_customer_id: str
    metric_code: str
    period: Period
    units: Decimal
    event_count: int
    revision: int
    days: Mapping[date, Decimal | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UsageAggregated:
    """A batch of usage events was counted; one total for each metric and period it changed."""

    totals: tuple[UsageTotal, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event that no billing period takes.

    Attributes:
        organization_id: the organization it belongs to.
        event_key: the log's identity of the event.
        reason: why it is refused.
        catalog_revision: the revision of the log's catalog when it announced the event; 0 if the event had been counted
            before. What takes it out is then announced next.
    """

    organization_id: OrganizationId
    event_key: bytes
    reason: str
    catalog_revision: int = 0


@dataclass(frozen=True, slots=True)
class UsageRefused:
    """Events that the log had accepted cannot be counted."""

    refusals: tuple[Refusal, ...]
