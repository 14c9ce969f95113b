"""Standard: every unit costs the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from services.rating.pricing.charges.checks import require_price
from services.rating.pricing.charges.priced import Line, Lines, fraction_line, unit_line
from services.rating.pricing.charges.usage import Step


@dataclass(frozen=True, slots=True)
class Standard:
    """Units times one price.

    Attributes:
        unit_amount: price of one unit, in major currency units.
    """

    unit_amount: Decimal

    def __post_init__(self) -> None:
        """Refuse a price below zero."""
        require_price("unit_amount", self.unit_amount)

    def lines(self, units: Decimal) -> tuple[Line, ...]:
        """One line."""
        return (unit_line("units", units, self.unit_amount),)

    def prorated_lines(self, steps: Sequence[Step]) -> Lines:
        """One line: every change of a running value, by the share of the period for which it was held."""
        held = sum((step.prorated_units for step in steps), Fraction(0))
        line, exact = fraction_line("units by days held", held, self.unit_amount)
        return Lines((line,), exact)
