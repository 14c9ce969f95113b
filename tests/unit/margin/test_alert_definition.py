"""Which alerts may be defined."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.kernel.errors import InvalidArgumentError
from services.margin.domain.alert import Alert, AlertMetric, require_valid


def alert(**fields: Any) -> Alert:
    given = {"critical_threshold": None, "recovery_threshold": None, "metric": AlertMetric.MARGIN_PERCENT, **fields}
    defaults = {"id": "a", "code": "low", "name": "", "external_customer_id": "", "warning_threshold": Decimal(20)}
    times = {"raise_after": timedelta(), "clear_after": timedelta(), "created_at": datetime(2026, 1, 1, tzinfo=UTC)}
    return Alert(**{**defaults, **times, **given})


def test_thresholds_lie_on_their_sides() -> None:
    assert require_valid(alert(critical_threshold=Decimal(0), recovery_threshold=Decimal(25)))
    cost = {"metric": AlertMetric.COST, "critical_threshold": Decimal(90), "recovery_threshold": Decimal(15)}
    assert require_valid(alert(**cost))


@pytest.mark.parametrize(
    "fields",
    [
        {"code": ""},
        {"name": "n" * 256},
        {"critical_threshold": Decimal(21)},
        {"recovery_threshold": Decimal(19)},
        {"metric": AlertMetric.COST, "critical_threshold": Decimal(19)},
        {"metric": AlertMetric.COST, "recovery_threshold": Decimal(21)},
        {"raise_after": timedelta(seconds=-1)},
        {"clear_after": timedelta(days=93)},
    ],
)
def test_what_could_never_work_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        require_valid(alert(**fields))
