"""Agreements as pure values: their periods, what is due, what was billed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from services.kernel.cadence import Alignment
from services.kernel.ids import CustomerId, OrganizationId, PlanId, SubscriptionId
from services.kernel.money import CURRENCIES
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.billing_outcome import BillingOutcome
from services.rating.agreements.subscription import PendingChange, Subscription
from services.rating.pricing.catalog import PlanVersion
from services.rating.pricing.plan import Plan
from services.rating.shared.subscription_state import SubscriptionState

START = datetime(2024, 1, 15, 12, tzinfo=UTC)


def agreement(**fields: object) -> Agreement:
    subscription = Subscription(
        subscription_id=SubscriptionId("s"),
        external_id="sub-1",
        customer_id=CustomerId("c"),
        plan_code="pro",
        plan_version=1,
        alignment=Alignment.CALENDAR,
        anchor=START,
        starts_at=START,
        first_started_at=START,
        state=SubscriptionState.ACTIVE,
    )
    plan = PlanVersion(PlanId("p"), Plan("pro", CURRENCIES["USD"], name="Pro", trial_days=10), START)
    subscription = replace(subscription, **fields)
    return Agreement(OrganizationId("o"), subscription, plan, "alice", "America/New_York", "", START)


def test_a_period_is_cut_to_the_subscriptions_life() -> None:
    """Days are New York's, five hours behind UTC in winter."""
    first = Period(START, datetime(2024, 2, 1, 5, tzinfo=UTC))
    assert agreement().period_at(START) == first
    assert agreement().period_at(datetime(2024, 1, 15, 11, tzinfo=UTC)) is None
    ended = datetime(2024, 1, 20, tzinfo=UTC)
    over = agreement(state=SubscriptionState.TERMINATED, ended_at=ended)
    assert over.period_at(START) == Period(START, ended)
    assert over.period_at(ended) is None


def test_what_is_due_first() -> None:
    """A start; then a change, the trial's end or the agreed end, whichever comes first; an ended one has nothing."""
    change, trial = datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 1, 25, tzinfo=UTC)
    running = agreement(pending_change=PendingChange(change))
    assert running.due_at == change
    assert replace(running, trial_end_due_at=trial).due_at == trial
    assert replace(running, ending_at=START).due_at == START
    assert agreement(state=SubscriptionState.PENDING).due_at == START
    assert agreement(state=SubscriptionState.TERMINATED, ended_at=START).due_at is None
    assert agreement().due_at is None


def test_what_was_billed_adds_up_and_names_an_invoice_once() -> None:
    one, other = BillingOutcome(("i1",), 5, 1), BillingOutcome(("i1", "i2"), 2, 0, 3, 4)
    assert one + other == BillingOutcome(("i1", "i2"), 7, 1, 3, 4)
