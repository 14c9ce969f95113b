"""Ends within a period, at its very start, in a trial, and before events that are ahead of their time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from farebox.rating.v1 import billable_metric_pb2, domain_events_pb2, subscription_pb2, subscription_service_pb2
from services.chassis.config import Settings
from services.chassis.wait import wait_until
from services.rating.shared.usage_log import UsageEntry
from services.rating.usage.billing_period import BillingPeriod
from services.rating.usage.commands.count import Memory, count_usage
from services.rating.usage.store import periods
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rating.billing import Billing, fees_of, running_billing
from tests.support.rating.server import standard_charge, timestamp

APRIL = datetime(2024, 4, 1, tzinfo=UTC)
NOON = datetime(2024, 4, 16, 12, tzinfo=UTC)
EVENING = NOON.replace(hour=20)
MAY = datetime(2024, 5, 1, tzinfo=UTC)
EARLY_MAY = MAY + timedelta(hours=2)
JUNE = datetime(2024, 6, 1, tzinfo=UTC)
NOW = subscription_service_pb2.CHANGE_TIMING_NOW


@pytest.fixture
def billing(settings_for: Callable[[str], Settings]) -> Iterator[Billing]:
    with running_billing(settings_for("rating")) as running:
        running.clock(APRIL)
        running.tenant.metric("calls")
        charges = [standard_charge("calls", "1")]
        running.tenant.plan("small", amount_cents=3100, charges=charges)
        running.tenant.plan("large", amount_cents=6200, charges=charges)
        running.tenant.plan("prepaid", amount_cents=3100, pay_in_advance=True, charges=charges)
        running.tenant.plan("tried", amount_cents=3100, trial_days=14, charges=charges)
        yield running


def change(billing: Billing, plan: str, **fields: Any) -> subscription_pb2.Subscription:
    """Move to another plan; the subscription that has it, or will."""
    request = subscription_service_pb2.ChangeSubscriptionPlanRequest(external_id="acme", plan_code=plan, **fields)
    return billing.tenant.call(billing.rating.subscriptions.ChangeSubscriptionPlan, request).change.subscription


def cancel(billing: Billing, **fields: Any) -> subscription_pb2.SubscriptionChange:
    """End the subscription."""
    request = subscription_service_pb2.CancelSubscriptionRequest(external_id="acme", **fields)
    return billing.tenant.call(billing.rating.subscriptions.CancelSubscription, request).change


def refused(billing: Billing) -> list[bytes]:
    """The events that rating has refused, by key."""
    bodies = billing.rating.announced("rating.usage.refused")
    refusals = [refusal for body in bodies for refusal in domain_events_pb2.UsageRefused.FromString(body).refusals]
    own = [refusal for refusal in refusals if refusal.organization_id == billing.tenant.organization_id]
    assert {refusal.reason for refusal in own} <= {"SUBSCRIPTION_NOT_ACTIVE"}
    return [refusal.event_key for refusal in own]


def counted(billing: Billing, subscription: subscription_pb2.Subscription) -> int:
    """Events that are counted for a subscription, in whatever period."""
    with billing.rating.deps.db.worker_transaction() as tx:
        total: int = tx.exec_driver_sql(
            "SELECT coalesce(sum(event_count), 0)::int FROM usage_aggregates WHERE subscription_id = %s "
            "AND bucket = ''",
            (subscription.id,),
        ).scalar_one()
    return total


def remembered(billing: Billing) -> int:
    """Events that are remembered as ahead."""
    with billing.rating.deps.db.worker_transaction() as tx:
        count: int = tx.exec_driver_sql(
            "SELECT count(*) FROM usage_ahead WHERE organization_id = %s", (billing.tenant.organization_id,)
        ).scalar_one()
    return count


def test_a_change_at_a_boundary_bills_the_ended_period_once(billing: Billing) -> None:
    billing.subscribe("small")
    billing.advance(MAY)
    change(billing, "large", timing=NOW)
    assert [fees_of(invoice) for invoice in billing.invoices()] == [{"small": 3100, "calls": 0}]
    billing.advance(JUNE)
    assert [fees_of(invoice) for invoice in billing.invoices()][1:] == [{"large": 6200, "calls": 0}]


def test_a_change_at_a_boundary_credits_what_was_just_billed_in_advance(billing: Billing) -> None:
    billing.subscribe("prepaid")
    billing.advance(MAY)
    change(billing, "small", timing=NOW)
    (note,) = billing.credit_notes()
    assert note.total_amount_cents == 3100, "none of May is used"
    billing.advance(JUNE)
    last = billing.invoices()[-1]
    assert (fees_of(last), last.credit_notes_amount_cents) == ({"small": 3100, "calls": 0}, 3100)


@pytest.mark.parametrize(("plan", "fees", "credited"), [("small", [{"small": 100}], []), ("prepaid", [], [3000])])
def test_a_cancellation_at_a_boundary_bills_its_own_day(
    billing: Billing, plan: str, fees: list[dict[str, int]], credited: list[int]
) -> None:
    billing.subscribe(plan)
    billing.advance(MAY)
    before = len(billing.invoices())
    cancel(billing, timing=NOW)
    assert [fees_of(invoice) for invoice in billing.invoices()[before:]] == fees
    assert [note.total_amount_cents for note in billing.credit_notes()] == credited


def test_a_cancellation_on_the_day_on_which_the_trial_ends_bills_no_day(billing: Billing) -> None:
    billing.advance(APRIL.replace(day=2, hour=10))
    billing.subscribe("tried")
    billing.advance(APRIL.replace(day=16, hour=2))
    cancel(billing, timing=NOW)
    assert [fees_of(invoice) for invoice in billing.invoices()] == [{"calls": 0}]


@pytest.mark.parametrize("at", [NOON, EVENING, EARLY_MAY])
def test_an_event_ahead_of_a_change_is_handed_back(billing: Billing, at: datetime) -> None:
    """At the very instant, later in the period, and in a period to come."""
    old = billing.subscribe("small")
    billing.event(old, "calls", NOON - timedelta(hours=1))
    billing.advance(NOON)
    ahead = billing.event(old, "calls", at)
    new = change(billing, "large", timing=NOW)
    assert (refused(billing), counted(billing, old), remembered(billing)) == ([ahead.event_key], 1, 0)
    (invoice,) = billing.invoices()
    assert fees_of(invoice)["calls"] == 100
    billing.void(ahead)
    assert counted(billing, old) == 1, "the log takes back what was taken out already"
    billing.event(new, "calls", at)
    late = billing.event(old, "calls", EVENING)
    assert refused(billing)[1:] == [late.event_key]
    billing.advance(JUNE)
    assert sum(fees_of(invoice)["calls"] for invoice in billing.invoices()[1:]) == 100
    explained = billing.explain(next(fee for fee in invoice.fees if fee.name == "calls"))
    assert len(explained.events) == 1


def test_a_refusal_is_announced_before_the_end_that_caused_it(billing: Billing) -> None:
    """So the log has quarantined the event when it learns which subscription takes over."""
    old = billing.subscribe("small")
    billing.event(old, "calls", EVENING)
    billing.advance(NOON)
    change(billing, "large", timing=NOW)
    with billing.rating.deps.db.worker_transaction() as tx:
        subjects = tx.exec_driver_sql("SELECT subject FROM outbox ORDER BY id DESC LIMIT 8").scalars().all()
    assert subjects.index("rating.usage.refused") > subjects.index("rating.subscription.changed") + 1


def test_a_change_waits_for_a_batch_that_counts_for_a_period_to_come(billing: Billing) -> None:
    """Otherwise it would not see what the batch has counted after its end."""
    old = billing.subscribe("small")
    entry = billing.log.accept(billing.tenant.organization_id, old.id, "calls", EARLY_MAY)
    db, deps = billing.rating.deps.db, billing.rating.deps
    with ThreadPoolExecutor(1) as pool, db.worker_transaction() as tx:
        count_usage(deps, tx, Memory(), [entry])
        done = pool.submit(change, billing, "large", timing=NOW)
        wait_until(lambda: waits_for_a_lock(billing), timeout=PATIENCE_SECONDS, what="the change to wait")
        assert not done.done()
        tx.commit()
        done.result(timeout=PATIENCE_SECONDS)
    assert (refused(billing), counted(billing, old)) == ([entry.event_key], 0)


def waits_for_a_lock(billing: Billing) -> bool:
    """Whether any transaction waits for another."""
    with billing.rating.deps.db.worker_transaction() as tx:
        found: bool = tx.exec_driver_sql("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)").scalar_one()
    return found


def test_the_largest_value_ahead_gives_way_to_the_next(billing: Billing) -> None:
    largest = billable_metric_pb2.BillableMetric.AGGREGATION_MAX
    billing.tenant.metric("seats", aggregation=largest, field_name="n")
    billing.tenant.plan("seated", amount_cents=0, charges=[standard_charge("seats", "1")])
    old = billing.subscribe("seated")
    billing.advance(NOON)
    billing.event(old, "seats", NOON - timedelta(hours=1), n=5)
    billing.event(old, "seats", EVENING, n=9)
    cancel(billing, timing=NOW)
    (invoice,) = billing.invoices()
    assert fees_of(invoice) == {"seats": 500}


def test_an_event_after_a_promised_end_is_refused(billing: Billing) -> None:
    """And is not taken back twice when the promise is withdrawn before the log's void comes."""
    subscription = billing.subscribe("small")
    cancel(billing)
    billing.advance(MAY - timedelta(hours=1))
    after = billing.event(subscription, "calls", EARLY_MAY)
    before = billing.event(subscription, "calls", MAY - timedelta(minutes=30))
    assert (refused(billing), counted(billing, subscription)) == ([after.event_key], 1)
    withdraw = subscription_service_pb2.WithdrawSubscriptionChangeRequest(external_id="acme")
    billing.tenant.call(billing.rating.subscriptions.WithdrawSubscriptionChange, withdraw)
    billing.void(after)
    assert counted(billing, subscription) == 1
    billing.void(before)
    assert (counted(billing, subscription), remembered(billing)) == (0, 0)


@pytest.mark.parametrize("voided", [False, True])
def test_an_event_counted_before_its_subscriptions_end_was_promised(billing: Billing, *, voided: bool) -> None:
    subscription = billing.subscribe("small")
    billing.advance(MAY - timedelta(hours=2))
    ahead = billing.event(subscription, "calls", EARLY_MAY)
    cancel(billing)
    if voided:
        billing.void(ahead)
    assert counted(billing, subscription) == (0 if voided else 1)
    billing.advance(JUNE)
    assert (counted(billing, subscription), remembered(billing)) == (0, 0)
    assert refused(billing) == ([] if voided else [ahead.event_key])
    assert [fees_of(invoice) for invoice in billing.invoices()] == [{"small": 3100, "calls": 0}]


def test_an_event_after_an_agreed_end_is_refused(billing: Billing) -> None:
    subscription = billing.subscribe("small", ending_at=timestamp(NOON))
    billing.event(subscription, "calls", NOON - timedelta(hours=1))
    after = billing.event(subscription, "calls", NOON)
    assert (refused(billing), counted(billing, subscription)) == ([after.event_key], 1)


def test_events_that_nothing_can_cut_any_more_are_forgotten(billing: Billing) -> None:
    subscription = billing.subscribe("small")
    ahead: list[UsageEntry] = [billing.event(subscription, "calls", at) for at in (EVENING, MAY, EARLY_MAY)]
    assert remembered(billing) == len(ahead)
    billing.advance(MAY)
    assert remembered(billing) == len(ahead) - 1
    billing.void(ahead[0])
    assert (counted(billing, subscription), remembered(billing)) == (2, 2), "a late void is counted as ever"
    billing.advance(JUNE)
    assert remembered(billing) == 0
    april, may = billing.invoices()
    assert fees_of(april)["calls"] == 100
    assert may.fees_amount_cents == 3100 + 200 - 100, "adjusted"


def test_an_end_finds_the_open_period_however_fast_periods_are_closed(
    billing: Billing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that waited for a period which was closed meanwhile finds none; then the next one is looked for."""
    billing.subscribe("small")
    lock_open, waits = periods.lock_open, iter(range(4))

    def lock_in_vain(*key: Any) -> BillingPeriod | None:
        return None if next(waits, None) is not None else lock_open(*key)

    monkeypatch.setattr(periods, "lock_open", lock_in_vain)
    cancel(billing, timing=NOW)
    billing.advance(JUNE)
    with billing.rating.deps.db.worker_transaction() as tx:
        states = tx.exec_driver_sql(
            "SELECT state FROM billing_periods WHERE organization_id = %s", (billing.tenant.organization_id,)
        )
        assert set(states.scalars()) == {"closed"}
