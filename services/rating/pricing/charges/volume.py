"""Volume: the tier that holds the whole quantity prices all of it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from services.kernel.money import ZERO
from services.rating.pricing.charges.priced import Line, unit_line
from services.rating.pricing.charges.tier import Tier, check_tiers, describe_tier


@dataclass(frozen=True, slots=True)
class Volume:
    """Tiers of which exactly one applies. More units can cost less, because the price of all of them may fall.

    Attributes:
        tiers: ascending by `up_to`, the last one open.
    """

    tiers: tuple[Tier, ...]

    def __post_init__(self) -> None:
        """Refuse tiers that cannot price every quantity once."""
        check_tiers(self.tiers)

    def lines(self, units: Decimal) -> tuple[Line, ...]:
        """One line. A fraction of a unit counts as a whole one when the tier is chosen, but not when it is priced."""
        begun = units.to_integral_value(rounding=ROUND_CEILING)
        above = ZERO
        for number, tier in enumerate(self.tiers, 1):
            if tier.up_to is None or begun <= tier.up_to:
                name = describe_tier(number, above, tier.up_to)
                return (unit_line(name, units, tier.unit_amount, tier.flat_amount),)
            above = tier.up_to
        raise AssertionError("the last tier is open, so one tier always holds the units")
