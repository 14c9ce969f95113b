"""The result of pricing: lines that a person can recalculate by hand, and their sum."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from services.kernel.money import ZERO, decimal_of
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
        amount: sum of the lines' amounts, in major currency units, never below zero.
        exact: the exact amount if it contains a quotient that no decimal can represent; None if `amount` is exact.
    """

    lines: tuple[Line, ...]
    units: Decimal
    amount: Decimal
    exact: Fraction | None = None

    @classmethod
    def of(cls, lines: tuple[Line, ...], units: Decimal, exact: Fraction | None = None) -> Priced:
        """The sum of the lines; if it is below zero, a last line says that this much is not paid out."""
        amount = ZERO
        for line in lines:
            amount += line.amount
        if amount < 0:
            floor = Line("below zero, not billed", ZERO, ZERO, -amount, -amount)
            return cls((*lines, floor), units, ZERO)
        return cls(lines, units, amount, exact)

    @property
    def to_round(self) -> Decimal | Fraction:
        """The amount that is rounded to minor units, with all digits, so that a half is recognized."""
        return self.amount if self.exact is None else self.exact

    @property
    def unit_amount(self) -> Decimal:
        """The average price of a unit; zero without units."""
        return self.amount / self.units if self.units else ZERO


class Lines(NamedTuple):
    """Lines, and their exact sum if it contains a quotient that no decimal can represent."""

    lines: tuple[Line, ...]
    exact: Fraction | None = None


def fraction_line(
    description: str, units: Fraction, unit_amount: Decimal, flat_amount: Decimal = ZERO
) -> tuple[Line, Fraction]:
    """A line of units that a decimal may not represent, and its exact amount."""
    exact = units * Fraction(unit_amount) + Fraction(flat_amount)
    return Line(description, decimal_of(units), unit_amount, flat_amount, decimal_of(exact)), exact


def shared(lines: tuple[Line, ...], share: DayShare) -> Lines:
    """The lines of a full period; if a running value is billed for some of its days, a last line subtracts the others.

    The other days are priced under the other plans of the period, so that usage before and after a change never mixes.
    """
    if share.is_whole:
        return Lines(lines)
    amount = sum((line.amount for line in lines), ZERO)
    others = share.days_in_period - share.days
    name = f"{others} of {share.days_in_period} days are another plan's"
    rest = Line(name, Decimal(others), -amount / share.days_in_period, ZERO, share.of(amount) - amount)
    return Lines((*lines, rest), share.exact(amount))


def unit_line(description: str, units: Decimal, unit_amount: Decimal, flat_amount: Decimal = ZERO) -> Line:
    """A line of units times price plus a flat amount."""
    return Line(description, units, unit_amount, flat_amount, units * unit_amount + flat_amount)
