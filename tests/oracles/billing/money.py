"""Exact numbers, and the one rounding: half away from zero, to a currency's minor unit."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

# How many decimals the minor unit of a currency has (ISO 4217).
DECIMALS = {"USD": 2, "EUR": 2, "AUD": 2, "JPY": 0, "KWD": 3}
_HALF = Fraction(1, 2)


def exact(number: object) -> Fraction:
    """A number of a price sheet, which is text, a whole number or a decimal fraction; None is zero."""
    return Fraction(0) if number is None else Fraction(str(number))


def nearest(number: Fraction) -> int:
    """The nearest whole number; a half goes away from zero."""
    return floor(number + _HALF) if number >= 0 else ceil(number - _HALF)


def to_cents(amount: Fraction, currency: str) -> int:
    """An amount in major units (euros) as whole minor units (cents)."""
    return nearest(amount * 10 ** DECIMALS[currency])


def from_cents(cents: int | Fraction, currency: str) -> Fraction:
    """Minor units (cents) as an amount in major units (euros)."""
    return Fraction(cents) / 10 ** DECIMALS[currency]
