"""Upgrades, downgrades and cancellations: what they bill and what they give back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from farebox.rating.v1 import invoice_service_pb2, subscription_service_pb2
from services.chassis.config import Settings
from tests.support.rating.billing import Billing, fees_of, running_billing
from tests.support.rating.server import standard_charge

APRIL = datetime(2024, 4, 1, tzinfo=UTC)
MIDDLE = datetime(2024, 4, 16, tzinfo=UTC)
MAY = datetime(2024, 5, 1, tzinfo=UTC)
JUNE = datetime(2024, 6, 1, tzinfo=UTC)


@pytest.fixture
def billing(settings_for: Callable[[str], Settings]) -> Iterator[Billing]:
    with running_billing(settings_for("rating")) as running:
        running.clock(APRIL)
        running.tenant.metric("calls")
        charges = [standard_charge("calls", "1")]
        running.tenant.plan("small", amount_cents=3000, pay_in_advance=True, charges=charges)
        running.tenant.plan("large", amount_cents=6000, pay_in_advance=True, charges=charges)
        running.tenant.plan("arrears", amount_cents=3000, charges=charges)
        yield running


def test_a_base_price_in_advance_is_invoiced_at_the_start_and_with_each_period(billing: Billing) -> None:
    subscription = billing.subscribe("small")
    assert fees_of(billing.invoices()[0]) == {"small": 3000}
    billing.event(subscription, "calls", MIDDLE)
    billing.advance(MAY)
    assert fees_of(billing.invoices()[1]) == {"small": 3000, "calls": 100}


def test_an_upgrade_now_bills_the_rest_and_credits_the_unused(billing: Billing) -> None:
    subscription = billing.subscribe("small")
    billing.event(subscription, "calls", APRIL.replace(day=3))
    billing.advance(MIDDLE)
    request = subscription_service_pb2.ChangeSubscriptionPlanRequest(external_id="acme", plan_code="large")
    preview = subscription_service_pb2.ChangeSubscriptionPlanRequest(
        external_id="acme", plan_code="large", validate_only=True
    )
    shown = billing.tenant.call(billing.rating.subscriptions.ChangeSubscriptionPlan, preview).change
    done = billing.tenant.call(billing.rating.subscriptions.ChangeSubscriptionPlan, request).change
    assert (shown.credit_amount_cents, shown.due_amount_cents) == (done.credit_amount_cents, done.due_amount_cents)
    assert done.credit_amount_cents == 1500
    _, usage, upgrade = billing.invoices()
    assert fees_of(usage) == {"calls": 100}
    assert fees_of(upgrade) == {"large": 3000}
    assert (usage.credit_notes_amount_cents, upgrade.credit_notes_amount_cents) == (100, 1400), "credited before billed"
    billing.event(done.subscription, "calls", MIDDLE.replace(day=20))
    billing.advance(MAY)
    last = billing.invoices()[-1]
    assert fees_of(last) == {"large": 6000, "calls": 100}
    credited = sum(invoice.credit_notes_amount_cents for invoice in billing.invoices())
    assert credited == 1500, "the whole credit is used, once"


def test_a_cancellation_now_bills_its_day_and_ends_everything(billing: Billing) -> None:
    subscription = billing.subscribe("arrears")
    billing.event(subscription, "calls", APRIL.replace(day=3))
    billing.advance(MIDDLE.replace(hour=10))
    request = subscription_service_pb2.CancelSubscriptionRequest(external_id="acme", timing=1)
    billing.tenant.call(billing.rating.subscriptions.CancelSubscription, request)
    (invoice,) = billing.invoices()
    assert fees_of(invoice) == {"arrears": 1600, "calls": 100}
    billing.advance(JUNE)
    assert len(billing.invoices()) == 1


def test_a_cancellation_with_refund_gives_back_what_was_paid(billing: Billing) -> None:
    billing.subscribe("small")
    (invoice,) = billing.invoices()
    paid = invoice_service_pb2.RecordPaymentRequest(id=invoice.id, payment_state=2)
    billing.tenant.call(billing.invoicing.RecordPayment, paid)
    billing.advance(APRIL.replace(day=15, hour=10))
    request = subscription_service_pb2.CancelSubscriptionRequest(external_id="acme", timing=1, credit_action=2)
    change = billing.tenant.call(billing.rating.subscriptions.CancelSubscription, request).change
    assert (change.refund_amount_cents, change.credit_amount_cents) == (1500, 0)
    notes = billing.tenant.call(billing.invoicing.ListCreditNotes, invoice_service_pb2.ListCreditNotesRequest())
    (note,) = notes.credit_notes
    assert (note.number, note.refund_amount_cents, note.balance_amount_cents) == ("FBX-000001-CN1", 1500, 0)


def test_a_cancellation_at_the_period_end_opens_no_further_period(billing: Billing) -> None:
    billing.subscribe("arrears")
    request = subscription_service_pb2.CancelSubscriptionRequest(external_id="acme")
    billing.tenant.call(billing.rating.subscriptions.CancelSubscription, request)
    billing.advance(JUNE)
    (invoice,) = billing.invoices()
    assert fees_of(invoice) == {"arrears": 3000, "calls": 0}
