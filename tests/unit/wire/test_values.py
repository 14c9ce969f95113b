"""What is refused of the values that every message is made of, and by which name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from farebox.common.v1.decimal_pb2 import Decimal
from farebox.common.v1.page_pb2 import PageRequest
from farebox.common.v1.period_pb2 import Period as PeriodPb
from services.chassis.page import Listed
from services.kernel.errors import InvalidArgumentError
from services.kernel.period import Period
from services.wire import values

START = datetime(2024, 2, 1, tzinfo=UTC)
SECOND_OF_9999 = 253_370_764_800


def refusal(work: Callable[[], Any]) -> tuple[str, str]:
    """The field that is refused, and the reason."""
    with pytest.raises(InvalidArgumentError) as caught:
        work()
    (violation,) = caught.value.violations
    return violation.field, violation.reason


@pytest.mark.parametrize(
    "stamp",
    [
        Timestamp(seconds=-1),
        Timestamp(seconds=SECOND_OF_9999),
        Timestamp(seconds=2**62),
        Timestamp(nanos=-1),
        Timestamp(nanos=1_000_000_000),
    ],
)
def test_an_instant_outside_of_the_calendar_is_refused(stamp: Timestamp) -> None:
    """1970 to 9998, with nanoseconds of one second; nothing overflows on the way to saying so."""
    assert refusal(lambda: values.instant_from_pb(stamp, "effective_from")) == ("effective_from", "value_is_invalid")


@pytest.mark.parametrize("text", ["", "NaN", "1e31", "1e999999999", "9" * 39, "1,5"])
def test_a_number_beyond_limits_is_refused(text: str) -> None:
    """38 digits, an exponent within 30, and no other words."""
    assert refusal(lambda: values.decimal_from_pb(Decimal(value=text), "units")) == ("units", "invalid_number")


def test_what_must_be_there_is_named_by_its_path() -> None:
    """A caller is told which field of which message he left out."""
    period = PeriodPb()
    assert refusal(lambda: values.instant_of(period, "start", "period")) == (
        "period.start",
        "value_is_mandatory",
    )
    assert refusal(lambda: values.instant_of(period, "start")) == ("start", "value_is_mandatory")
    assert values.instant_or_none_of(period, "start") is None


def test_a_period_needs_both_ends_in_order() -> None:
    """A span that ends before it starts is refused as a whole."""
    start, end = values.instant_to_pb(START), values.instant_to_pb(START.replace(month=1))
    assert refusal(lambda: values.period_from_pb(PeriodPb(start=start), "period"))[0] == "period.end"
    assert refusal(lambda: values.period_from_pb(PeriodPb(start=start, end=end), "period"))[0] == "period"


def test_what_is_absent_stays_absent() -> None:
    """None is no message, not an empty one."""
    assert values.decimal_to_pb(None) is None
    assert values.instant_to_pb(None) is None
    assert values.period_to_pb(None) is None


def test_a_page_says_its_total_only_where_it_is_known() -> None:
    """Zero entries and an unknown number of entries are distinguished."""
    assert not values.page_to_pb(Listed(())).HasField("total_size")
    assert values.page_to_pb(Listed((), "next", 0)).HasField("total_size")
    assert refusal(lambda: values.page_from_pb(PageRequest(page_size=1001)))[0] == "page.page_size"


def test_a_period_goes_there_and_back() -> None:
    """Both ends, to the microsecond."""
    period = Period(START, START.replace(microsecond=1))
    assert values.period_from_pb(values.period_to_pb(period), "period") == period
