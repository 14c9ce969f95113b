"""The aggregates of a billing period as they are stored, and the usage on which charges are priced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from services.kernel.ids import OrganizationId, SubscriptionId
from services.kernel.money import ZERO
from services.rating.pricing.aggregation import Aggregate, Count, DailySum, Latest, Max, Reading, Sum, WeightedSum
from services.rating.pricing.catalog import MetricVersion
from services.rating.pricing.charge_filter import Bucket
from services.rating.pricing.charge_usage import ChargeUsage, Window
from services.rating.pricing.charges import PaidTransactions, Percentage, Transaction, Transactions
from services.rating.pricing.charges.transactions import NOTHING_PAID
from services.rating.pricing.metric import Aggregation
from services.rating.pricing.plan import Charge
from services.rating.shared.exact import exact_sum
from services.rating.usage.counting import METRIC_TOTAL, CountedBucket, has_own_buckets


class PeriodKey(NamedTuple):
    """A billing period of a subscription, by its start."""

    organization_id: OrganizationId
    subscription_id: SubscriptionId
    period_start: datetime


@dataclass(frozen=True, slots=True)
class StoredTransactions:
    """What is stored of the transactions of a percentage charge; its terms are those of the charge."""

    earliest: tuple[Transaction, ...] = ()
    later: PaidTransactions = NOTHING_PAID


@dataclass(frozen=True, slots=True)
class UsageAggregate:
    """One aggregate of a period.

    Attributes:
        period: the subscription's billing period.
        metric_code: the metric.
        counted: the metric's own aggregate, or a charge's filter and group.
        aggregate_id: its number in the store.
        event_count: how many events were counted.
        total, moment, carried: see `Sum` and `WeightedSum`.
        held: what runs on of usage in a trial free of usage, and is none of the charge's events; a recurring metric's.
        largest: see `Max`.
        reading: see `Latest`.
        present_count: distinct values present.
        precise_amount: sum of the prices events carried, in major units.
        digest: the digest of the counted events, modulo 2^128.
        shard: the shard of the log from which its events come.
        revision: grows with each change.
        needs_recount: what is kept is not exact until it was counted again from the log.
        needs_carry: for a metric's own aggregate: whether its charges' carried values must be counted from the log.
        days: net change by local day, for a charge by days.
        transactions: for a percentage that needs them.
    """

    period: PeriodKey
    metric_code: str
    counted: CountedBucket = METRIC_TOTAL
    aggregate_id: int = 0
    event_count: int = 0
    total: Decimal = ZERO
    moment: Decimal = ZERO
    carried: Decimal = ZERO
    held: Decimal = ZERO
    largest: Decimal | None = None
    reading: Reading | None = None
    present_count: int = 0
    precise_amount: Decimal = ZERO
    digest: int = 0
    shard: int = 0
    revision: int = 0
    needs_recount: bool = False
    needs_carry: bool = False
    days: Mapping[date, Decimal] = field(default_factory=dict)
    transactions: StoredTransactions | None = None

    @property
    def is_unsure(self) -> bool:
        """Whether the log has to be asked before anything is priced on this aggregate."""
        return self.needs_recount or self.needs_carry

    @property
    def is_idle(self) -> bool:
        """Whether nothing was used in the period and nothing of what was used before is held."""
        return not (self.event_count or self.running_before or self.present_count)

    @property
    def running_before(self) -> Decimal:
        """The running value before the first event that counts."""
        return exact_sum(self.carried, self.held)

    def aggregate(self, metric: MetricVersion, *, prorated: bool = False, timezone: str = "UTC") -> Aggregate:
        """The state of the metric's aggregation."""
        if prorated:
            return DailySum(timezone, self.event_count, self.running_before, self.days)
        return _AGGREGATES[metric.definition.aggregation](self)

    def charge_usage(self, metric: MetricVersion, charge: Charge | None, timezone: str) -> ChargeUsage:
        """The usage on which a charge is priced; None means the metric by itself."""
        if charge is None:
            return ChargeUsage(self.aggregate(metric), precise_amount=self.precise_amount)
        model = charge.model_for(self.counted.bucket.filter_key)
        transactions = None
        if isinstance(model, Percentage) and model.needs_transactions:
            kept = self.transactions or StoredTransactions()
            transactions = Transactions(model.terms, kept.earliest, kept.later)
        aggregate = self.aggregate(metric, prorated=charge.prorated, timezone=timezone)
        return ChargeUsage(aggregate, transactions, self.precise_amount)

    def units(self, metric: MetricVersion, window: Window) -> Decimal:
        """The units of the metric by itself over a window, after rounding."""
        return self.charge_usage(metric, None, window.timezone).usage(metric.definition, window).units


_AGGREGATES: Mapping[Aggregation, Callable[[UsageAggregate], Aggregate]] = {
    Aggregation.COUNT: lambda kept: Count(kept.event_count),
    Aggregation.SUM: lambda kept: Sum(kept.event_count, kept.total, kept.running_before),
    Aggregation.MAX: lambda kept: Max(kept.event_count, kept.largest),
    Aggregation.LATEST: lambda kept: Latest(kept.event_count, kept.reading),
    Aggregation.WEIGHTED_SUM: lambda kept: WeightedSum(kept.event_count, kept.total, kept.moment, kept.running_before),
    # The values stay in the store; what is priced is how many of them are present.
    Aggregation.UNIQUE_COUNT: lambda kept: Sum(kept.event_count, Decimal(kept.present_count)),
}


def aggregates_of_charge(
    charge: Charge, metric: MetricVersion, kept: Sequence[UsageAggregate], free_until: datetime | None
) -> dict[Bucket, UsageAggregate]:
    """The aggregates on which a charge is priced, by filter and group, selected from those of its metric.

    A group whose events were all taken back, or that has not been used since an earlier period, is left out.
    """
    if has_own_buckets(charge, metric, free_until):
        own = [aggregate for aggregate in kept if aggregate.counted.charge_id == charge.charge_id]
        return {aggregate.counted.bucket: aggregate for aggregate in own if not aggregate.is_idle}
    return {Bucket(): aggregate for aggregate in kept if not aggregate.counted.charge_id}
