"""Changes of plan and cancellations: kind, timing, money, and preview equal to effect."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.kernel.cadence import YEARLY, Alignment
from services.kernel.errors import FailedPreconditionError, InvalidArgumentError
from services.kernel.ids import CustomerId, SubscriptionId
from services.kernel.money import CURRENCIES
from services.rating.agreements.change import (
    ChangeKind,
    ChangeTiming,
    preview_cancellation,
    preview_change,
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
ARREARS = replace(BASIC, in_advance=False)


def test_an_upgrade_is_now() -> None:
    """Ten days of the old plan used, twenty credited; the day of change is the new plan's."""
    effect = request_change(ACTIVE, BASIC, PRO, new_id=NEW, at=AT, timezone="UTC")
    preview = effect.preview
    assert (preview.kind, preview.effective_at) == (ChangeKind.UPGRADE, AT)
    assert preview.unused is not None
    assert (preview.unused.days, preview.unused.of(D(30))) == (20, 20)
    assert [fee.amount_cents for fee in preview.fees] == [4000]
    assert effect.successor is not None
    assert (effect.subscription.state, effect.successor.plan_code) == (SubscriptionState.TERMINATED, "pro")


def test_in_arrears_the_old_days_are_due_and_nothing_is_credited() -> None:
    """The new plan's days are due when its period ends."""
    preview = preview_change(ACTIVE, ARREARS, replace(PRO, in_advance=False), at=AT, timezone="UTC")
    assert preview.unused is None
    assert [fee.amount_cents for fee in preview.fees] == [1000]


def test_a_downgrade_waits_for_the_periods_end() -> None:
    """Until then everything stays; it costs the new plan's full price then."""
    effect = request_change(ACTIVE, PRO, BASIC, new_id=NEW, at=AT, timezone="UTC")
    assert (effect.preview.kind, effect.preview.effective_at) == (ChangeKind.DOWNGRADE, MAY)
    assert (effect.preview.unused, effect.successor) == (None, None)
    assert [fee.amount_cents for fee in effect.preview.fees] == [3000]
    assert effect.subscription.state is SubscriptionState.ACTIVE
    assert effect.subscription.pending_change is not None
    with pytest.raises(FailedPreconditionError) as refused:
        request_change(effect.subscription, PRO, BASIC, new_id=NEW, at=AT, timezone="UTC")
    assert refused.value.reason == "CHANGE_ALREADY_PENDING"


def test_fees_are_in_the_name_of_whose_they_are() -> None:
    """The old days are the old subscription's, the new ones its successor's; a pending change bills nothing yet."""
    effect = request_change(ACTIVE, ARREARS, PRO, new_id=NEW, at=AT, timezone="UTC")
    assert [(fee.subscription_id, fee.amount_cents) for fee in effect.fees] == [("s", 1000), ("new", 4000)]
    in_advance = request_change(ACTIVE, BASIC, PRO, new_id=NEW, at=AT, timezone="UTC")
    assert [(fee.subscription_id, fee.amount_cents) for fee in in_advance.fees] == [("new", 4000)]
    assert request_change(ACTIVE, PRO, BASIC, new_id=NEW, at=AT, timezone="UTC").fees == ()
    ended = request_cancellation(ACTIVE, ARREARS, at=AT, timezone="UTC", timing=ChangeTiming.NOW)
    assert [(fee.subscription_id, fee.amount_cents) for fee in ended.fees] == [("s", 1100)]


def test_a_downgrade_now_on_request() -> None:
    """It is computed as an upgrade is."""
    preview = preview_change(ACTIVE, PRO, BASIC, at=AT, timezone="UTC", timing=ChangeTiming.NOW)
    assert preview.unused is not None
    assert (preview.kind, preview.unused.of(D(60))) == (ChangeKind.DOWNGRADE, 40)
    assert [fee.amount_cents for fee in preview.fees] == [2000]


def test_yearly_prices_decide() -> None:
    """A cheaper month can be a dearer year; the same price moves at once."""
    cheap_year = replace(BASIC, code="year", interval=YEARLY, base_amount=D(300))
    assert preview_change(ACTIVE, BASIC, cheap_year, at=AT, timezone="UTC").kind is ChangeKind.DOWNGRADE
    assert preview_change(ACTIVE, cheap_year, BASIC, at=AT, timezone="UTC").kind is ChangeKind.UPGRADE
    assert preview_change(ACTIVE, BASIC, replace(BASIC, version=2), at=AT, timezone="UTC").effective_at == AT


def test_an_upgrade_may_wait() -> None:
    """For the period's end, on request."""
    effect = request_change(ACTIVE, BASIC, PRO, new_id=NEW, at=AT, timezone="UTC", timing=ChangeTiming.PERIOD_END)
    assert effect.preview.effective_at == MAY
    assert effect.successor is None


def test_cancel_at_period_end() -> None:
    """Nothing is credited, nothing more is billed."""
    effect = request_cancellation(ACTIVE, BASIC, at=AT, timezone="UTC")
    assert (effect.preview.effective_at, effect.preview.unused, effect.preview.fees) == (MAY, None, ())
    assert effect.subscription.pending_change is not None
    assert effect.subscription.pending_change.is_cancellation


def test_cancel_now() -> None:
    """The day of termination is billed: eleven used, nineteen credited; in arrears eleven are due."""
    effect = request_cancellation(ACTIVE, BASIC, at=AT, timezone="UTC", timing=ChangeTiming.NOW)
    assert effect.preview.unused is not None
    assert effect.preview.unused.days == 19
    assert effect.subscription.state is SubscriptionState.TERMINATED
    arrears = preview_cancellation(ACTIVE, ARREARS, at=AT, timezone="UTC", timing=ChangeTiming.NOW)
    assert [fee.amount_cents for fee in arrears.fees] == [1100]


def test_cancel_on_the_last_day_credits_nothing() -> None:
    """There is no unused day left."""
    last = datetime(2024, 4, 30, 23, tzinfo=UTC)
    assert preview_cancellation(ACTIVE, BASIC, at=last, timezone="UTC", timing=ChangeTiming.NOW).unused is None


def test_in_a_trial_nothing_was_billed() -> None:
    """So nothing is credited, and the new plan's base price waits for the trial's end."""
    trial = replace(BASIC, trial_days=14)
    preview = preview_change(ACTIVE, trial, replace(PRO, trial_days=14), at=AT, timezone="UTC")
    assert (preview.unused, preview.fees) == (None, ())
    assert preview_cancellation(ACTIVE, trial, at=AT, timezone="UTC", timing=ChangeTiming.NOW).unused is None


def test_a_subscription_that_ends_in_its_trial_owes_no_day() -> None:
    """Not even the one on which the trial would have ended, also in arrears; one that outlives it owes that day."""
    trial = replace(ARREARS, trial_days=14)
    ends_at = START + timedelta(days=14)
    early = preview_cancellation(
        ACTIVE, trial, at=ends_at - timedelta(hours=1), timezone="UTC", timing=ChangeTiming.NOW
    )
    assert early.fees == ()
    late = preview_cancellation(ACTIVE, trial, at=ends_at + timedelta(hours=1), timezone="UTC", timing=ChangeTiming.NOW)
    assert [fee.amount_cents for fee in late.fees] == [100]


@pytest.mark.parametrize("timing", list(ChangeTiming))
@pytest.mark.parametrize("pair", [(BASIC, PRO), (PRO, BASIC), (ARREARS, PRO)])
def test_the_effect_is_what_was_previewed(pair: tuple[Plan, Plan], timing: ChangeTiming) -> None:
    """What a customer is shown is what happens."""
    old, new = pair
    preview = preview_change(ACTIVE, old, new, at=AT, timezone="Asia/Tokyo", timing=timing)
    effect = request_change(ACTIVE, old, new, new_id=NEW, at=AT, timezone="Asia/Tokyo", timing=timing)
    assert effect.preview == preview


def test_refusals() -> None:
    """Only an active subscription changes, and only within its currency."""
    with pytest.raises(FailedPreconditionError):
        preview_change(PENDING, BASIC, PRO, at=AT, timezone="UTC")
    with pytest.raises(FailedPreconditionError):
        preview_cancellation(PENDING, BASIC, at=AT, timezone="UTC")
    with pytest.raises(InvalidArgumentError):
        preview_change(ACTIVE, BASIC, replace(PRO, currency=CURRENCIES["USD"]), at=AT, timezone="UTC")
