"""Billing periods as they are stored: open as long as usage may come, closed once they have been invoiced."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.kernel.ids import CustomerId, InvoiceId, OrganizationId, SubscriptionId
from services.kernel.period import Period
from services.rating.usage.aggregate import PeriodKey


class PeriodState(StrEnum):
    """The state of a billing period."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class BillingPeriod:
    """A billing period of a subscription.

    Attributes:
        organization_id: the organization it belongs to.
        subscription_id: the subscription whose period it is.
        customer_id: who is billed.
        period: the span, cut to the subscription's life.
        state: open or closed.
        invoice_id: the invoice of its usage; None while open, or if there was nothing to bill.
        is_waived: whether it is closed without an invoice because its usage was to stay unbilled.
        is_dirty: whether it is closed and its usage differs from what was invoiced.
        accrual_revision: how often its accrued revenue was announced.
    """

    organization_id: OrganizationId
    subscription_id: SubscriptionId
    customer_id: CustomerId
    period: Period
    state: PeriodState = PeriodState.OPEN
    invoice_id: InvoiceId | None = None
    is_dirty: bool = False
    is_waived: bool = False
    accrual_revision: int = 0

    @property
    def key(self) -> PeriodKey:
        """The key under which its usage is stored."""
        return PeriodKey(self.organization_id, self.subscription_id, self.period.start)
