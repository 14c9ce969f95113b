"""Graduated: each tier's units at that tier's price, plus the flat amount of every tier entered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from services.kernel.money import ZERO
from services.rating.pricing.charges.priced import Line, Lines, fraction_line, unit_line
from services.rating.pricing.charges.tier import Tier, check_tiers, describe_tier
from services.rating.pricing.charges.usage import Step


@dataclass(frozen=True, slots=True)
class Graduated:
    """Tiers that each price the units within them.

    Attributes:
        tiers: ascending by `up_to`, the last one open.
    """

    tiers: tuple[Tier, ...]

    def __post_init__(self) -> None:
        """Refuse tiers that cannot price every quantity once."""
        check_tiers(self.tiers)

    def lines(self, units: Decimal) -> tuple[Line, ...]:
        """One line for each tier entered.

        The first tier always counts as entered: zero units still owe its flat amount.
        """
        lines = []
        above = ZERO
        for number, tier in enumerate(self.tiers, 1):
            name, up_to = describe_tier(number, above, tier.up_to), tier.up_to
            if up_to is None or units <= up_to:
                lines.append(unit_line(name, units - above, tier.unit_amount, tier.flat_amount))
                break
            lines.append(unit_line(name, up_to - above, tier.unit_amount, tier.flat_amount))
            above = up_to
        return tuple(lines)

    def prorated_lines(self, steps: Sequence[Step]) -> Lines:
        """One line for each tier that the running value ever entered.

        Each change is split at its full size over the tiers it crosses, and each part counts by the share of the period
        for which it was held. A flat amount is due in full, and stays due if the running value falls back.
        """
        held = [Fraction(0)] * len(self.tiers)
        level = peak = ZERO
        for step in steps:
            for index, part in self._parts(level, level + step.units):
                held[index] += step.prorated_units * Fraction(part) / Fraction(step.units)
            level += step.units
            peak = max(peak, level)
        entered = [
            fraction_line(describe_tier(index + 1, above, tier.up_to), held[index], tier.unit_amount, tier.flat_amount)
            for index, (above, tier) in enumerate(self._spans())
            if index == 0 or peak > above
        ]
        return Lines(tuple(line for line, _ in entered), sum((exact for _, exact in entered), Fraction(0)))

    def _spans(self) -> Iterator[tuple[Decimal, Tier]]:
        """Each tier with the quantity above which it begins."""
        above = ZERO
        for tier in self.tiers:
            yield above, tier
            above = tier.up_to or ZERO

    def _parts(self, before: Decimal, after: Decimal) -> Iterator[tuple[int, Decimal]]:
        """How a change of the running value splits over the tiers; a value below zero belongs to the first tier."""
        for index, (above, tier) in enumerate(self._spans()):
            start, end = before, after
            if index:
                start, end = max(start, above), max(end, above)
            if tier.up_to is not None:
                start, end = min(start, tier.up_to), min(end, tier.up_to)
            if start != end:
                yield index, end - start
