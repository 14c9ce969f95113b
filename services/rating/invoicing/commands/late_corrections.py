"""Late corrections: what late, voided and corrected events change in closed periods is billed on the next invoice.

The closed invoice stays as it is. The next invoice of the customer, for any of its subscriptions, takes what the closed
periods owe now, less what was billed for them (`invoicing/adjustment.py`). The same holds for what was missing to a
minimum commitment, which late usage may have filled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.engine import Connection

from services.kernel.cadence import period_containing
from services.kernel.ids import CustomerId, SubscriptionId
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.store import agreements
from services.rating.catalog.store.metrics import metrics_by_code
from services.rating.deps import Deps
from services.rating.invoicing.adjustment import settle
from services.rating.invoicing.billing_run import BillingRun, commitment_due, commitment_of
from services.rating.invoicing.invoice_fee import InvoiceFee, ProvenFee, new_fee
from services.rating.invoicing.period_rating import adjust_period, rate_period
from services.rating.invoicing.store.invoices import fees_of_usage, fees_within
from services.rating.organizations.organization import LateUsageEvents, Organization
from services.rating.pricing.catalog import MetricVersion
from services.rating.pricing.fee import Fee
from services.rating.usage.aggregate import PeriodKey, UsageAggregate
from services.rating.usage.billing_period import BillingPeriod
from services.rating.usage.recount import recount
from services.rating.usage.store import aggregates, periods

Committed = tuple[SubscriptionId, Period]
"""A plan's own period of a subscription."""


@dataclass(frozen=True, slots=True)
class CommittedPeriod:
    """A plan's own period with a minimum commitment, and the billing periods within it that are corrected.

    Attributes:
        agreement: whose period.
        nominal: the full period.
        keys: the billing periods, in order.
    """

    agreement: Agreement
    nominal: Period
    keys: tuple[PeriodKey, ...]

    @property
    def first(self) -> PeriodKey:
        """The billing period with which the commitment is corrected."""
        return self.keys[0]


def committed_periods(
    agreed: Mapping[SubscriptionId, Agreement], corrected: Iterable[PeriodKey]
) -> list[CommittedPeriod]:
    """The plans' own periods, with a minimum commitment, that billing periods lie in."""
    found: dict[Committed, list[PeriodKey]] = {}
    for key in corrected:
        agreement = agreed[key.subscription_id]
        if agreement.plan.minimum_commitment_amount:
            nominal = period_containing(agreement.cadence, key.period_start)
            found.setdefault((key.subscription_id, nominal), []).append(key)
    return [CommittedPeriod(agreed[owner], nominal, tuple(keys)) for (owner, nominal), keys in found.items()]


def _committed(
    tx: Connection, changed: Iterable[BillingPeriod], agreed: Mapping[SubscriptionId, Agreement]
) -> dict[Committed, Sequence[InvoiceFee]]:
    """What was billed of the plans' own periods whose commitment is decided: all their usage is invoiced for good."""
    found: dict[Committed, Sequence[InvoiceFee]] = {}
    for period in committed_periods(agreed, [correction.key for correction in changed]):
        organization, owner = period.agreement.organization_id, period.agreement.subscription_id
        if periods.are_invoiced(tx, organization, owner, period.nominal):
            found[owner, period.nominal] = fees_within(tx, organization, owner, period.nominal)
    return found


@dataclass(slots=True)
class LateCorrections:
    """Closed periods of customers whose usage differs from what was invoiced.

    Attributes:
        changed: the periods, by customer.
        agreements, metrics, aggregates, invoiced: what is needed to rate them again, and what was billed for them.
        committed: what was billed of a plan's period whose commitment was decided, by subscription and that period.
        settled: the periods that are now invoiced correctly.
    """

    changed: dict[CustomerId, list[BillingPeriod]]
    agreements: Mapping[SubscriptionId, Agreement] = field(default_factory=dict)
    metrics: Mapping[str, MetricVersion] = field(default_factory=dict)
    aggregates: Mapping[PeriodKey, Sequence[UsageAggregate]] = field(default_factory=dict)
    invoiced: Mapping[tuple[SubscriptionId, datetime], Sequence[InvoiceFee]] = field(default_factory=dict)
    committed: Mapping[Committed, Sequence[InvoiceFee]] = field(default_factory=dict)
    settled: set[PeriodKey] = field(default_factory=set)

    @classmethod
    def of(
        cls, deps: Deps, tx: Connection, organization: Organization, customers: Iterable[CustomerId]
    ) -> LateCorrections:
        """What has to be corrected for customers; their periods are locked until the transaction ends."""
        by_customer = periods.lock_dirty(tx, organization.organization_id, customers)
        changed = [period for own in by_customer.values() for period in own]
        if organization.late_events is LateUsageEvents.IGNORE:
            return cls({}, settled={period.key for period in changed})
        if not changed:
            return cls({})
        known = agreements(tx, organization.organization_id, {period.subscription_id for period in changed})
        codes = {charge.metric_code for agreement in known.values() for charge in agreement.plan.charges}
        metrics = metrics_by_code(tx, organization.organization_id, codes)
        counted = aggregates.of_periods(tx, [period.key for period in changed])
        for period in changed:
            if any(aggregate.is_unsure for aggregate in counted[period.key]):
                agreement = known[period.subscription_id]
                counted[period.key] = recount(deps, tx, agreement, period.period, counted[period.key], metrics)
        starts = [(period.subscription_id, period.period.start) for period in changed]
        invoiced = fees_of_usage(tx, organization.organization_id, starts)
        return cls(by_customer, known, metrics, counted, invoiced, _committed(tx, changed, known))

    def place(self, run: BillingRun, fees: Sequence[Fee], watermarks: Mapping[int, int]) -> list[InvoiceFee]:
        """The adjustments that fit on a run's invoice with these fees; the others wait for the next invoice."""
        currency = run.agreement.plan.currency
        owed: dict[PeriodKey, list[ProvenFee]] = {}
        for period in self.changed.pop(run.agreement.subscription.customer_id, ()):
            agreement = self.agreements[period.subscription_id]
            if agreement.plan.currency == currency:
                owed[period.key] = self._adjustments(period, agreement, watermarks)
        for committed in committed_periods(self.agreements, owed):
            owed[committed.first] += self._of_commitment(committed, owed, watermarks)
        placed, waiting = settle([proven.fee for own in owed.values() for proven in own], fees)
        self.settled |= {key for key, own in owed.items() if not any(proven.fee in waiting for proven in own)}
        return [
            new_fee(proven, self.agreements[key.subscription_id].subscription.external_id)
            for key, own in owed.items()
            for proven in own
            if proven.fee in placed
        ]

    def _adjustments(
        self, period: BillingPeriod, agreement: Agreement, watermarks: Mapping[int, int]
    ) -> list[ProvenFee]:
        rerated = rate_period(agreement, period.period, self.aggregates[period.key], self.metrics, watermarks)
        billed = self.invoiced[(period.subscription_id, period.period.start)]
        return adjust_period(billed, rerated, agreement.plan.currency, watermarks)

    def _of_commitment(
        self, period: CommittedPeriod, owed: Mapping[PeriodKey, Sequence[ProvenFee]], watermarks: Mapping[int, int]
    ) -> list[ProvenFee]:
        """What the commitment of a plan's period, if it was decided, lacks more or less once its usage is adjusted."""
        agreement, nominal = period.agreement, period.nominal
        known = self.committed.get((agreement.subscription_id, nominal))
        commitment = commitment_of(agreement, nominal)
        if known is None or commitment is None:
            return []
        billed = [proven.fee for proven in known if not proven.fee.is_of_commitment]
        adjusted = [proven.fee for key in period.keys for proven in owed[key]]
        fee = commitment_due(agreement, commitment, [*billed, *adjusted])
        before = [proven for proven in known if proven.fee.is_of_commitment]
        return adjust_period(before, [ProvenFee(fee)] if fee else [], agreement.plan.currency, watermarks)

    def save(self, tx: Connection) -> None:
        """Store which periods are now invoiced correctly."""
        if self.settled:
            periods.mark(tx, self.settled, dirty=False, accrual_due=True)
