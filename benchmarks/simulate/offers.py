"""What is sold in the simulation: every interval, in advance and in arrears, at two prices, some with a trial."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from services.kernel.cadence import CadenceUnit, Interval
from services.kernel.ids import BillableMetricId, ChargeId, PlanId
from services.kernel.money import CURRENCIES
from services.rating.pricing.catalog import MetricVersion, PlanVersion
from services.rating.pricing.charges import Standard
from services.rating.pricing.metric import Aggregation, BillableMetric
from services.rating.pricing.plan import Charge, Plan

METRIC = "api_call"
# (unit, every, how often it is chosen): short intervals make most of the work, so they are chosen less.
INTERVALS = (
    ("week", 1, 1),
    ("week", 2, 1),
    ("day", 10, 1),
    ("day", 45, 2),
    ("month", 1, 5),
    ("month", 2, 2),
    ("month", 3, 3),
    ("month", 5, 2),
    ("month", 6, 3),
    ("month", 12, 4),
)
TRIALS = {"small": 14, "large": 0, "trial": 40}
PRICES = {"small": 1, "large": 3, "trial": 2}
PER_YEAR = {"day": 365, "week": 52, "month": 12}
# A monthly price that no number of days divides.
MONTHLY_CENTS = 3_001
# More than a minor unit of any currency, so that every event changes the amount.
UNIT_AMOUNT = Decimal("1.37")
LONG_MONTHS = 6
# Placeholder in a draft for the instant that the command sets.
_LATER = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Offer:
    """A plan as the simulation sees it.

    Attributes:
        code: its code.
        version: counts price rounds.
        unit, every: its interval.
        cents: the price of a full period.
        in_advance: when its price is due.
        trial_days: days without price, from the first start.
        monthly_usage: whether usage is billed each month of a longer period.
        weight: how often it is chosen.
    """

    code: str
    version: int
    unit: str
    every: int
    cents: int
    in_advance: bool
    trial_days: int
    monthly_usage: bool
    weight: int

    @property
    def yearly_cents(self) -> Fraction:
        """The price of a year, which decides between upgrade and downgrade."""
        return Fraction(self.cents * PER_YEAR[self.unit], self.every)

    def draft(self, currency_code: str) -> PlanVersion:
        """The plan as it is requested."""
        currency = CURRENCIES[currency_code]
        charge = Charge(ChargeId(f"{self.code}-{METRIC}"), METRIC, Standard(UNIT_AMOUNT))
        plan = Plan(
            code=self.code,
            currency=currency,
            interval=Interval(CadenceUnit(self.unit), self.every),
            base_amount=currency.to_major(self.cents),
            in_advance=self.in_advance,
            charges=(charge,),
            bill_charges_monthly=self.monthly_usage,
            trial_days=self.trial_days,
            name=self.code,
        )
        return PlanVersion(PlanId(self.code), plan, _LATER)


def offers() -> list[Offer]:
    """Everything that is sold, in its first version."""
    return [
        Offer(
            code=f"{unit}{every}-{price}-{'advance' if in_advance else 'arrears'}",
            version=1,
            unit=unit,
            every=every,
            cents=MONTHLY_CENTS * PRICES[price] * every * PER_YEAR["month"] // PER_YEAR[unit],
            in_advance=in_advance,
            trial_days=TRIALS[price],
            monthly_usage=unit == "month" and every >= LONG_MONTHS and price == "large",
            weight=weight,
        )
        for unit, every, weight in INTERVALS
        for price in PRICES
        for in_advance in (True, False)
    ]


def metric_draft() -> MetricVersion:
    """The one metric that is counted."""
    metric = BillableMetric(METRIC, Aggregation.COUNT)
    return MetricVersion(BillableMetricId(METRIC), 1, metric, "API calls", "", _LATER)
