"""Exact numbers: what is read, what is refused, how it is rounded."""

from __future__ import annotations

import decimal
import threading
from decimal import Decimal

import pytest

from services.kernel.errors import InvalidArgumentError
from services.kernel.money import CURRENCIES, currency, decimal_or_none, parse_decimal, plain


@pytest.mark.parametrize(
    ("text", "number"), [("1e3", "1000"), ("+1", "1"), (".5", "0.5"), ("-0.10", "-0.1"), ("7.", "7"), ("0", "0")]
)
def test_numbers_as_people_write_them(text: str, number: str) -> None:
    """Scientific notation, signs and a missing zero are numbers."""
    assert decimal_or_none(text) == Decimal(number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1_000",
        "0x1",
        "NaN",
        "Infinity",
        "1e31",
        "1E+1000000",
        "9" * 39,
        "1e",
        "--1",
        "\N{ARABIC-INDIC DIGIT ONE}",
        "1" * 81,
    ],
)
def test_what_is_no_number_or_beyond_limits(text: str) -> None:
    """Nothing is guessed, and nine bytes cannot ask for a million digits."""
    assert decimal_or_none(text) is None


def test_an_error_names_the_field() -> None:
    """A caller can find what to mend."""
    with pytest.raises(InvalidArgumentError) as caught:
        parse_decimal("abc", field="properties.tokens")
    assert caught.value.violations[0].field == "properties.tokens"


def test_a_float_is_a_bug_in_every_thread() -> None:
    """The decimal context traps floats wherever the code runs."""
    raised: list[BaseException] = []

    def mix() -> None:
        try:
            Decimal(float("0.1"))
        except decimal.FloatOperation as error:
            raised.append(error)

    thread = threading.Thread(target=mix)
    thread.start()
    thread.join()
    mix()
    assert len(raised) == 2


@pytest.mark.parametrize(
    ("code", "amount", "minor"),
    [("USD", "0.005", 1), ("USD", "-0.005", -1), ("USD", "1.0049999", 100), ("JPY", "0.5", 1), ("KWD", "1.2345", 1235)],
)
def test_rounding_is_half_away_from_zero_to_the_minor_unit(code: str, amount: str, minor: int) -> None:
    """One rounding, by the currency's own exponent."""
    assert CURRENCIES[code].to_minor(Decimal(amount)) == minor


def test_minor_units_turn_back_exactly() -> None:
    """A whole number of minor units has one exact amount."""
    assert CURRENCIES["KWD"].to_major(1235) == Decimal("1.235")


def test_an_unknown_currency_is_refused() -> None:
    """Case does not matter, existence does."""
    assert currency("eur").code == "EUR"
    with pytest.raises(InvalidArgumentError):
        currency("XXY")


@pytest.mark.parametrize(("number", "text"), [("1E+3", "1000"), ("10.00", "10"), ("-0", "0"), ("0.50", "0.5")])
def test_plain_text_has_no_exponent_and_no_trailing_zeros(number: str, text: str) -> None:
    """What people read."""
    assert plain(Decimal(number)) == text
