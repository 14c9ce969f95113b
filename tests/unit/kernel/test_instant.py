"""Instants as strangers write them, and how little it costs to refuse what is none."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from services.kernel import instant
from services.kernel.money import decimal_or_none, is_within_limits

# A number that is expanded before it is bounded costs seconds, one that is not costs a few microseconds. This tells
# them apart on any machine; it is no measurement.
FAR_FROM_BOTH_SECONDS = 0.1
HOSTILE = ["1e999999999", "-1e999999999", "1e200000", "1E-200000", "0e999999999", "9" * 4000, "0." + "3" * 4000]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-29T12:00:00Z", datetime(2024, 2, 29, 12, tzinfo=UTC)),
        ("2024-02-29t12:00:00.123456789+02:00", datetime(2024, 2, 29, 10, 0, 0, 123456, tzinfo=UTC)),
        ("2024-02-29 12:00:00,5-01:30", datetime(2024, 2, 29, 13, 30, 0, 500000, tzinfo=UTC)),
        ("0", datetime(1970, 1, 1, tzinfo=UTC)),
        ("1709208000.25", datetime(2024, 2, 29, 12, 0, 0, 250000, tzinfo=UTC)),
        ("1e9", datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)),
        ("9998-12-31T00:00:00Z", instant.LATEST),
    ],
)
def test_instants_as_people_write_them(text: str, expected: datetime) -> None:
    """RFC 3339 with its zone, or Unix seconds, cut to the microsecond."""
    assert instant.from_text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-02-29",
        "2024-02-29T12:00:00",
        "2024-02-30T12:00:00Z",
        "1969-12-31T23:59:59Z",
        "9999-01-01T00:00:00Z",
        "9999-12-31T23:59:59-23:00",
        "-1",
        "1e12",
        "2024-02-29T12:00:00." + "1" * 100 + "Z",
        *HOSTILE,
    ],
)
def test_what_is_no_instant(text: str) -> None:
    """A time without its zone is a guess, and one outside of 1970 to 9998 is not kept."""
    assert instant.from_text(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-29", date(2024, 2, 29)),
        ("1970-01-01", date(1970, 1, 1)),
        ("2023-02-29", None),
        ("1969-12-31", None),
        ("9999-01-01", None),
        ("2024-2-9", None),
        ("20240229", None),
    ],
)
def test_days_as_people_write_them(text: str, expected: date | None) -> None:
    """A day has four, two and two digits, and begins at an instant that is kept."""
    assert instant.from_date(text) == expected


def test_an_instant_is_written_as_short_as_it_is() -> None:
    """RFC 3339 in UTC, without a fraction that is nothing."""
    at = instant.midnight(date(2024, 2, 29))
    assert instant.to_text(at) == "2024-02-29T00:00:00Z"
    assert instant.to_text(at.replace(microsecond=500000)) == "2024-02-29T00:00:00.500000Z"


def test_microseconds_are_exact_both_ways() -> None:
    """An instant survives the way through a whole number, at both ends of what is kept."""
    for at in (instant.EARLIEST, instant.LATEST, datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=UTC)):
        assert instant.from_us(instant.to_us(at)) == at


def fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of a few tries, so that a busy machine does not count."""

    def seconds() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return min(seconds() for _ in range(5))


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:12])
def test_a_hostile_number_is_not_expanded(text: str) -> None:
    """Whatever door it comes by, nine bytes are not made a number of a billion digits."""
    number = Decimal(text)
    assert not is_within_limits(number)
    for work in (
        lambda: decimal_or_none(text),
        lambda: instant.from_text(text),
        lambda: is_within_limits(number),
        lambda: instant.from_seconds(number),
    ):
        assert fastest(work) < FAR_FROM_BOTH_SECONDS
