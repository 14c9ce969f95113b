"""Billing periods as they are kept: open while usage may come, closed once an invoice was made of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.kernel.ids import CustomerId, InvoiceId, OrganizationId, SubscriptionId
from services.kernel.period import Period
from services.rating.usage.aggregate import PeriodKey


class PeriodState(StrEnum):
    """Where a billing period stands."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class BillingPeriod:
    """A billing period of a subscription.

    Attributes:
        organization_id: owner.
        subscription_id: whose period.
        customer_id: who is billed.
        period: the span, cut to the subscription's life.
        state: open or closed.
        invoice_id: the invoice of its usage; None while open, or where there was nothing to bill.
        is_dirty: closed, and its usage is not what was invoiced.
        accrual_revision: how often its accrued revenue was announced.
    """

    organization_id: OrganizationId
    subscription_id: SubscriptionId
    customer_id: CustomerId
    period: Period
    state: PeriodState = PeriodState.OPEN
    invoice_id: InvoiceId | None = None
    is_dirty: bool = False
    accrual_revision: int = 0

    @property
    def key(self) -> PeriodKey:
        """What its usage is kept under."""
        return PeriodKey(self.organization_id, self.subscription_id, self.period.start)
