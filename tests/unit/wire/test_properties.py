"""Properties are read exactly, and no number that a sender writes costs much or harms others."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest

from services.kernel.money import decimal_or_none
from services.wire.properties import read_properties

# Far beyond what it takes, far below what expanding one of them would.
SECONDS = 5.0


def test_numbers_stay_exact() -> None:
    """No float on the way, and no digit lost."""
    read = read_properties(b'{"a": 1, "b": 0.1, "c": 1e3, "d": "1", "e": true, "f": null, "g": [1.50]}')
    assert read == {
        "a": 1,
        "b": Decimal("0.1"),
        "c": Decimal("1e3"),
        "d": "1",
        "e": True,
        "f": None,
        "g": [Decimal("1.5")],
    }
    assert all(type(read[key]) is not float for key in read)
    assert read_properties(b"") == {}


@pytest.mark.parametrize(
    "number",
    ["1e999999999", "-1E200000", "1e99999999999999999999", "9" * 60_000, "0." + "9" * 60_000, "1e-999999999"],
)
def test_what_cannot_be_kept_is_its_text(number: str) -> None:
    """It is not expanded, and the properties beside it are read."""
    started = time.perf_counter()
    read = read_properties(b'{"x": ' + number.encode() + b', "n": 7, "m": 0.5}')
    assert read == {"x": number, "n": 7, "m": Decimal("0.5")}
    assert time.perf_counter() - started < SECONDS


@pytest.mark.parametrize("digits", [1, 15, 18, 19, 20, 25, 29, 30, 31, 38, 39])
def test_whole_numbers_of_any_length(digits: int) -> None:
    """Up to what a number from outside may have they are numbers, and always the same digits."""
    text = "9" * digits
    value = read_properties(f'{{"n": {text}}}'.encode())["n"]
    assert str(value) == text
    if decimal_or_none(text) is not None and digits <= 30:
        assert isinstance(value, int)
