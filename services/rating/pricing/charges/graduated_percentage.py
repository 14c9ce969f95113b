"""Graduated percentage: each tier's share of the value within it, plus its flat amount once it is entered."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from services.kernel.checks import inside
from services.kernel.money import ZERO
from services.rating.pricing.charges.checks import require_price, require_tiers
from services.rating.pricing.charges.graduated import Graduated
from services.rating.pricing.charges.priced import Line
from services.rating.pricing.charges.tier import Tier


@dataclass(frozen=True, slots=True)
class PercentageTier:
    """A step of graduated percentage.

    Attributes:
        up_to: the last unit that belongs to it, inclusive; None for the last tier.
        rate_percent: share of the units' value, 0 to 100 and beyond.
        flat_amount: what entering it costs once, in major currency units.
    """

    up_to: Decimal | None
    rate_percent: Decimal
    flat_amount: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class GraduatedPercentage:
    """Tiers that each take a share of the value within them.

    Attributes:
        tiers: ascending by `up_to`, the last one open.
    """

    tiers: tuple[PercentageTier, ...]

    def __post_init__(self) -> None:
        """Refuse tiers that cannot price every value once."""
        with inside() as checks:
            checks(require_tiers, "tiers", self.tiers)
            for number, tier in enumerate(self.tiers):
                checks(require_price, f"tiers[{number}].rate_percent", tier.rate_percent)
                checks(require_price, f"tiers[{number}].flat_amount", tier.flat_amount)

    def lines(self, units: Decimal) -> tuple[Line, ...]:
        """One line for each tier entered; one percent is a price of a hundredth for each unit of value."""
        tiers = tuple(Tier(tier.up_to, tier.rate_percent.scaleb(-2), tier.flat_amount) for tier in self.tiers)
        return Graduated(tiers).lines(units)
