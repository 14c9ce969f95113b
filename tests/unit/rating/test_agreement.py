"""Agreements as pure values: their periods, what is due, what was billed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.kernel.cadence import Alignment
from services.kernel.ids import CustomerId, OrganizationId, PlanId, SubscriptionId
from services.kernel.money import CURRENCIES
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.billing_outcome import BillingOutcome
from services.rating.agreements.subscription import PendingChange, Subscription, change_now, terminate
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


FIRST_OF_FEBRUARY = datetime(2024, 2, 1, 5, tzinfo=UTC)
JANUARY = Period(datetime(2024, 1, 1, 5, tzinfo=UTC), FIRST_OF_FEBRUARY)


def _midnight(day: int) -> datetime:
    """The first instant of a day of January in New York."""
    return datetime(2024, 1, day, 5, tzinfo=UTC)


def test_whose_a_day_is() -> None:
    """The day of a start and of a termination is the subscription's whole, the day of a change its successor's."""
    at = datetime(2024, 1, 25, 14, tzinfo=UTC)
    running = agreement()
    assert running.usage_days(JANUARY) == Period(_midnight(15), FIRST_OF_FEBRUARY)
    over = terminate(running.subscription, at=at, timezone="America/New_York")
    assert running.moved(over).usage_days(Period(START, at)) == Period(_midnight(15), _midnight(26))
    plan = Plan("other", CURRENCIES["USD"])
    old, new = change_now(
        running.subscription, new_id=SubscriptionId("n"), plan=plan, at=at, timezone="America/New_York"
    )
    assert running.moved(old).usage_days(Period(START, at)) == Period(_midnight(15), _midnight(25))
    assert running.moved(new).usage_days(Period(at, FIRST_OF_FEBRUARY)) == Period(_midnight(25), FIRST_OF_FEBRUARY)


def test_a_running_period_has_the_days_until_today() -> None:
    """As if it ended with the given day; before its first instant it has none."""
    now = datetime(2024, 1, 18, 3, tzinfo=UTC)
    assert agreement().usage_days(Period(START, now)) == Period(_midnight(15), _midnight(18))
    assert agreement().usage_days(Period(JANUARY.start, JANUARY.start)) is None


def test_an_end_at_a_boundary_has_one_day() -> None:
    """The day of termination is the subscription's though no instant of its period is."""
    over = terminate(agreement().subscription, at=FIRST_OF_FEBRUARY, timezone="America/New_York")
    days = agreement().moved(over).usage_days(Period(FIRST_OF_FEBRUARY, FIRST_OF_FEBRUARY))
    assert days == Period(FIRST_OF_FEBRUARY, FIRST_OF_FEBRUARY + timedelta(days=1))


def test_days_that_bear_the_base_price() -> None:
    """In a trial from the day on which it ends; none of a subscription that ends before it."""
    trialled = agreement()
    assert trialled.base_days(JANUARY) == Period(_midnight(25), FIRST_OF_FEBRUARY)
    early = terminate(trialled.subscription, at=datetime(2024, 1, 25, 11, tzinfo=UTC), timezone="America/New_York")
    assert trialled.moved(early).base_days(JANUARY) is None
    late = terminate(trialled.subscription, at=datetime(2024, 1, 25, 13, tzinfo=UTC), timezone="America/New_York")
    assert trialled.moved(late).base_days(JANUARY) == Period(_midnight(25), _midnight(26))


def test_a_trial_free_of_usage_has_no_days_of_usage() -> None:
    """They begin with the day on which it ends."""
    free = replace(agreement(), plan_version=replace(agreement().plan_version, bill_usage_in_trial=False))
    assert free.usage_days(Period(START, FIRST_OF_FEBRUARY)) == Period(_midnight(25), FIRST_OF_FEBRUARY)
