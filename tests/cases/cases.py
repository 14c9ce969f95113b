"""The reference cases, and what it means to arrive at their figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

Case = Mapping[str, Any]
Figures = dict[str, object]

FILE = Path(__file__).parent / "rating_cases.json"
# A figure with this many decimals was cut by its source; it is compared as far as it is given.
CUT_DECIMALS = 5
# Figures whose names say how precisely they are compared.
_CUT_NAMES = ("_approx", "_5dp")
# The source rounds each fee's share of each coupon to five decimals of a cent, so two of them are off by as many units.
_COUPON_SHARES = "precise_coupons"
_COUPON_TOLERANCE = Decimal("0.00002")


def load_cases() -> dict[str, Case]:
    """All cases by id, in the order of the file."""
    cases: list[Case] = json.loads(FILE.read_text())["cases"]
    return {case["id"]: case for case in cases}


def same(expected: object, actual: object, name: str = "") -> bool:
    """Whether a figure is the expected one: numbers by value, exactly, unless the source cut them."""
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        return all(key in actual and same(value, actual[key], key) for key, value in expected.items())
    if isinstance(expected, list):
        is_as_long = isinstance(actual, list) and len(expected) == len(actual)
        return is_as_long and all(same(*pair, name) for pair in zip(expected, actual, strict=True))  # type: ignore[arg-type]
    if isinstance(actual, Decimal) and isinstance(expected, str | int) and not isinstance(expected, bool):
        return _same_number(Decimal(expected), actual, name)
    return type(expected) is type(actual) and expected == actual


def _same_number(expected: Decimal, actual: Decimal, name: str) -> bool:
    if name == _COUPON_SHARES:
        return abs(expected - actual) <= _COUPON_TOLERANCE
    exponent = expected.as_tuple().exponent
    if name.endswith(_CUT_NAMES) or (isinstance(exponent, int) and -exponent >= CUT_DECIMALS):
        return actual.quantize(expected, rounding=ROUND_HALF_UP) == expected
    return actual == expected


def instant(text: str) -> datetime:
    """An instant of a case; without a zone it is UTC."""
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=instant("1970-01-01T00:00:00Z").tzinfo)
