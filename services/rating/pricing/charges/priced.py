"""The result of pricing: lines that a person can recalculate by hand, and their sum."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from services.kernel.money import ZERO
from services.rating.pricing.proration import DayShare


@dataclass(frozen=True, slots=True)
class Line:
    """One step of a price. Amounts are exact, in major currency units.

    Attributes:
        description: what the line prices, e.g. `tier 2 (11 to 20)`.
        units: how many units it prices.
        unit_amount: the price of one unit.
        flat_amount: what is due once, whatever the units.
        amount: what the line adds to the sum.
    """

    description: str
    units: Decimal
    unit_amount: Decimal
    flat_amount: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Priced:
    """A price with its explanation.

    Attributes:
        lines: the steps, in order.
        units: the units that were priced.
        amount: exact sum of the lines' amounts, in major currency units, never below zero.
    """

    lines: tuple[Line, ...]
    units: Decimal
    amount: Decimal

    @classmethod
    def of(cls, lines: tuple[Line, ...], units: Decimal) -> Priced:
        """The sum of the lines; if it is below zero, a last line says that this much is not paid out."""
        amount = ZERO
        for line in lines:
            amount += line.amount
        if amount < 0:
            floor = Line("below zero, not billed", ZERO, ZERO, -amount, -amount)
            return cls((*lines, floor), units, ZERO)
        return cls(lines, units, amount)

    @property
    def unit_amount(self) -> Decimal:
        """The average price of a unit; zero without units."""
        return self.amount / self.units if self.units else ZERO


def shared(lines: tuple[Line, ...], share: DayShare) -> tuple[Line, ...]:
    """The lines of a full period and, where a running value is billed for some of its days, one that takes off others.

    What other plans of the period have of it is priced there, so that before and after a change never mix.
    """
    if share.is_whole:
        return lines
    amount = sum((line.amount for line in lines), ZERO)
    others = share.days_in_period - share.days
    name = f"{others} of {share.days_in_period} days are another plan's"
    return (*lines, Line(name, Decimal(others), -amount / share.days_in_period, ZERO, share.of(amount) - amount))


def unit_line(description: str, units: Decimal, unit_amount: Decimal, flat_amount: Decimal = ZERO) -> Line:
    """A line of units times price plus a flat amount."""
    return Line(description, units, unit_amount, flat_amount, units * unit_amount + flat_amount)
