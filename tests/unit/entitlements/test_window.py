"""Windows, resolution and holds, case by case."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.entitlements.domain.feature import Feature, FeatureType
from services.entitlements.domain.feature_terms import FeatureTerms, PlanTerms, Source, require_valid, resolve
from services.entitlements.domain.hold import Hold, HoldState, commit, release
from services.entitlements.domain.subscription import PlanPeriods, Subscription, SubscriptionState, window_of
from services.kernel.cadence import MONTHLY, YEARLY, Alignment, ResetWindow
from services.kernel.errors import FailedPreconditionError, InvalidArgumentError
from services.kernel.period import Period


def at(month: int, day: int = 1, hour: int = 0, *, year: int = 2026) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


def subscription(
    period: Period | None, *, alignment: Alignment = Alignment.CALENDAR, timezone: str = "UTC"
) -> Subscription:
    return Subscription(
        "id", "one", "acme", "plan", SubscriptionState.ACTIVE, timezone, alignment, at(3, 31), None, period
    )


MONTHLY_PLAN, YEARLY_BY_MONTH = PlanPeriods(MONTHLY), PlanPeriods(YEARLY, is_charged_monthly=True)


@pytest.mark.parametrize(
    ("plan", "period", "alignment", "instant", "window"),
    [
        # the announced period holds the present
        (MONTHLY_PLAN, Period(at(5), at(6)), Alignment.CALENDAR, at(5, 20), Period(at(5), at(6))),
        # a first period that began inside the month
        (MONTHLY_PLAN, Period(at(5, 12), at(6)), Alignment.CALENDAR, at(5, 20), Period(at(5, 12), at(6))),
        # the next one is not announced yet
        (MONTHLY_PLAN, Period(at(5), at(6)), Alignment.CALENDAR, at(6), Period(at(6), at(7))),
        # a test clock that has not arrived in the announced period
        (MONTHLY_PLAN, Period(at(6), at(7)), Alignment.CALENDAR, at(5, 31), Period(at(5), at(6))),
        # nothing announced: the plan's calendar, with clamped month ends
        (MONTHLY_PLAN, None, Alignment.ANNIVERSARY, at(4, 30), Period(at(4, 30), at(5, 31))),
        (MONTHLY_PLAN, None, Alignment.CALENDAR, at(4, 30), Period(at(4), at(5))),
        # a year that is charged, and therefore counted, by month
        (YEARLY_BY_MONTH, Period(at(1), at(1, year=2027)), Alignment.CALENDAR, at(5, 20), Period(at(5), at(6))),
        (YEARLY_BY_MONTH, Period(at(5, 12), at(1, year=2027)), Alignment.CALENDAR, at(5, 20), Period(at(5, 12), at(6))),
    ],
)
def test_billing_window(
    plan: PlanPeriods, period: Period | None, alignment: Alignment, instant: datetime, window: Period
) -> None:
    found = window_of(ResetWindow.BILLING_PERIOD, subscription(period, alignment=alignment), plan, instant)
    assert found == window


@pytest.mark.parametrize(
    ("timezone", "instant", "day"),
    [
        ("UTC", at(5, 10, 12), Period(at(5, 10), at(5, 11))),
        ("Asia/Tokyo", at(5, 10, 15), Period(at(5, 10, 15), at(5, 11, 15))),
        # the day that loses an hour
        ("Europe/Paris", at(3, 29, 12), Period(at(3, 28, 23), at(3, 29, 22))),
    ],
)
def test_day(timezone: str, instant: datetime, day: Period) -> None:
    found = window_of(ResetWindow.DAY, subscription(None, timezone=timezone), MONTHLY_PLAN, instant)
    assert found == day


def feature(code: str, kind: FeatureType = FeatureType.USAGE_LIMIT, metric: str = "api_call") -> Feature:
    return Feature("id", code, code, "", kind, metric, at(1))


def test_resolve() -> None:
    """The narrower override wins; the metric is the plan's, else the feature's; removed features unlock nothing."""
    plan = {
        code: PlanTerms(code, FeatureType.USAGE_LIMIT, "tokens", FeatureTerms(limit=Decimal(1)))
        for code in ("calls", "mine", "gone", "unknown")
    }
    features = {code: feature(code) for code in ("calls", "mine", "extra")}
    features["gone"] = replace(feature("gone"), deleted_at=at(2))
    resolved = resolve(
        plan,
        {"mine": FeatureTerms(limit=Decimal(2)), "extra": FeatureTerms(limit=Decimal(3))},
        {"mine": FeatureTerms(limit=Decimal(4))},
        features,
    )
    assert {code: (right.source, right.metric_code, right.terms.limit) for code, right in resolved.items()} == {
        "calls": (Source.PLAN, "tokens", Decimal(1)),
        "mine": (Source.OVERRIDE, "tokens", Decimal(4)),
        "extra": (Source.OVERRIDE, "api_call", Decimal(3)),
    }


def test_grants_within_limits() -> None:
    for wrong in (FeatureTerms(limit=Decimal(-1)), FeatureTerms(value="x" * 1025)):
        with pytest.raises(InvalidArgumentError):
            require_valid(wrong)


HELD = Hold("hold", "id", "calls", Decimal(5), HoldState.HELD, at(5, 10, 13))


@pytest.mark.parametrize(
    ("hold", "instant", "reason"),
    [
        (HELD, at(5, 10, 13), "RESERVATION_EXPIRED"),
        (replace(HELD, state=HoldState.COMMITTED), at(5, 10), "RESERVATION_COMMITTED"),
        (replace(HELD, state=HoldState.RELEASED), at(5, 10), "RESERVATION_RELEASED"),
    ],
)
def test_a_hold_is_settled_once(hold: Hold, instant: datetime, reason: str) -> None:
    for settle in (lambda: release(hold, at=instant), lambda: commit(hold, Decimal(1), at=instant)):
        with pytest.raises(FailedPreconditionError) as caught:
            settle()
        assert caught.value.reason == reason


def test_a_hold_gives_no_more_than_it_holds() -> None:
    last = HELD.expires_at - timedelta(microseconds=1)
    assert commit(HELD, Decimal(5), at=last).state is HoldState.COMMITTED
    assert commit(HELD, Decimal(0), at=last).state is HoldState.COMMITTED
    with pytest.raises(InvalidArgumentError):
        commit(HELD, Decimal("5.1"), at=last)
