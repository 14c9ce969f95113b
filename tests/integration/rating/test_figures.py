"""Figures by month, over invoices and subscriptions that were made month by month."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import grpc
import pytest

from farebox.rating.v1 import credit_note_pb2, figures_pb2, invoice_pb2
from farebox.rating.v1 import invoice_service_pb2 as pb
from farebox.rating.v1 import subscription_service_pb2 as subscriptions_pb
from services.chassis.config import Settings
from services.chassis.rpc.errors import field_violations
from tests.support.rating.billing import Billing, running_billing
from tests.support.rating.server import standard_charge

JANUARY, FEBRUARY, MARCH = (datetime(2024, month, 1, tzinfo=UTC) for month in (1, 2, 3))


@pytest.fixture
def billing(settings_for: Callable[[str], Settings]) -> Iterator[Billing]:
    """Two months of a plan of 30.00 with usage, whose first invoice is paid; the second is overdue in March."""
    with running_billing(settings_for("rating"), net_payment_term_days=0) as running:
        running.clock(JANUARY)
        running.tenant.metric("calls")
        running.tenant.plan(charges=[standard_charge("calls", "1")])
        subscription = running.subscribe()
        running.event(subscription, "calls", JANUARY)
        running.advance(FEBRUARY)
        running.advance(MARCH)
        yield running


def figures(billing: Billing, which: int, **wanted: object) -> list[figures_pb2.MonthlyFigure]:
    request = pb.ListMonthlyFiguresRequest(figures=which, **wanted)
    return list(billing.tenant.call(billing.invoicing.ListMonthlyFigures, request).figures)


def invoices(billing: Billing) -> list[invoice_pb2.Invoice]:
    return sorted(billing.invoices(), key=lambda invoice: invoice.issuing_date)


def test_what_was_invoiced_is_added_up_by_month(billing: Billing) -> None:
    first, second = invoices(billing)
    paid = pb.RecordPaymentRequest(id=first.id, payment_state=invoice_pb2.Invoice.PAYMENT_STATE_SUCCEEDED)
    billing.tenant.call(billing.invoicing.RecordPayment, paid)
    refund = pb.CreateCreditNoteRequest(
        invoice_id=first.id,
        items=[credit_note_pb2.CreditNote.Item(fee_id=first.fees[0].id, amount_cents=500)],
        refund_amount_cents=500,
    )
    billing.tenant.call(billing.invoicing.CreateCreditNote, refund)

    gross = figures(billing, figures_pb2.FIGURES_GROSS_REVENUE)
    totals = [first.total_amount_cents - 500, second.total_amount_cents]
    assert [(figure.month, figure.amount_cents) for figure in gross] == list(
        zip(["2024-02-01", "2024-03-01"], totals, strict=True)
    )
    assert {(figure.currency, figure.invoice_count) for figure in gross} == {("USD", 1)}
    collected = figures(billing, figures_pb2.FIGURES_INVOICE_COLLECTION)
    assert [(figure.payment_state, figure.amount_cents) for figure in collected] == [
        (invoice_pb2.Invoice.PAYMENT_STATE_SUCCEEDED, first.total_amount_cents),
        (invoice_pb2.Invoice.PAYMENT_STATE_PENDING, second.total_amount_cents),
    ]
    usage = figures(billing, figures_pb2.FIGURES_INVOICED_USAGE, external_customer_id="acme")
    assert [(figure.month, figure.metric_code, figure.amount_cents) for figure in usage if figure.amount_cents] == [
        ("2024-02-01", "calls", 100)
    ]
    assert figures(billing, figures_pb2.FIGURES_GROSS_REVENUE, external_customer_id="nobody") == []
    assert figures(billing, figures_pb2.FIGURES_GROSS_REVENUE, currency="EUR") == []
    assert [figure.month for figure in figures(billing, figures_pb2.FIGURES_GROSS_REVENUE, months=1)] == ["2024-03-01"]


def test_what_is_overdue_is_named_by_its_due_month(billing: Billing) -> None:
    """However many months are wanted; on its due day an invoice is not overdue yet."""
    first, _ = invoices(billing)
    (figure,) = figures(billing, figures_pb2.FIGURES_OVERDUE_BALANCE, months=1)
    assert (figure.month, figure.amount_cents) == ("2024-02-01", first.total_amount_cents)
    assert list(figure.invoice_ids) == [first.id]


def test_recurring_revenue_is_of_those_who_are_there_at_a_months_end(billing: Billing) -> None:
    """Not of who is in a trial, and no longer of who has left."""
    billing.tenant.plan("trial", amount_cents=1200, trial_days=20)
    for external_id, plan_code in (("trial", "trial"), ("second", "pro")):
        asked = subscriptions_pb.CreateSubscriptionRequest(
            external_customer_id="acme", external_id=external_id, plan_code=plan_code
        )
        billing.tenant.call(billing.rating.subscriptions.CreateSubscription, asked)
    recurring = figures(billing, figures_pb2.FIGURES_MONTHLY_RECURRING_REVENUE, months=4)
    assert [(figure.month, figure.amount_cents) for figure in recurring] == [
        ("2023-12-01", 0),
        ("2024-01-01", 3000),
        ("2024-02-01", 3000),
        ("2024-03-01", 6000),
    ]
    billing.advance(datetime(2024, 3, 25, tzinfo=UTC))
    ended = subscriptions_pb.CancelSubscriptionRequest(external_id="second", timing=subscriptions_pb.CHANGE_TIMING_NOW)
    billing.tenant.call(billing.rating.subscriptions.CancelSubscription, ended)
    assert figures(billing, figures_pb2.FIGURES_MONTHLY_RECURRING_REVENUE, months=1)[0].amount_cents == 4200


def test_what_cannot_be_added_up_is_named(billing: Billing) -> None:
    def fields(**said: object) -> list[str]:
        with pytest.raises(grpc.RpcError) as error:
            billing.tenant.call(billing.invoicing.ListMonthlyFigures, pb.ListMonthlyFiguresRequest(**said))
        return [violation.field for violation in field_violations(error.value)]

    assert fields() == ["figures"]
    recurring = figures_pb2.FIGURES_MONTHLY_RECURRING_REVENUE
    assert fields(figures=recurring, months=37, external_customer_id="acme") == ["months", "external_customer_id"]
