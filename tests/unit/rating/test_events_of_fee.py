"""Which events a fee had counted, told by the log and the few corrections that came later."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.rating.shared.usage_log import ListedUsageEvent
from services.rating.usage.events_of_fee import Correction, UsageEventsOfFee

AT = datetime(2024, 1, 1, tzinfo=UTC)


def event(*, voided: bool = False) -> ListedUsageEvent:
    return ListedUsageEvent("t1", AT, {}, is_voided=voided)


@pytest.mark.parametrize(
    ("correction", "voided", "counted"),
    [
        (None, False, True),
        (None, True, False),
        (Correction(accepted_number=11), False, False),
        (Correction(accepted_number=10), False, True),
        (Correction(voided_number=11), True, True),
        (Correction(voided_number=10), True, False),
        (Correction(accepted_number=9, voided_number=10), True, False),
        (Correction(accepted_number=9, voided_number=11), True, True),
    ],
)
def test_a_fee_counts_what_came_and_stayed_until_its_watermark(
    correction: Correction | None, *, voided: bool, counted: bool
) -> None:
    of_fee = UsageEventsOfFee({"t1": correction} if correction else {}, watermark=10)
    assert of_fee.counts(event(voided=voided), 10) is counted
    assert of_fee.sign(event(voided=voided)) == int(counted)


@pytest.mark.parametrize(
    ("correction", "voided", "sign"),
    [
        (None, False, 0),
        (Correction(accepted_number=15), False, 1),
        (Correction(voided_number=15), True, -1),
        (Correction(accepted_number=12, voided_number=15), True, 0),
        (Correction(accepted_number=25), False, 0),
    ],
)
def test_an_adjustment_is_made_for_what_came_or_went_since(
    correction: Correction | None, *, voided: bool, sign: int
) -> None:
    of_fee = UsageEventsOfFee({"t1": correction} if correction else {}, watermark=20, since=10)
    assert of_fee.sign(event(voided=voided)) == sign
