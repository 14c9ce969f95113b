"""What is announced of invoices and accrued revenue."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from services.kernel.ids import OrganizationId, SubscriptionId
from services.kernel.period import Period
from services.kernel.revenue import RevenueKind
from services.rating.invoicing.invoice import Invoice
from services.rating.pricing.charge_filter import Group


@dataclass(frozen=True, slots=True)
class RevenueEntry:
    """A part of a period's revenue.

    Attributes:
        kind: its source.
        period: the span in which it is earned; evenly for a base price.
        amount: the amount of the whole billing period so far, in major units.
        metric_code: the metric of usage; otherwise empty.
        group: the values of grouping properties.
    """

    kind: RevenueKind
    period: Period
    amount: Decimal
    metric_code: str = ""
    group: Group = ()


@dataclass(frozen=True, slots=True)
class RevenueAccrued:
    """What a subscription has earned in a billing period; replaces every earlier revision.

    Attributes:
        organization_id, external_customer_id, subscription_id, plan_code: whose revenue.
        currency: ISO 4217 code of the amounts.
        billing_period: the period.
        revision: grows with each announcement of the period.
        entries: the parts.
    """

    organization_id: OrganizationId
    external_customer_id: str
    subscription_id: SubscriptionId
    plan_code: str
    currency: str
    billing_period: Period
    revision: int
    entries: tuple[RevenueEntry, ...]


@dataclass(frozen=True, slots=True)
class RevenuesAccrued:
    """What some subscriptions have earned, at least one, in one message."""

    accruals: tuple[RevenueAccrued, ...]


@dataclass(frozen=True, slots=True)
class InvoiceChanged:
    """An invoice was made, refreshed, finalized, voided or paid."""

    organization_id: OrganizationId
    invoice: Invoice
