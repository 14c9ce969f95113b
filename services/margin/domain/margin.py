"""Margin: revenue less cost, and the state that says what its percentage means.

Figures of a group come from sums, never from its members' percentages. There is a percentage only if there is revenue;
otherwise a state says why there is none. If no part of the cost is known, there is neither cost nor margin: an unknown
cost is never 0. If a part is known, that part is the cost, and the coverage says how much is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from services.kernel.money import ZERO
from services.kernel.period import Period

# Four decimals distinguish 75.5102 from 75.5103; more would be noise from the cost side.
PERCENT_STEP = Decimal("0.0001")
# Shares of revenue are cut to this step; the last share takes the rest, so that they sum to the whole.
SHARE_STEP = Decimal("0.000000000001")
_HUNDRED = Decimal(100)


class MarginState(StrEnum):
    """What the percentage means, or why there is none."""

    OK = "ok"
    UNMONETIZED = "unmonetized"
    NO_ACTIVITY = "no_activity"
    NEGATIVE_REVENUE = "negative_revenue"
    UNPRICED = "unpriced"


@dataclass(frozen=True, slots=True)
class Figures:
    """The sums from which a margin is computed; figures add up field by field.

    Attributes:
        revenue, priced_cost: in major units of one currency; the cost is that of the entries with a price.
        units: tokens or units that were paid for.
        entry_count: entries of the ledger, not counting reversed ones.
        unpriced_count: how many of them have no price.
    """

    revenue: Decimal = ZERO
    priced_cost: Decimal = ZERO
    units: Decimal = ZERO
    entry_count: int = 0
    unpriced_count: int = 0

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.revenue + other.revenue,
            self.priced_cost + other.priced_cost,
            self.units + other.units,
            self.entry_count + other.entry_count,
            self.unpriced_count + other.unpriced_count,
        )

    @property
    def cost(self) -> Decimal | None:
        """What was paid out, as far as it is known; None if there are entries and the cost of none is known."""
        is_unknown = self.unpriced_count > 0 and self.unpriced_count == self.entry_count
        return None if is_unknown else self.priced_cost

    @property
    def margin(self) -> Decimal | None:
        """Revenue less cost; None if there is no cost."""
        return None if self.cost is None else self.revenue - self.cost

    @property
    def margin_percent(self) -> Decimal | None:
        """The margin in percent of revenue, to four decimals; None unless revenue is above 0 and there is a margin.

        It has no lower bound.
        """
        if self.revenue <= 0 or self.margin is None:
            return None
        return (_HUNDRED * self.margin / self.revenue).quantize(PERCENT_STEP, rounding=ROUND_HALF_UP)

    @property
    def state(self) -> MarginState:
        """Why there is a percent, or why not."""
        if self.cost is None:
            return MarginState.UNPRICED
        if self.revenue > 0:
            return MarginState.OK
        if self.revenue < 0:
            return MarginState.NEGATIVE_REVENUE
        has_activity = self.cost != 0 or self.unpriced_count > 0
        return MarginState.UNMONETIZED if has_activity else MarginState.NO_ACTIVITY

    @property
    def coverage_ratio(self) -> Decimal | None:
        """The share of the entries that have a price; None without entries."""
        if self.entry_count <= 0:
            return None
        return Decimal(self.entry_count - self.unpriced_count) / Decimal(self.entry_count)


@dataclass(frozen=True, slots=True)
class Margin:
    """The figures of one group in one span and currency.

    Attributes:
        group: a customer's id, a model or a code; empty for the whole, or for figures without a group.
        period: the span.
        currency: ISO 4217 code.
        figures: the sums.
    """

    group: str
    period: Period
    currency: str
    figures: Figures


def total(figures: Iterable[Figures]) -> Figures:
    """The sum of figures."""
    return sum(figures, Figures())


def attribute(amount: Decimal, units: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Split an amount over groups by their shares of the units; if there are none, all of it goes to the empty group.

    The shares are cut to `SHARE_STEP`, and the last group takes the rest, so that they sum to the amount exactly.
    """
    shares = {group: count for group, count in sorted(units.items()) if count > 0}
    whole = sum(shares.values(), ZERO)
    if not shares or not amount:
        return {"": amount} if amount else {}
    split: dict[str, Decimal] = {}
    left = amount
    for group, count in shares.items():
        split[group] = (amount * count / whole).quantize(SHARE_STEP, rounding=ROUND_HALF_UP)
        left -= split[group]
    split[group] += left
    return split
