"""Values survive the wire: what is written is what is read, to the last digit and microsecond."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from services.kernel.instant import EARLIEST, LATEST
from services.kernel.money import MAX_DIGITS, MAX_EXPONENT
from services.wire import values

naive = {"min_value": EARLIEST.replace(tzinfo=None), "max_value": LATEST.replace(tzinfo=None)}
instants = st.datetimes(**naive, timezones=st.just(ZoneInfo("UTC")))
numbers = st.builds(
    lambda digits, exponent: Decimal(digits).scaleb(exponent),
    st.integers(-(10**MAX_DIGITS) + 1, 10**MAX_DIGITS - 1),
    st.integers(-MAX_EXPONENT, 0),
).filter(lambda number: not number or abs(number.adjusted()) <= MAX_EXPONENT)


@given(number=numbers)
def test_a_number_is_the_same_after_the_wire(number: Decimal) -> None:
    """Decimal → message → decimal is identity."""
    assert values.decimal_from_pb(values.decimal_to_pb(number), "units") == number


@given(at=instants)
def test_an_instant_is_the_same_after_the_wire(at: datetime) -> None:
    """Instant → message → instant is identity."""
    assert values.instant_from_pb(values.instant_to_pb(at), "at") == at
