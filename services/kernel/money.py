"""Exact numbers. A float never enters: the decimal context of every thread traps it.

Rates, quantities and precise amounts are `Decimal` in major currency units; what is invoiced is an integer of minor
units (`_amount_cents`). Rounding happens once, in `to_minor`, half away from zero (docs: semantics, charge models).
"""

from __future__ import annotations

import decimal
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from math import floor

from services.kernel.errors import InvalidArgumentError

# 50 digits hold 38 digits of input, times a price of 12 decimals, without rounding.
PRECISION = 50
# What callers may send. PostgreSQL's NUMERIC and all other systems of this kind hold 38 digits; an exponent beyond 30
# would only turn nine bytes (1E+1000000) into text of a million characters.
MAX_DIGITS = 38
MAX_EXPONENT = 30
# A whole number with one digit more has an exponent beyond the largest, however it is written.
MAX_WHOLE_DIGITS = MAX_EXPONENT + 1
# The most units that one event may report. This is a thousand times what anybody counts in a month (a petabyte in
# bytes, eleven days in nanoseconds), and small enough that no price of a metric accidentally turns it into an amount
# that NUMERIC or bigint cannot hold. The amounts of a period are checked again when they are priced.
MAX_UNITS = Decimal(10) ** 15
# The range of numbers computed from such input: a product of two of them, with all digits kept.
MAX_COMPUTED_EXPONENT = 2 * MAX_EXPONENT
# The longest text of a computed number: its digits, as many zeros, a sign and a point.
MAX_COMPUTED_TEXT = PRECISION + MAX_COMPUTED_EXPONENT + 2
# The longest text worth parsing: 38 digits, 30 zeros, sign, point and exponent mark.
MAX_TEXT = 80

decimal.DefaultContext.prec = PRECISION
decimal.DefaultContext.rounding = ROUND_HALF_UP
decimal.DefaultContext.traps[decimal.FloatOperation] = True
decimal.setcontext(decimal.DefaultContext.copy())

ZERO = Decimal(0)
_HALF = Fraction(1, 2)

# Raises on a number with more digits than Farebox keeps.
_DIGITS = decimal.Context(prec=MAX_DIGITS, traps=[decimal.Rounded])

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)


def is_within_limits(number: Decimal) -> bool:
    """Whether a decimal from outside is finite and within the digits and exponent that Farebox keeps exactly."""
    # The exponent is a machine word, and the digits are counted without expanding the number. So the check takes a few
    # microseconds for any number: nothing is expanded before it is known to be small.
    if not number.is_finite() or (number and abs(number.adjusted()) > MAX_EXPONENT):
        return False
    try:
        _DIGITS.plus(number)
    except decimal.Rounded:
        return False
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and abs(exponent) <= MAX_EXPONENT + MAX_DIGITS


def decimal_or_none(text: str) -> Decimal | None:
    """The number that `text` writes (`12`, `1e3`, `+1`, `.5`), or None if it is not one or not within limits."""
    if len(text) > MAX_TEXT or not _NUMBER.fullmatch(text):
        return None
    number = Decimal(text)
    return number if is_within_limits(number) else None


def parse_decimal(text: str, *, field: str) -> Decimal:
    """Like `decimal_or_none`, but with an error that names the field."""
    number = decimal_or_none(text)
    if number is None:
        raise InvalidArgumentError.of_field(
            field, "invalid_number", f"needs a decimal number of at most {MAX_DIGITS} digits"
        )
    return number


def computed_decimal_or_none(text: str) -> Decimal | None:
    """Like `decimal_or_none`, for numbers computed by our own arithmetic, which have more digits and a wider range."""
    if len(text) > MAX_COMPUTED_TEXT or not _NUMBER.fullmatch(text):
        return None
    number = Decimal(text)
    return None if number and abs(number.adjusted()) > MAX_COMPUTED_EXPONENT else +number


def decimal_of(number: Fraction) -> Decimal:
    """The number to as many digits as are kept, for people. What is rounded to minor units is the fraction itself."""
    return Decimal(number.numerator) / Decimal(number.denominator)


def plain(number: Decimal) -> str:
    """The number as text without exponent or trailing zeros: `10`, `0.5`, `-3.25`."""
    text = f"{number:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


@dataclass(frozen=True)
class Currency:
    """An ISO 4217 currency.

    Attributes:
        code: three upper-case letters.
        exponent: how many decimals its minor unit has (USD 2, JPY 0, KWD 3).
    """

    code: str
    exponent: int

    def to_minor(self, amount: Decimal | Fraction) -> int:
        """Round a precise amount in major units to minor units, half away from zero: the only rounding of a fee."""
        if isinstance(amount, Decimal):
            return int(amount.scaleb(self.exponent).to_integral_value(rounding=ROUND_HALF_UP))
        nearest: int = floor(abs(amount) * 10**self.exponent + _HALF)
        return nearest if amount >= 0 else -nearest

    def to_major(self, amount_cents: int) -> Decimal:
        """The exact amount in major units for a number of minor units."""
        return Decimal(amount_cents).scaleb(-self.exponent)


# Active ISO 4217 codes; those whose minor unit does not have two decimals are listed with their exponent below.
_CODES = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF
CLF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL
HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL
MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON
RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH
UGX USD UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG
"""
_EXPONENTS = {
    **dict.fromkeys(
        [
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ],
        0,
    ),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
    "CLF": 4,
}
CURRENCIES = {code: Currency(code, _EXPONENTS.get(code, 2)) for code in _CODES.split()}


def currency(code: str, *, field: str = "currency") -> Currency:
    """The currency with this ISO 4217 code, or an error that names the field."""
    found = CURRENCIES.get(code.upper())
    if found is None:
        raise InvalidArgumentError.of_field(field, "value_is_invalid", f"{code[:8]!r} is not an ISO 4217 currency code")
    return found
