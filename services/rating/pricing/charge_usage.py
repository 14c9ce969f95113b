"""The state a store keeps for one bucket of a charge in one period, and the usage it is priced on.

The charge decides what is kept: the metric's aggregate (by day if the charge is prorated), the transactions of a
percentage with an allowance or bounds, and the events' own amounts for a dynamic price.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from services.kernel.cadence import local_date
from services.kernel.money import ZERO, decimal_of
from services.kernel.period import Period
from services.rating.pricing.aggregation import Aggregate, DailySum, Sum, WeightedSum, empty_aggregate
from services.rating.pricing.charges import ChargeModel, Percentage, Transactions, Usage
from services.rating.pricing.metric import BillableMetric
from services.rating.pricing.proration import WHOLE, DayShare, day_share


@dataclass(frozen=True, slots=True)
class Window:
    """The time for which usage is priced.

    Attributes:
        period: the billed span, cut at the subscription's start and end.
        nominal: the full period around it, of which shares are taken.
        timezone: IANA name of the customer's zone.
        days: the days of the full period that belong to the subscription; None if there are none.
        between_changes: the days of it that belong to no other plan of the customer; None if there are none.
        free_until: the end of a trial that is free of usage; None if there is none.
    """

    period: Period
    nominal: Period
    timezone: str
    days: Period | None
    between_changes: Period | None
    free_until: datetime | None = None

    @property
    def share(self) -> DayShare:
        """The share of the full period, by days."""
        return day_share(self.days, self.nominal, self.timezone)

    @property
    def running_share(self) -> DayShare:
        """The share of the full period's cost of a running value; the rest is billed under other plans."""
        return day_share(self.between_changes, self.nominal, self.timezone)

    @property
    def weighted_period(self) -> Period:
        """The time for which values are held and billed."""
        start = self.period.start if self.free_until is None else max(self.period.start, self.free_until)
        return Period(min(start, self.period.end), self.period.end)


@dataclass(frozen=True, slots=True)
class ChargeUsage:
    """State of one bucket of a charge in one period.

    Attributes:
        aggregate: the metric's aggregate.
        transactions: the transactions of a percentage that needs them, otherwise None.
        precise_amount: sum of the amounts the events carry, in major currency units.
    """

    aggregate: Aggregate
    transactions: Transactions | None = None
    precise_amount: Decimal = ZERO

    @classmethod
    def empty(
        cls, metric: BillableMetric, model: ChargeModel, *, prorated: bool = False, timezone: str = "UTC"
    ) -> ChargeUsage:
        """The state before the first event of a metric under a price."""
        aggregate = DailySum(timezone) if prorated else empty_aggregate(metric.aggregation)
        if isinstance(model, Percentage) and model.needs_transactions:
            return cls(aggregate, Transactions(model.terms))
        return cls(aggregate)

    def usage(self, metric: BillableMetric, window: Window) -> Usage:
        """The usage on which the charge is priced over a window."""
        aggregate, steps, exact = self.aggregate, None, None
        units = aggregate.units
        if isinstance(aggregate, WeightedSum):
            exact = aggregate.units_over(window.weighted_period, window.nominal)
            units = decimal_of(exact)
        elif isinstance(aggregate, DailySum):
            first_day = local_date(window.nominal.start, window.timezone)
            steps = aggregate.steps(window.share, first_day, metric.round_units)
        # Levels that are weighted by their time are not shared again.
        knows_its_time = isinstance(aggregate, WeightedSum | DailySum)
        rounded = metric.round_units(units)
        return Usage(
            units=rounded,
            event_count=aggregate.event_count,
            carried=aggregate.carried if isinstance(aggregate, Sum) else ZERO,
            rounding=rounded - units,
            transactions=self.transactions,
            steps=steps,
            precise_amount=self.precise_amount,
            rest=None if exact is None or metric.rounding is not None else exact - Fraction(units),
            share=WHOLE if knows_its_time or not metric.recurring else window.running_share,
        )
