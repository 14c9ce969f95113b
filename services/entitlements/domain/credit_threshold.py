"""Thresholds on credits: which of them usage and balance have crossed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from services.kernel.money import ZERO

_HUNDRED = Decimal(100)


class ThresholdKind(StrEnum):
    """What a threshold is compared with."""

    USAGE_VALUE = "usage_value"
    USAGE_PERCENTAGE = "usage_percentage"
    BALANCE_VALUE = "balance_value"


@dataclass(frozen=True, slots=True)
class CreditThreshold:
    """A number that somebody wants to hear of when it is crossed.

    Attributes:
        kind: what it is compared with.
        value: credits, or for a percentage hundredths of all credits of the usage period.
    """

    kind: ThresholdKind
    value: Decimal

    @property
    def is_on_balance(self) -> bool:
        """Whether it is crossed downwards by the balance, not upwards by usage."""
        return self.kind is ThresholdKind.BALANCE_VALUE


@dataclass(frozen=True, slots=True)
class Figures:
    """What thresholds are compared with.

    Attributes:
        balance: credits that are left.
        used: credits used in the usage period.
        available: all credits of the usage period, burned or left.
    """

    balance: Decimal
    used: Decimal
    available: Decimal


def crossed_by_usage(thresholds: Sequence[CreditThreshold], figures: Figures) -> CreditThreshold | None:
    """The highest threshold that usage lies above; of equals the last one. None if it lies above none."""
    crossed = [
        (_in_credits(threshold, figures), place, threshold)
        for place, threshold in enumerate(thresholds)
        if not threshold.is_on_balance and figures.used > _in_credits(threshold, figures)
    ]
    return max(crossed, key=lambda crossing: crossing[:2])[2] if crossed else None


def crossed_by_balance(thresholds: Sequence[CreditThreshold], figures: Figures) -> CreditThreshold | None:
    """The lowest threshold that the balance lies below; None if it lies below none.

    No balance lies below zero, so a threshold of zero is crossed as soon as nothing is left.
    """
    crossed = [
        threshold
        for threshold in thresholds
        if threshold.is_on_balance and (figures.balance < threshold.value or figures.balance == threshold.value == ZERO)
    ]
    return min(crossed, key=lambda threshold: threshold.value, default=None)


def _in_credits(threshold: CreditThreshold, figures: Figures) -> Decimal:
    if threshold.kind is ThresholdKind.USAGE_PERCENTAGE:
        return figures.available * threshold.value / _HUNDRED
    return threshold.value
