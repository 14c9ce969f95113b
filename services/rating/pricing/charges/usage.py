"""What a charge is priced on: the units of one period, and what some charge models need besides them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from services.kernel.money import ZERO
from services.rating.pricing.charges.transactions import Transactions
from services.rating.pricing.proration import WHOLE, DayShare


class Step(NamedTuple):
    """One change of a running value, for charges that prorate by days held.

    Attributes:
        units: the change at its full size.
        prorated_units: the same, times the share of the period for which it was held.
    """

    units: Decimal
    prorated_units: Fraction


@dataclass(frozen=True, slots=True)
class Usage:
    """Usage of one charge (and filter and group) in one period.

    Attributes:
        units: the aggregated quantity after the metric's rounding.
        event_count: how many events it came from.
        carried: the part of the quantity that a recurring metric brought into the period: value without an event.
        rounding: what the metric's rounding added to the exact quantity, or took from it.
        transactions: the transactions of a percentage with an allowance or per-transaction bounds; otherwise None.
        steps: the changes of the running value in order, if the charge is prorated; otherwise None.
        precise_amount: sum of the amounts the events carried, in major currency units, for dynamic charges.
        rest: what the units lack to the exact quantity, of a quotient that no decimal holds; otherwise None.
        share: the days for which a running value is billed, the whole for all others.
    """

    units: Decimal
    event_count: int = 0
    carried: Decimal = ZERO
    rounding: Decimal = ZERO
    transactions: Transactions | None = None
    steps: tuple[Step, ...] | None = None
    precise_amount: Decimal = ZERO
    rest: Fraction | None = None
    share: DayShare = WHOLE
