"""Subscriptions: every verb in every state, and whose usage is whose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.kernel.cadence import MONTHLY, Alignment
from services.kernel.errors import FailedPreconditionError
from services.kernel.ids import CustomerId, SubscriptionId
from services.kernel.money import CURRENCIES
from services.kernel.period import Period
from services.rating.agreements.subscription import (
    PendingChange,
    Subscription,
    activate,
    apply_change,
    cancel,
    change_now,
    schedule_change,
    terminate,
    withdraw_change,
)
from services.rating.pricing.plan import Plan
from services.rating.shared.subscription_state import SubscriptionState

START = datetime(2024, 2, 10, 12, tzinfo=UTC)
LATER = datetime(2024, 2, 20, 15, tzinfo=UTC)
MARCH = datetime(2024, 3, 1, tzinfo=UTC)
NEW = SubscriptionId("new")
PLAN = Plan("other", CURRENCIES["EUR"], version=3)
PENDING = Subscription(SubscriptionId("s"), "ext", CustomerId("c"), "plan", 1, Alignment.CALENDAR, START, START, START)
ACTIVE = activate(PENDING, at=START)
PROMISED = schedule_change(ACTIVE, PendingChange(MARCH, "other", 3))
TERMINATED = terminate(ACTIVE, at=LATER, timezone="UTC")
CANCELED = cancel(PENDING, at=START)

VERBS: dict[str, Callable[[Subscription], object]] = {
    "activate": lambda s: activate(s, at=START),
    "cancel": lambda s: cancel(s, at=START),
    "terminate": lambda s: terminate(s, at=LATER, timezone="UTC"),
    "schedule_change": lambda s: schedule_change(s, PendingChange(MARCH)),
    "withdraw_change": withdraw_change,
    "apply_change": lambda s: apply_change(s, new_id=NEW, at=MARCH, timezone="UTC"),
    "change_now": lambda s: change_now(s, new_id=NEW, plan=PLAN, at=LATER, timezone="UTC"),
}


@pytest.mark.parametrize(
    ("subscription", "allowed"),
    [
        (PENDING, {"activate", "cancel"}),
        (ACTIVE, {"terminate", "schedule_change", "change_now"}),
        (PROMISED, {"terminate", "withdraw_change", "apply_change", "change_now"}),
        (TERMINATED, set()),
        (CANCELED, set()),
    ],
)
def test_verbs_by_state(subscription: Subscription, allowed: set[str]) -> None:
    """The table of states: any other verb is refused with a reason."""
    for name, verb in VERBS.items():
        if name in allowed:
            verb(subscription)
            continue
        with pytest.raises(FailedPreconditionError) as refused:
            verb(subscription)
        assert refused.value.reason in {
            "SUBSCRIPTION_NOT_PENDING",
            "SUBSCRIPTION_NOT_ACTIVE",
            "CHANGE_ALREADY_PENDING",
            "NO_CHANGE_PENDING",
        }


@pytest.mark.parametrize(
    ("verb", "reason"),
    [
        (lambda: activate(PENDING, at=START.replace(hour=1)), "SUBSCRIPTION_NOT_DUE"),
        (lambda: terminate(ACTIVE, at=START.replace(hour=1), timezone="UTC"), "SUBSCRIPTION_NOT_DUE"),
        (lambda: apply_change(PROMISED, new_id=NEW, at=LATER, timezone="UTC"), "CHANGE_NOT_DUE"),
    ],
)
def test_nothing_happens_before_its_time(verb: Callable[[], object], reason: str) -> None:
    """Time is checked, not assumed."""
    with pytest.raises(FailedPreconditionError) as refused:
        verb()
    assert refused.value.reason == reason


def test_the_day_of_termination_is_billed() -> None:
    """The base price ends with the local day, usage at the moment."""
    ended = terminate(ACTIVE, at=LATER, timezone="Asia/Tokyo")
    assert ended.ended_at == LATER
    assert ended.base_ends_at == datetime(2024, 2, 21, 15, tzinfo=UTC)


def test_the_day_of_change_belongs_to_the_new_plan() -> None:
    """The old base price ends as that day begins; the successor keeps external id, anchor and first start."""
    ended, successor = change_now(PROMISED, new_id=NEW, plan=PLAN, at=LATER, timezone="UTC")
    assert (ended.ended_at, ended.base_ends_at) == (LATER, datetime(2024, 2, 20, tzinfo=UTC))
    assert (ended.state, ended.pending_change) == (SubscriptionState.TERMINATED, None)
    assert successor == replace(
        ACTIVE,
        subscription_id=NEW,
        plan_code="other",
        plan_version=3,
        starts_at=LATER,
        previous_id=ACTIVE.subscription_id,
        previous_plan_code=ACTIVE.plan_code,
    )


def test_a_promised_change_is_dated_when_it_was_promised_for() -> None:
    """However late the job that carries it out."""
    ended, successor = apply_change(PROMISED, new_id=NEW, at=LATER.replace(month=4), timezone="UTC")
    assert successor is not None
    assert ended.ended_at == ended.base_ends_at == successor.starts_at == MARCH


def test_a_promised_cancellation_has_no_successor() -> None:
    """It ends with its period, and no day after it is billed."""
    promised = schedule_change(ACTIVE, PendingChange(MARCH))
    assert promised.pending_change is not None
    assert promised.pending_change.plan_code is None
    ended, successor = apply_change(promised, new_id=NEW, at=MARCH, timezone="UTC")
    assert successor is None
    assert ended.base_ends_at == MARCH


def test_usage_never_mixes() -> None:
    """Every instant of a customer's life belongs to exactly one of old and new."""
    ended, successor = change_now(ACTIVE, new_id=NEW, plan=PLAN, at=LATER, timezone="UTC")
    for at in (START, LATER.replace(microsecond=1), LATER, MARCH):
        assert ended.covers(at) != successor.covers(at)
    assert not ACTIVE.covers(START.replace(hour=1))
    assert not PENDING.covers(LATER)
    assert not CANCELED.covers(LATER)


def test_usage_part() -> None:
    """A full period is cut at the start and at the end of the subscription."""
    february = Period(datetime(2024, 2, 1, tzinfo=UTC), MARCH)
    assert ACTIVE.usage_part(february) == Period(START, MARCH)
    assert TERMINATED.usage_part(february) == Period(START, LATER)
    assert ACTIVE.usage_part(Period(datetime(2024, 1, 1, tzinfo=UTC), february.start)) is None
    assert TERMINATED.usage_part(Period(MARCH, datetime(2024, 4, 1, tzinfo=UTC))) is None


def test_a_trial_ends_at_the_same_time_of_day() -> None:
    """Across a clock change too; it counts from the first start."""
    begun = replace(ACTIVE, first_started_at=datetime(2024, 3, 22, 1, 12, tzinfo=UTC))
    assert begun.trial_ends_at(replace(PLAN, trial_days=10), "Europe/Paris") == datetime(2024, 4, 1, 0, 12, tzinfo=UTC)
    assert begun.trial_ends_at(PLAN, "Europe/Paris") is None


def test_cadence() -> None:
    """The anchor and alignment are the subscription's, the interval the plan's, the zone the customer's."""
    cadence = ACTIVE.cadence(MONTHLY, "Europe/Paris")
    assert (cadence.anchor, cadence.alignment, cadence.timezone) == (START, Alignment.CALENDAR, "Europe/Paris")
