"""Trials, commitments, yearly plans with monthly charges, recurring metrics, and usage seen other ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from farebox.rating.v1 import (
    billable_metric_pb2,
    domain_events_pb2,
    fee_pb2,
    plan_pb2,
    subscription_service_pb2,
    usage_service_pb2,
)
from services.chassis.config import Settings
from tests.support.rating.billing import Billing, fees_of, running_billing
from tests.support.rating.server import plan, standard_charge

JANUARY = datetime(2024, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2024, 2, 1, tzinfo=UTC)
MARCH = datetime(2024, 3, 1, tzinfo=UTC)
NEXT_YEAR = datetime(2025, 1, 1, tzinfo=UTC)
KINDS = billable_metric_pb2.BillableMetric
YEAR = plan_pb2.BillingInterval(unit=plan_pb2.BillingInterval.UNIT_YEAR, count=1)


@pytest.fixture
def billing(settings_for: Callable[[str], Settings]) -> Iterator[Billing]:
    with running_billing(settings_for("rating")) as running:
        running.clock(JANUARY)
        running.tenant.metric("calls")
        running.tenant.metric("seats", aggregation=KINDS.AGGREGATION_UNIQUE_COUNT, field_name="seat", recurring=True)
        running.tenant.metric("stored", aggregation=KINDS.AGGREGATION_SUM, field_name="gb", recurring=True)
        yield running


def units(invoice: object) -> dict[str, str]:
    return {fee.metric_code: fee.units.value for fee in invoice.fees if fee.metric_code}


def test_a_yearly_plan_bills_charges_monthly_and_its_base_once(billing: Billing) -> None:
    billing.tenant.plan(
        "year", amount_cents=12000, interval=YEAR, bill_charges_monthly=True, charges=[standard_charge("calls", "1")]
    )
    subscription = billing.subscribe("year")
    billing.event(subscription, "calls", JANUARY.replace(day=5))
    billing.advance(NEXT_YEAR)
    invoices = billing.invoices()
    assert len(invoices) == 12
    assert fees_of(invoices[0]) == {"calls": 100}
    assert fees_of(invoices[-1]) == {"year": 12000, "calls": 0}


def test_a_minimum_commitment_tops_up_what_the_period_lacks(billing: Billing) -> None:
    billing.tenant.plan(
        "committed",
        amount_cents=1000,
        pay_in_advance=True,
        minimum_commitment_cents=5000,
        charges=[standard_charge("calls", "1")],
    )
    subscription = billing.subscribe("committed")
    billing.event(subscription, "calls", JANUARY)
    billing.advance(FEBRUARY)
    invoice = billing.invoices()[-1]
    (commitment,) = [fee for fee in invoice.fees if fee.kind == fee_pb2.Fee.KIND_COMMITMENT]
    assert commitment.amount_cents == 5000 - 1000 - 100


def test_a_period_that_was_all_trial_owes_no_commitment(billing: Billing) -> None:
    billing.tenant.plan("tried", amount_cents=1000, trial_days=45, minimum_commitment_cents=5000)
    billing.subscribe("tried")
    billing.advance(FEBRUARY)
    assert billing.invoices() == []
    billing.advance(MARCH)
    (february,) = billing.invoices()
    assert february.fees_amount_cents == 5000, "the trial ended within it"


def test_a_trial_delays_the_base_price_and_may_make_usage_free(billing: Billing) -> None:
    billing.tenant.plan(
        "tried",
        pay_in_advance=True,
        trial_days=10,
        bill_usage_in_trial=False,
        charges=[standard_charge("calls", "1")],
    )
    subscription = billing.subscribe("tried")
    assert billing.invoices() == []
    billing.event(subscription, "calls", JANUARY.replace(day=5))
    billing.event(subscription, "calls", JANUARY.replace(day=15))
    billing.advance(JANUARY.replace(day=12))
    (trial_end,) = billing.invoices()
    assert fees_of(trial_end) == {"tried": 2032}, "21 of January's 31 days"
    billing.advance(FEBRUARY)
    assert units(billing.invoices()[-1]) == {"calls": "1"}


def test_recurring_metrics_carry_their_value_and_late_events_through_all_periods(billing: Billing) -> None:
    charges = [standard_charge("seats", "10"), standard_charge("stored", "1")]
    billing.tenant.plan("recurring", amount_cents=0, charges=charges)
    subscription = billing.subscribe("recurring")
    billing.event(subscription, "seats", JANUARY, seat="a")
    billing.event(subscription, "seats", JANUARY, seat="b")
    billing.event(subscription, "stored", JANUARY, gb=5)
    billing.advance(FEBRUARY)
    billing.event(subscription, "seats", FEBRUARY, seat="b", operation_type="remove")
    billing.event(subscription, "stored", FEBRUARY, gb="-2.5")
    assert {fee.metric_code: fee.units.value for fee in billing.current().fees} == {"seats": "1", "stored": "2.5"}
    billing.advance(MARCH)
    january, february = billing.invoices()
    assert units(january) == {"seats": "2", "stored": "5"}
    assert units(february) == {"seats": "1", "stored": "2.5"}
    for invoice in (january, february):
        rebuilt = billing.rebuild(invoice)
        assert rebuilt.equal, rebuilt.differences
    billing.event(subscription, "seats", JANUARY, seat="late")
    billing.event(subscription, "stored", JANUARY, gb=1)
    billing.advance(MARCH.replace(month=4))
    third = billing.invoices()[-1]
    adjusted = [fee for fee in third.fees if fee.kind == fee_pb2.Fee.KIND_ADJUSTMENT]
    assert sorted((fee.metric_code, fee.amount_cents) for fee in adjusted) == [
        ("seats", 1000),
        ("seats", 1000),
        ("stored", 100),
        ("stored", 100),
    ], "both closed periods owe the late seat and gigabyte"
    carried = {fee.metric_code: fee.units.value for fee in third.fees if fee.kind == fee_pb2.Fee.KIND_CHARGE}
    assert carried == {"seats": "2", "stored": "3.5"}
    rebuilt = billing.rebuild(third)
    assert rebuilt.equal, rebuilt.differences


def test_usage_is_projected_listed_and_simulated(billing: Billing) -> None:
    billing.tenant.plan("metered", amount_cents=3100, charges=[standard_charge("calls", "1")])
    subscription = billing.subscribe("metered")
    billing.event(subscription, "calls", JANUARY)
    billing.event(subscription, "calls", JANUARY)
    billing.advance(FEBRUARY)
    billing.event(subscription, "calls", FEBRUARY)
    whose = {"external_customer_id": "acme", "external_subscription_id": "acme"}
    past = billing.tenant.call(billing.usage.ListPastUsage, usage_service_pb2.ListPastUsageRequest(**whose)).usage
    assert [(summary.amount_cents, len(summary.invoice_id)) for summary in past] == [(200, 36)]
    draft = plan("cheap", amount_cents=6200, charges=[standard_charge("calls", "2")])
    request = usage_service_pb2.SimulatePlanRequest(**whose, draft=draft)
    answer = billing.tenant.call(billing.usage.SimulatePlan, request)
    assert [summary.amount_cents for summary in answer.simulated] == [6200 + 400]
    assert [summary.amount_cents for summary in answer.actual] == [3100 + 200]
    billing.advance(FEBRUARY.replace(day=15, hour=12))
    projected = billing.tenant.call(
        billing.usage.GetProjectedUsage, usage_service_pb2.GetProjectedUsageRequest(**whose)
    )
    assert (projected.usage.amount_cents, projected.projected.amount_cents) == (100, 200), "half of February is over"


def test_accrued_revenue_is_announced_as_totals_and_ends_with_the_invoice(billing: Billing) -> None:
    billing.tenant.plan("metered", amount_cents=3100, charges=[standard_charge("calls", "0.333")])
    subscription = billing.subscribe("metered")
    billing.event(subscription, "calls", JANUARY)
    billing.advance(JANUARY.replace(day=2))
    billing.event(subscription, "calls", JANUARY.replace(day=2))
    billing.advance(FEBRUARY)
    bodies = billing.rating.announced("rating.revenue.accrued")
    messages = [domain_events_pb2.RevenueAccrued.FromString(body) for body in bodies]
    accrued = [event for message in messages for event in (message, *message.others)]
    january = [event for event in accrued if event.billing_period.start.ToDatetime(tzinfo=UTC) == JANUARY]
    assert [event.revision for event in january] == sorted({event.revision for event in january})

    def total(event: domain_events_pb2.RevenueAccrued) -> Decimal:
        return sum((Decimal(entry.amount.value) for entry in event.entries), Decimal(0))

    # The base price from the start, then usage as well.
    assert [total(event) for event in january[:2]] == [Decimal(31), Decimal("31.333")]
    (invoice,) = billing.invoices()
    assert total(january[-1]) == Decimal(invoice.fees_amount_cents).scaleb(-2)


def test_revenue_after_a_change_of_plan_has_what_was_used_before(billing: Billing) -> None:
    """Also of a charge that splits usage otherwise than the plan before: the log is asked before the period ends."""
    billing.tenant.plan("small", amount_cents=0, charges=[standard_charge("stored", "1")])
    billing.tenant.plan("large", amount_cents=3100, charges=[standard_charge("stored", "1", group_by=["team"])])
    subscription = billing.subscribe("small")
    billing.event(subscription, "stored", JANUARY, gb=5, team="red")
    billing.advance(JANUARY.replace(day=16))
    request = subscription_service_pb2.ChangeSubscriptionPlanRequest(external_id="acme", plan_code="large")
    changed = billing.tenant.call(billing.rating.subscriptions.ChangeSubscriptionPlan, request).change.subscription
    billing.advance(JANUARY.replace(day=17))
    bodies = billing.rating.announced("rating.revenue.accrued")
    accrued = [domain_events_pb2.RevenueAccrued.FromString(body) for body in bodies]
    (*_, last) = [each for each in accrued if each.subscription_id == changed.id]
    usage = [entry for entry in last.entries if entry.kind == domain_events_pb2.RevenueAccrued.KIND_USAGE]
    assert [entry.amount.value for entry in usage] == ["2.58064516129"], "16 of 31 days of 5.00"
