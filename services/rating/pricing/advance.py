"""What usage adds as it comes: for charges in advance, for revenue as it accrues, and for estimates.

The amount of a period is one function of its usage, so what an event adds is the difference it makes; the
additions of a period sum to its fee. Where usage can fall, only what rises above the highest level so far is
charged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from services.kernel.money import ZERO
from services.rating.pricing.charges import ChargeModel, Line, Priced, Usage, price


@dataclass(frozen=True, slots=True)
class HighWater:
    """The highest level of units that was already charged.

    Attributes:
        units: the level.
    """

    units: Decimal = ZERO

    def rise(self, units: Decimal) -> tuple[Decimal, HighWater]:
        """How far a new level is above the highest so far, and the highest level then."""
        if units <= self.units:
            return ZERO, self
        return units - self.units, HighWater(units)


def accrue(model: ChargeModel, before: Usage, after: Usage) -> Decimal:
    """The exact amount, in major currency units, that usage adds to a period's; below zero where the amount falls.

    Before any usage the amount is zero, so the first addition carries what is due at zero units.
    """
    amount = price(model, after).amount
    return amount - price(model, before).amount if _has_begun(before) else amount


def charge_in_advance(model: ChargeModel, before: Usage, after: Usage, mark: HighWater) -> tuple[Priced, HighWater]:
    """What a charge in advance bills when usage moves, and the highest level it has then billed.

    The lines are the amounts with and without this usage. Where more units cost less, nothing is paid back.
    """
    _, risen = mark.rise(after.units)
    before, after = replace(before, units=mark.units), replace(after, units=risen.units)
    total = price(model, after)
    if not _has_begun(before):
        return total, risen
    known = price(model, before)
    lines = (
        Line("amount with this usage", after.units, total.unit_amount, ZERO, total.amount),
        Line("amount before it", before.units, known.unit_amount, ZERO, -known.amount),
    )
    return Priced.of(lines, after.units - before.units), risen


def _has_begun(usage: Usage) -> bool:
    return bool(usage.units or usage.event_count)
