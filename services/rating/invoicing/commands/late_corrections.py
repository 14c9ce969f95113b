"""Adjusting closed periods: what late, voided and corrected events change is billed on the customer's next invoice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.engine import Connection

from services.kernel.ids import CustomerId, FeeId, SubscriptionId, new_id
from services.kernel.money import Currency
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.store import agreements
from services.rating.catalog.store.metrics import metrics_by_code
from services.rating.deps import Deps
from services.rating.invoicing.adjustment import settle
from services.rating.invoicing.bill import BilledFee
from services.rating.invoicing.period_rating import ProvenFee, adjust_period, rate_period
from services.rating.invoicing.store.invoices import fees_of_usage
from services.rating.organizations.organization import LateUsageEvents, Organization
from services.rating.pricing.catalog import MetricVersion
from services.rating.pricing.fee import Fee
from services.rating.usage.aggregate import PeriodKey, UsageAggregate
from services.rating.usage.billing_period import BillingPeriod
from services.rating.usage.recount import recount
from services.rating.usage.store import aggregates, periods


@dataclass(slots=True)
class Adjustable:
    """Closed periods of customers whose usage is not what was invoiced.

    Attributes:
        dirty: the periods, by customer.
        agreements, metrics, kept, invoiced: what they are rated again with, and what was billed of them.
        settled: periods that are invoiced as they should be.
    """

    dirty: dict[CustomerId, list[BillingPeriod]]
    agreements: Mapping[SubscriptionId, Agreement] = field(default_factory=dict)
    metrics: Mapping[str, MetricVersion] = field(default_factory=dict)
    kept: Mapping[PeriodKey, Sequence[UsageAggregate]] = field(default_factory=dict)
    invoiced: Mapping[tuple[SubscriptionId, datetime], Sequence[BilledFee]] = field(default_factory=dict)
    settled: set[PeriodKey] = field(default_factory=set)

    @classmethod
    def of(cls, deps: Deps, tx: Connection, organization: Organization, customers: Iterable[CustomerId]) -> Adjustable:
        """What is to be adjusted for customers; their periods are locked until the transaction ends."""
        owner = organization.organization_id
        dirty = periods.lock_dirty(tx, owner, customers)
        changed = [each for own in dirty.values() for each in own]
        if organization.late_events is LateUsageEvents.IGNORE:
            return cls({}, settled={each.key for each in changed})
        if not changed:
            return cls({})
        found = agreements(tx, owner, {each.subscription_id for each in changed})
        codes = {charge.metric_code for each in found.values() for charge in each.plan.charges}
        metrics = metrics_by_code(tx, owner, codes)
        kept = aggregates.of_periods(tx, [each.key for each in changed])
        for each in changed:
            if any(aggregate.needs_recount for aggregate in kept[each.key]):
                agreement = found[each.subscription_id]
                kept[each.key] = recount(deps, tx, agreement, each.period, kept[each.key], metrics)
        invoiced = fees_of_usage(tx, owner, [(each.subscription_id, each.period.start) for each in changed])
        return cls(dirty, found, metrics, kept, invoiced)

    def place(
        self, customer: CustomerId, currency: Currency, fees: Sequence[Fee], watermarks: Mapping[int, int]
    ) -> list[BilledFee]:
        """The adjustments that fit on the customer's invoice with these fees; the others wait for the next one."""
        found: dict[PeriodKey, list[ProvenFee]] = {}
        for each in self.dirty.pop(customer, ()):
            agreement = self.agreements[each.subscription_id]
            if agreement.plan.currency == currency:
                found[each.key] = self._adjustments(each, agreement, watermarks)
        placed, waiting = settle([each.fee for own in found.values() for each in own], fees)
        self.settled |= {key for key, own in found.items() if not any(each.fee in waiting for each in own)}
        return [
            BilledFee(FeeId(new_id()), each.fee, each.proof)
            for own in found.values()
            for each in own
            if each.fee in placed
        ]

    def _adjustments(
        self, period: BillingPeriod, agreement: Agreement, watermarks: Mapping[int, int]
    ) -> list[ProvenFee]:
        rerated = rate_period(agreement, period.period, self.kept[period.key], self.metrics, watermarks)
        billed = self.invoiced[(period.subscription_id, period.period.start)]
        return adjust_period([each.fee for each in billed], rerated, agreement.plan.currency)

    def save(self, tx: Connection) -> None:
        """Keep which periods are invoiced as they should be."""
        if self.settled:
            periods.mark(tx, self.settled, dirty=False, accrual_due=True)
