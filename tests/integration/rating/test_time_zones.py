"""A customer's new time zone reaches its running subscriptions where their period ends, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from farebox.rating.v1 import (
    customer_pb2,
    customer_service_pb2,
    domain_events_pb2,
    invoice_pb2,
    organization_pb2,
    organization_service_pb2,
    subscription_pb2,
    subscription_service_pb2,
)
from services.chassis.config import Settings
from tests.support.rating.billing import Billing, fees_of, running_billing
from tests.support.rating.server import standard_charge

BERLIN, NEW_YORK, TOKYO = "Europe/Berlin", "America/New_York", "Asia/Tokyo"
# Midnight in Berlin: of 1 April, 1 May and 1 June.
APRIL = datetime(2024, 3, 31, 22, tzinfo=UTC)
MAY = datetime(2024, 4, 30, 22, tzinfo=UTC)
# The midnights of New York that end May and June.
JUNE = datetime(2024, 6, 1, 4, tzinfo=UTC)
JULY = datetime(2024, 7, 1, 4, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def billing(settings_for: Callable[[str], Settings]) -> Iterator[Billing]:
    with running_billing(settings_for("rating"), timezone=BERLIN) as running:
        running.clock(APRIL)
        running.tenant.metric("calls")
        running.tenant.plan("basic", amount_cents=3000, charges=[standard_charge("calls", "1")])
        running.tenant.plan("prepaid", amount_cents=6200, pay_in_advance=True)
        yield running


def move(billing: Billing, timezone: str, customer: str = "acme") -> None:
    """Give a customer another time zone, or the organization's with an empty one."""
    details = customer_pb2.Customer(external_id=customer, timezone=timezone)
    request = customer_service_pb2.UpsertCustomerRequest(customer=details)
    request.update_mask.paths.append("timezone")
    billing.tenant.call(billing.rating.customers.UpsertCustomer, request)


def move_all(billing: Billing, timezone: str) -> None:
    """Give the organization another time zone."""
    request = organization_service_pb2.UpdateOrganizationRequest(
        organization=organization_pb2.Organization(timezone=timezone)
    )
    request.update_mask.paths.append("timezone")
    billing.tenant.call(billing.rating.organizations.UpdateOrganization, request)


def living(billing: Billing, external_id: str = "acme") -> subscription_pb2.Subscription:
    """The subscription with this external id."""
    request = subscription_service_pb2.GetSubscriptionRequest(external_id=external_id)
    return billing.tenant.call(billing.rating.subscriptions.GetSubscription, request).subscription


def refused(billing: Billing) -> list[bytes]:
    """The events that rating gave back to the log, by key."""
    bodies = billing.rating.announced("rating.usage.refused")
    return [r.event_key for body in bodies for r in domain_events_pb2.UsageRefused.FromString(body).refusals]


def spans(invoice: invoice_pb2.Invoice) -> dict[str, tuple[datetime, datetime]]:
    """From when to when each fee is."""
    return {fee.name: (fee.period.start.ToDatetime(UTC), fee.period.end.ToDatetime(UTC)) for fee in invoice.fees}


def test_a_period_ends_in_the_old_zone_and_the_next_one_in_the_new(billing: Billing) -> None:
    """From Berlin to New York: no second is billed twice or lost, and each month costs its base price once."""
    old = billing.subscribe("basic")
    billing.event(old, "calls", APRIL)
    billing.advance(APRIL + timedelta(days=9))
    move(billing, NEW_YORK)
    billing.advance(MAY - timedelta(hours=3))
    last, ahead = billing.event(old, "calls", MAY - SECOND), billing.event(old, "calls", MAY)
    billing.advance(MAY + timedelta(hours=1))
    assert refused(billing) == [ahead.event_key]
    new = living(billing)
    assert (new.id != old.id, new.started_at.ToDatetime(UTC), new.plan_code) == (True, MAY, "basic")
    # The log announces it again for the subscription that took over; the last two are of New York's April and June.
    billing.log.void(ahead)
    for at in (MAY, MAY + timedelta(hours=5), JUNE - SECOND):
        billing.event(new, "calls", at)
    billing.advance(JUNE)
    billing.event(new, "calls", JUNE)
    billing.advance(JULY)
    invoices = billing.invoices()
    assert [fees_of(invoice) for invoice in invoices] == [
        {"basic": 3000, "calls": 200},
        {"basic": 3000, "calls": 300},
        {"basic": 3000, "calls": 100},
    ]
    months = [(APRIL, MAY), (MAY, JUNE), (JUNE, JULY)]
    assert [spans(invoice) for invoice in invoices] == [{"basic": month, "calls": month} for month in months]
    assert last.occurred_at < MAY


def test_the_organizations_zone_reaches_customers_that_have_none(billing: Billing) -> None:
    """From Berlin to Tokyo, with a base price in advance; a customer with a zone of its own stays in it."""
    for customer in ("acme", "globex"):
        billing.subscribe("prepaid", customer)
    move(billing, BERLIN, "globex")
    move_all(billing, TOKYO)
    billing.advance(MAY)
    end_of_may = datetime(2024, 5, 31, 15, tzinfo=UTC)
    billing.advance(end_of_may)
    billing.advance(datetime(2024, 5, 31, 22, tzinfo=UTC))
    by_customer: dict[str, list[Any]] = {"acme": [], "globex": []}
    for invoice in billing.invoices():
        by_customer[invoice.customer.external_id] += [spans(invoice)[name] for name in fees_of(invoice)]
        assert fees_of(invoice) == {"prepaid": 6200}
    assert by_customer["acme"][:2] == [(APRIL, MAY), (MAY, end_of_may)]
    assert by_customer["globex"][:2] == [(APRIL, MAY), (MAY, datetime(2024, 5, 31, 22, tzinfo=UTC))]


def test_a_zone_that_is_taken_back_changes_nothing(billing: Billing) -> None:
    """Only the zone at the period's end counts; a change of plan that waits for it takes the zone over, too."""
    kept, moved = billing.subscribe("prepaid", "kept"), billing.subscribe("prepaid", "moved")
    move(billing, NEW_YORK, "kept")
    move(billing, NEW_YORK, "moved")
    move(billing, "", "kept")
    request = subscription_service_pb2.ChangeSubscriptionPlanRequest(
        external_id="moved", plan_code="basic", timing=subscription_service_pb2.CHANGE_TIMING_PERIOD_END
    )
    billing.tenant.call(billing.rating.subscriptions.ChangeSubscriptionPlan, request)
    billing.advance(JUNE)
    assert (living(billing, "kept").id, living(billing, "moved").plan_code) == (kept.id, "basic")
    mine = [invoice for invoice in billing.invoices() if invoice.customer.external_id == "moved"]
    assert moved.id != living(billing, "moved").id
    assert [spans(invoice) for invoice in mine][1:] == [{"basic": (MAY, JUNE), "calls": (MAY, JUNE)}]
