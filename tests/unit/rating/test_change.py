"""Changes of plan and cancellations: of which kind, when, and what becomes of the subscription."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from services.kernel.cadence import YEARLY, Alignment
from services.kernel.errors import FailedPreconditionError, InvalidArgumentError
from services.kernel.ids import CustomerId, SubscriptionId
from services.kernel.money import CURRENCIES
from services.rating.agreements.change import (
    ChangeEffect,
    ChangeKind,
    ChangeTiming,
    direction,
    request_cancellation,
    request_change,
)
from services.rating.agreements.subscription import Subscription, activate
from services.rating.pricing.plan import Plan
from services.rating.shared.subscription_state import SubscriptionState

D = Decimal
START = datetime(2024, 4, 1, 9, tzinfo=UTC)
AT = datetime(2024, 4, 11, 15, tzinfo=UTC)
MAY = datetime(2024, 5, 1, tzinfo=UTC)
NEW = SubscriptionId("new")
PENDING = Subscription(SubscriptionId("s"), "ext", CustomerId("c"), "basic", 1, Alignment.CALENDAR, START, START, START)
ACTIVE = activate(PENDING, at=START)
BASIC = Plan("basic", CURRENCIES["EUR"], base_amount=D(30), in_advance=True)
PRO = replace(BASIC, code="pro", base_amount=D(60))


def change(old: Plan, new: Plan, timing: ChangeTiming = ChangeTiming.DEFAULT) -> ChangeEffect:
    """What an active subscription becomes."""
    return request_change(ACTIVE, old, new, new_id=NEW, at=AT, timezone="UTC", timing=timing)


def test_an_upgrade_is_now() -> None:
    """The old subscription ends, and its day is the new one's."""
    effect = change(BASIC, PRO)
    assert (effect.kind, effect.effective_at) == (ChangeKind.UPGRADE, AT)
    assert effect.successor is not None
    assert (effect.subscription.state, effect.successor.plan_code) == (SubscriptionState.TERMINATED, "pro")
    assert effect.subscription.base_ends_at == datetime(2024, 4, 11, tzinfo=UTC)
    assert (effect.successor.subscription_id, effect.successor.previous_id) == ("new", "s")


def test_a_downgrade_waits_for_the_periods_end() -> None:
    """Until then everything stays, and no second change is promised."""
    effect = change(PRO, BASIC)
    assert (effect.kind, effect.effective_at, effect.successor) == (ChangeKind.DOWNGRADE, MAY, None)
    assert effect.subscription.state is SubscriptionState.ACTIVE
    assert effect.subscription.pending_change is not None
    with pytest.raises(FailedPreconditionError) as refused:
        request_change(effect.subscription, PRO, BASIC, new_id=NEW, at=AT, timezone="UTC")
    assert refused.value.reason == "CHANGE_ALREADY_PENDING"


@pytest.mark.parametrize(
    ("old", "new", "timing", "effective_at"),
    [(PRO, BASIC, ChangeTiming.NOW, AT), (BASIC, PRO, ChangeTiming.PERIOD_END, MAY)],
)
def test_a_change_is_when_it_is_asked_for(old: Plan, new: Plan, timing: ChangeTiming, effective_at: datetime) -> None:
    """A downgrade may be now, and an upgrade may wait."""
    effect = change(old, new, timing)
    assert effect.effective_at == effective_at
    assert (effect.successor is None) == (effective_at == MAY)


def test_yearly_prices_decide() -> None:
    """A cheaper month can be a dearer year; the same price moves at once."""
    cheap_year = replace(BASIC, code="year", interval=YEARLY, base_amount=D(300))
    assert direction(BASIC, cheap_year) is ChangeKind.DOWNGRADE
    assert direction(cheap_year, BASIC) is ChangeKind.UPGRADE
    moved = change(BASIC, replace(BASIC, version=2))
    assert (moved.kind, moved.effective_at) == (ChangeKind.SIDEGRADE, AT)


def test_cancel_at_period_end() -> None:
    """The end is scheduled, and the subscription goes on until then."""
    effect = request_cancellation(ACTIVE, BASIC, at=AT, timezone="UTC")
    assert (effect.kind, effect.effective_at) == (ChangeKind.CANCELLATION, MAY)
    assert effect.subscription.pending_change is not None
    assert effect.subscription.pending_change.plan_code is None


def test_cancel_now() -> None:
    """The day of termination is still the subscription's."""
    effect = request_cancellation(ACTIVE, BASIC, at=AT, timezone="UTC", timing=ChangeTiming.NOW)
    assert (effect.effective_at, effect.successor) == (AT, None)
    assert effect.subscription.state is SubscriptionState.TERMINATED
    assert effect.subscription.base_ends_at == datetime(2024, 4, 12, tzinfo=UTC)


def test_refusals() -> None:
    """Only an active subscription changes, and only within its currency."""
    with pytest.raises(FailedPreconditionError):
        request_change(PENDING, BASIC, PRO, new_id=NEW, at=AT, timezone="UTC")
    with pytest.raises(FailedPreconditionError):
        request_cancellation(PENDING, BASIC, at=AT, timezone="UTC")
    with pytest.raises(InvalidArgumentError):
        change(BASIC, replace(PRO, currency=CURRENCIES["USD"]))
