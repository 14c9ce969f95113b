"""Dynamic: every usage event carries its own price."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from services.kernel.money import ZERO
from services.rating.pricing.charges.priced import Line


@dataclass(frozen=True, slots=True)
class Dynamic:
    """The sum of the events' own amounts."""

    def lines(self, units: Decimal, precise_amount: Decimal) -> tuple[Line, ...]:
        """One line; without units nothing is due, whatever amount was sent."""
        amount = precise_amount if units else ZERO
        unit_amount = amount / units if units else ZERO
        return (Line("amounts carried by the events", units, unit_amount, ZERO, amount),)
