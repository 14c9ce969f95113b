"""The figures of `tests/cases/entitlement_balance_cases.json`: OpenMeter's own, through the pure domain, exact.

The cases burn by priority, then expiry, and their source answers for the minute that has begun: a question is asked at
the next whole minute, and a grant that ends at that very instant still counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.entitlements.domain.credit_balance import CreditBook, Evaluation, Reset, Snapshot, Use
from services.entitlements.domain.credit_threshold import (
    CreditThreshold,
    Figures,
    ThresholdKind,
    crossed_by_balance,
    crossed_by_usage,
)
from services.entitlements.domain.grant import BurnOrder, Grant, in_burn_order
from services.entitlements.domain.recurrence import Recurrence
from services.entitlements.domain.usage_period import ManualReset, UsagePeriods
from services.kernel.cadence import MONTHLY, WEEKLY, YEARLY, CadenceUnit, Interval
from services.kernel.errors import FareboxError

Case = Mapping[str, Any]

FILE = Path(__file__).parents[2] / "cases" / "entitlement_balance_cases.json"
CASES: list[Case] = json.loads(FILE.read_text(), parse_float=Decimal)["cases"]
INTERVALS = {"DAY": Interval(CadenceUnit.DAY), "WEEK": WEEKLY, "MONTH": MONTHLY, "YEAR": YEARLY}
# Where a case says nothing of them: the order of creation and the amount decide nothing there.
UNSAID = datetime(2020, 1, 1, tzinfo=UTC)
START = datetime(2024, 1, 1, tzinfo=UTC)
# Whether uses are levels, by the meter of a case. A case with another meter needs a rule that is not here.
IS_LEVEL = {"SUM": False, "LATEST": True}


def instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def recurrence_of(given: Case | None) -> Recurrence | None:
    return given and Recurrence(INTERVALS[given["interval"]], datetime.fromisoformat(given["anchor"]))


def grant_of(given: Case) -> Grant:
    return Grant(
        id=given["id"],
        amount=Decimal(given.get("amount", 1)),
        effective_at=instant(given.get("effective_at")) or UNSAID,
        created_at=instant(given.get("created_at")) or UNSAID,
        expires_at=instant(given.get("expires_at")),
        # A deleted grant is one that was taken back: what was burned of it stays burned.
        voided_at=instant(given.get("voided_at") or given.get("deleted_at")),
        priority=given["priority"],
        recurrence=recurrence_of(given.get("recurrence")),
        min_rollover=Decimal(given.get("min_rollover", 0)),
        max_rollover=Decimal(given.get("max_rollover", 0)),
    )


def book_of(case: Case, resets: list[Reset]) -> CreditBook:
    return CreditBook(
        [grant_of(given) for given in case["grants"]],
        [Use(datetime.fromisoformat(use["at"]), Decimal(use["value"])) for use in case["usage"]],
        resets,
        BurnOrder.PRIORITY_FIRST,
        is_level=IS_LEVEL[case.get("meter", {}).get("aggregation", "SUM")],
    )


def next_minute(text: str) -> datetime:
    """The question's instant; one within a minute is asked at its end."""
    at = datetime.fromisoformat(text)
    minute = at.replace(second=0, microsecond=0)
    return minute if minute == at else minute + timedelta(minutes=1)


def manual_reset(given: Case) -> ManualReset:
    return ManualReset(
        datetime.fromisoformat(given["at"]), given.get("preserve_overage"), given.get("retain_anchor", False)
    )


def figures_of(evaluation: Evaluation) -> dict[str, object]:
    snapshot, segments = evaluation.snapshot, evaluation.segments
    return {
        "balances": dict(snapshot.balances),
        "balance": snapshot.balance,
        "overage": snapshot.overage,
        "usage": snapshot.used,
        "total_grant_usage": snapshot.burned,
        "total_available": snapshot.available,
        "has_access_hard_limit": snapshot.allows_more(is_hard=True),
        "has_access_soft_limit": snapshot.allows_more(is_hard=False),
        "segments": len(segments),
        "segment_usage": [segment.used for segment in segments],
        "segment_overage_at_start": [segment.overage for segment in segments],
        "segment_balance_at_start": [dict(segment.balances) for segment in segments],
        "segment_balance_at_start_of": {str(place): dict(segment.balances) for place, segment in enumerate(segments)},
        "segment_total_balance_at_start": [segment.balance for segment in segments],
    }


def engine_run(case: Case) -> dict[str, object]:
    given = case["starting_snapshot"]
    start = Snapshot(
        datetime.fromisoformat(given["at"]),
        {id_: Decimal(balance) for id_, balance in given["balances"].items()},
        *(Decimal(given[name]) for name in ("overage", "usage", "total_grant_usage")),
    )
    resets = [
        Reset(datetime.fromisoformat(at), with_overage=case["preserve_overage_at_reset"]) for at in case["resets"]
    ]
    return figures_of(book_of(case, resets).evaluate(start, next_minute(case["until"]), with_ending=True))


def entitlement_timeline(case: Case) -> dict[str, object]:
    entitlement = case["entitlement"]
    start = datetime.fromisoformat(entitlement["measure_usage_from"])
    periods = UsagePeriods(
        start, recurrence_of(entitlement["usage_period"]), with_overage=entitlement["preserve_overage_at_reset"]
    )
    manual = [manual_reset(given) for given in case["manual_resets"]]
    at = next_minute(case["query_at"])
    evaluation = book_of(case, periods.resets(manual, at)).evaluate(Snapshot(start), at, with_ending=True)
    current = periods.current(manual, at)
    assert current is not None
    return {
        **figures_of(evaluation),
        "has_access": evaluation.snapshot.allows_more(is_hard=not entitlement["is_soft_limit"]),
        "current_period": [current.start, current.end],
    }


def burn_order(case: Case) -> dict[str, object]:
    grants = in_burn_order([grant_of(given) for given in case["grants"]], BurnOrder.PRIORITY_FIRST)
    return {"order": [grant.id for grant in grants]}


def threshold(case: Case) -> dict[str, object]:
    thresholds = [
        CreditThreshold(ThresholdKind(given["type"]), Decimal(given["value"])) for given in case["thresholds"]
    ]
    value = case["entitlement_value"]
    figures = Figures(*(Decimal(value[name]) for name in ("balance", "usage", "total_available")))
    found = {
        "active_usage_threshold": crossed_by_usage(thresholds, figures),
        "active_balance_threshold": crossed_by_balance(thresholds, figures),
    }
    return {name: crossed and {"type": crossed.kind.value, "value": crossed.value} for name, crossed in found.items()}


def balance_history(case: Case) -> dict[str, object]:
    first, last = (datetime.fromisoformat(case[name]) for name in ("from", "to"))
    manual = [manual_reset(given) for given in case["manual_resets"]]
    book = book_of(case, UsagePeriods(first).resets(manual, last))
    step = {"DAY": timedelta(days=1), "HOUR": timedelta(hours=1)}[case["window_size"]]
    bounds = [first + step * count for count in range((last - first) // step + 1)]
    windows = book.history(Snapshot(first), bounds)
    return {
        "windows": len(windows),
        "usage_in_window": {str(place): window.used for place, window in enumerate(windows)},
        "balance_at_start": {str(place): window.balance for place, window in enumerate(windows)},
        "burndown_segments": len(book.evaluate(Snapshot(first), last).segments),
    }


def reset_before_the_period() -> object:
    return UsagePeriods(START).resets([ManualReset(START - timedelta(hours=1))], START)


def reset_at_the_snapshot() -> object:
    return CreditBook([], resets=[Reset(START)]).evaluate(Snapshot(START), START)


REFUSED: dict[str, Callable[[], object]] = {
    "reset at measure_from - 1h": reset_before_the_period,
    "reset time == snapshot time": reset_at_the_snapshot,
}


def validation(case: Case) -> dict[str, object]:
    with pytest.raises(FareboxError) as refusal:
        REFUSED[case["given"]]()
    asserted = case["expect_asserted"]["error_contains"]
    return {"error_contains": asserted if asserted in str(refusal.value) else str(refusal.value)}


LINKS: dict[str, Callable[[Case], dict[str, object]]] = {
    link.__name__: link
    for link in (engine_run, entitlement_timeline, burn_order, threshold, balance_history, validation)
}


def differences(expected: Case, actual: Mapping[str, object]) -> dict[str, object]:
    """The expected figures that did not come, each with what came instead."""
    return {name: (value, actual.get(name)) for name, value in expected.items() if not same(value, actual.get(name))}


def same(expected: object, actual: object) -> bool:
    """Whether a figure is the expected one: numbers by value, and of an object what the source names."""
    match expected, actual:
        case dict(), dict():
            return all(same(value, actual.get(name)) for name, value in expected.items())
        case list(), list():
            return len(expected) == len(actual) and all(map(same, expected, actual))
        case str(), datetime():
            return datetime.fromisoformat(expected) == actual
        case bool(), Decimal():
            return False
        case int() | Decimal(), Decimal():
            return expected == actual
        case _:
            return type(expected) is type(actual) and expected == actual


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_case(case: Case) -> None:
    """The domain comes to what the source asserts, and to what an independent port of it computes."""
    figures = LINKS[case["kind"]](case)
    assert differences(case["expect_asserted"], figures) == {}
    assert differences(case.get("expect_computed", {}), figures) == {}


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (100, Decimal("100.000000000001")),
        ({"a": 1}, {"a": Decimal(2), "b": Decimal(1)}),
        ({"a": 1}, {}),
        ([1, 2], [Decimal(1)]),
        (True, Decimal(1)),
        ("2024-01-01T00:00:00Z", START + timedelta(seconds=1)),
        (None, {"type": "usage_value"}),
    ],
)
def test_a_wrong_figure_is_seen(expected: object, actual: object) -> None:
    """The comparison is not satisfied by anything."""
    assert not same(expected, actual)
