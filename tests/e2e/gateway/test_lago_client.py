"""Lago's own Python client, unmodified: every answer satisfies its models, which insist on their fields."""

from __future__ import annotations

from typing import Any

import pytest
from lago_python_client.client import Client
from lago_python_client.exceptions import LagoApiError
from lago_python_client.models import (
    BatchEvent,
    BillableMetric,
    BillableMetricFilter,
    BillableMetricFilters,
    Charge,
    Charges,
    Coupon,
    Customer,
    Event,
    Plan,
    Subscription,
    Tax,
)

from benchmarks import lago_story
from farebox.testing import FareboxServer, Rest
from services.chassis.wait import wait_until
from tests.support.patience import PATIENCE_SECONDS

GRADUATED = [
    {"from_value": 0, "to_value": 10, "per_unit_amount": "1", "flat_amount": "2"},
    {"from_value": 11, "to_value": None, "per_unit_amount": "0.5", "flat_amount": "0"},
]


@pytest.fixture
def story(lago: Client, rest: Rest) -> Client:
    """A metric, a plan and a subscription, made with the client, in January 2024."""
    rest.post("/test_clock", {"now": "2024-01-01T00:00:00Z"})
    filters = BillableMetricFilters(__root__=[BillableMetricFilter(key="region", values=["eu", "us"])])
    metric = lago.billable_metrics.create(
        BillableMetric(name="Calls", code="calls", aggregation_type="count_agg", filters=filters)
    )
    charge = Charge(
        billable_metric_id=metric.lago_id, charge_model="graduated", properties={"graduated_ranges": GRADUATED}
    )
    lago.plans.create(
        Plan(
            name="Pro",
            code="pro",
            interval="monthly",
            amount_cents=1000,
            amount_currency="EUR",
            pay_in_advance=False,
            charges=Charges(__root__=[charge]),
        )
    )
    lago.customers.create(Customer(external_id="acme", name="Acme", currency="EUR", country="FR"))
    lago.subscriptions.create(Subscription(external_customer_id="acme", plan_code="pro", external_id="acme-pro"))
    return lago


def test_the_catalog_reads_back(story: Client) -> None:
    metric = story.billable_metrics.find("calls")
    assert metric.filters.__root__[0].values == ["eu", "us"]
    plan = story.plans.find("pro")
    assert plan.charges.__root__[0].billable_metric_code == "calls"
    assert plan.charges.__root__[0].properties["graduated_ranges"][0]["per_unit_amount"] == "1"
    assert [plan.code for plan in story.plans.find_all({"per_page": 10})["plans"]] == ["pro"]
    assert story.plans.find_all()["meta"]["total_count"] == 1
    renamed = story.plans.update(Plan(name="Professional"), "pro")
    assert (renamed.name, renamed.amount_cents) == ("Professional", 1000)


def test_customers_and_subscriptions_read_back(story: Client) -> None:
    assert story.customers.find("acme").applicable_timezone
    assert [customer.external_id for customer in story.customers.find_all()["customers"]] == ["acme"]
    held = story.subscriptions.find("acme-pro")
    assert (held.status, held.plan_code, held.billing_time) == ("active", "pro", "calendar")
    listed = story.subscriptions.find_all({"external_customer_id": "acme"})
    assert [subscription.external_id for subscription in listed["subscriptions"]] == ["acme-pro"]


def test_events_current_usage_and_the_invoice(story: Client, rest: Rest) -> None:
    sent: Any = {"external_subscription_id": "acme-pro", "code": "calls", "timestamp": 1704067200}
    story.events.create(Event(transaction_id="one", **sent))
    story.events.batch_create(BatchEvent(events=[Event(transaction_id=f"t{n}", **sent) for n in range(11)]))
    assert story.events.find("one").timestamp == "2024-01-01T00:00:00Z"

    def usage() -> Any:
        return story.customers.current_usage("acme", "acme-pro").charges_usage

    wait_until(lambda: usage() and usage()[0].units == "12", timeout=PATIENCE_SECONDS, what="the events to be counted")
    (charge,) = usage()
    # ten at 1, two more at 0.5, and 2 for entering the first tier
    assert (charge.amount_cents, charge.events_count) == (1300, 12)

    rest.post("/test_clock/advance", {"to": "2024-02-01T00:00:00Z"})
    (listed,) = story.invoices.find_all({"external_customer_id": "acme"})["invoices"]
    invoice = story.invoices.find(listed.lago_id)
    assert (invoice.status, invoice.total_amount_cents, invoice.currency) == ("finalized", 2300, "EUR")
    assert sorted(fee.amount_cents for fee in invoice.fees.__root__ if fee.amount_cents) == [1000, 1300]
    past = story.customers.past_usage("acme", "acme-pro")["usage_periods"]
    assert past[0].amount_cents == 1300


def test_coupons_and_taxes(story: Client) -> None:
    tax = story.taxes.create(Tax(name="VAT", code="vat", rate=20.0, applied_to_organization=True))
    assert tax.rate == 20.0
    coupon = story.coupons.create(
        Coupon(
            name="Ten",
            code="ten",
            coupon_type="percentage",
            percentage_rate=10.0,
            frequency="once",
            expiration="no_expiration",
        )
    )
    assert coupon.percentage_rate == 10.0


def test_the_story_of_a_new_organization_without_a_pause(farebox_server: FareboxServer) -> None:
    """In real time, each step right after the one before: every event is accepted as it is sent, none is set aside.

    `make bench BENCH=lago_story` tells it twenty times.
    """
    for _ in range(2):
        with farebox_server.new_organization() as organization:
            assert lago_story.tell(organization) == ["accepted"] * lago_story.EVENTS


def test_refusals_have_lagos_shape(story: Client) -> None:
    with pytest.raises(LagoApiError) as unknown:
        story.plans.find("no-such-plan")
    assert (unknown.value.status_code, unknown.value.response["code"]) == (404, "plan_not_found")
    with pytest.raises(LagoApiError) as taken:
        story.billable_metrics.create(BillableMetric(name="Calls", code="calls", aggregation_type="count_agg"))
    assert taken.value.status_code == 422
    assert taken.value.response["error_details"] == {"code": ["value_already_exist"]}
    with pytest.raises(LagoApiError) as incomplete:
        story.events.create(Event(transaction_id="", external_subscription_id="acme-pro", code="calls"))
    assert incomplete.value.response["error_details"] == {"transaction_id": ["value_is_mandatory"]}
