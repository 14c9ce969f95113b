"""Facts that the catalog, subscriptions and test clocks announce; `convert` gives them their form on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.kernel.ids import OrganizationId
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.customers.customer import Customer
from services.rating.organizations.organization import Organization
from services.rating.pricing.catalog import MetricVersion, PlanVersion


@dataclass(frozen=True, slots=True)
class OrganizationChanged:
    """An organization was created or changed."""

    organization: Organization


@dataclass(frozen=True, slots=True)
class BillableMetricChanged:
    """A metric was created, changed or removed."""

    organization_id: OrganizationId
    metric: MetricVersion


@dataclass(frozen=True, slots=True)
class PlanChanged:
    """A plan version was created, changed or withdrawn."""

    organization_id: OrganizationId
    plan: PlanVersion


@dataclass(frozen=True, slots=True)
class CustomerChanged:
    """A customer was created or changed."""

    organization_id: OrganizationId
    customer: Customer


@dataclass(frozen=True, slots=True)
class SubscriptionChanged:
    """A subscription was created, moved by a verb, or came into its next period."""

    agreement: Agreement
    current_period: Period | None


@dataclass(frozen=True, slots=True)
class TestClockAdvanced:
    """A test clock was set or moved; `positions` are the shards' newest numbers when it moved."""

    __test__ = False  # not a test case, whatever pytest makes of its name

    organization_id: OrganizationId
    now: datetime
    revision: int
    positions: tuple[tuple[int, int], ...] = ()
