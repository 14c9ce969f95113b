"""Tiers: the steps of graduated and volume prices."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from services.kernel.checks import inside
from services.kernel.money import ZERO, plain
from services.rating.pricing.charges.checks import require_price, require_tiers


@dataclass(frozen=True, slots=True)
class Tier:
    """A step of graduated or volume.

    Attributes:
        up_to: the last unit that belongs to it, inclusive; None for the last tier.
        unit_amount: price of one unit in it, in major currency units.
        flat_amount: what entering it costs once.
    """

    up_to: Decimal | None
    unit_amount: Decimal
    flat_amount: Decimal = ZERO


def check_tiers(tiers: tuple[Tier, ...]) -> None:
    """Refuse gaps, overlaps, a closed end and absurd prices; the error names every wrong `tiers[n].…`."""
    with inside() as checks:
        checks(require_tiers, "tiers", tiers)
        for number, tier in enumerate(tiers):
            checks(require_price, f"tiers[{number}].unit_amount", tier.unit_amount)
            checks(require_price, f"tiers[{number}].flat_amount", tier.flat_amount)


def describe_tier(number: int, above: Decimal, up_to: Decimal | None) -> str:
    """The description of a tier: its number from 1 and the span it covers."""
    if up_to is None:
        return f"tier {number} (above {plain(above)})"
    return f"tier {number} (up to {plain(up_to)})"
