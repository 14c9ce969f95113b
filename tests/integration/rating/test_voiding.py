"""Voiding returns the credits that an invoice used, and voids the credit notes on it: nobody gains or loses by it."""

from __future__ import annotations

from datetime import UTC, datetime

import grpc
import pytest

from farebox.common.v1 import money_pb2
from farebox.rating.v1 import (
    catalog_service_pb2,
    coupon_pb2,
    credit_note_pb2,
    customer_service_pb2,
    invoice_pb2,
    invoice_service_pb2,
)
from services.chassis.rpc.errors import error_info
from tests.support.rating.billing import Billing
from tests.support.rating.server import decimal

JANUARY = datetime(2024, 1, 1, tzinfo=UTC)
PAID = invoice_pb2.Invoice.PAYMENT_STATE_SUCCEEDED


def one_off(billing: Billing, cents: int = 1000) -> invoice_pb2.Invoice:
    item = invoice_service_pb2.CreateOneOffInvoiceRequest.Item(
        name="Setup", units=decimal("1"), unit_amount_cents=cents
    )
    request = invoice_service_pb2.CreateOneOffInvoiceRequest(external_customer_id="acme", items=[item])
    return billing.tenant.call(billing.invoicing.CreateOneOffInvoice, request).invoice


def void(billing: Billing, invoice: invoice_pb2.Invoice, **fields: object) -> invoice_service_pb2.VoidInvoiceResponse:
    request = invoice_service_pb2.VoidInvoiceRequest(id=invoice.id, **fields)
    return billing.tenant.call(billing.invoicing.VoidInvoice, request)


def pay(billing: Billing, invoice: invoice_pb2.Invoice, amount_cents: int = 0) -> None:
    request = invoice_service_pb2.RecordPaymentRequest(id=invoice.id, payment_state=PAID, amount_cents=amount_cents)
    billing.tenant.call(billing.invoicing.RecordPayment, request)


def credit(billing: Billing, invoice: invoice_pb2.Invoice, cents: int) -> credit_note_pb2.CreditNote:
    items = [credit_note_pb2.CreditNote.Item(fee_id=invoice.fees[0].id, amount_cents=cents)]
    request = invoice_service_pb2.CreateCreditNoteRequest(invoice_id=invoice.id, items=items, credit_amount_cents=cents)
    return billing.tenant.call(billing.invoicing.CreateCreditNote, request).credit_note


def give_coupon(billing: Billing, **fields: object) -> str:
    coupon = coupon_pb2.Coupon(code="c", name="C", amount=money_pb2.Money(amount_cents=400, currency="USD"), **fields)
    billing.tenant.call(billing.rating.catalog.CreateCoupon, catalog_service_pb2.CreateCouponRequest(coupon=coupon))
    apply = customer_service_pb2.ApplyCouponRequest(external_customer_id="acme", coupon_code="c")
    return billing.tenant.call(billing.rating.customers.ApplyCoupon, apply).applied_coupon.id


@pytest.mark.parametrize(
    ("terms", "taken"),
    [
        ({"frequency": coupon_pb2.Coupon.FREQUENCY_ONCE}, [400, 0]),
        ({"frequency": coupon_pb2.Coupon.FREQUENCY_RECURRING, "frequency_duration": 1}, [400, 0]),
        ({"frequency": coupon_pb2.Coupon.FREQUENCY_RECURRING, "frequency_duration": 2}, [400, 400, 0]),
        ({"frequency": coupon_pb2.Coupon.FREQUENCY_FOREVER}, [400, 400]),
    ],
)
def test_a_voided_invoice_gives_its_coupon_back(billing: Billing, terms: dict[str, int], taken: list[int]) -> None:
    """What a coupon is worth does not depend on an invoice that was taken back."""
    give_coupon(billing, **terms)
    void(billing, one_off(billing))
    assert [one_off(billing).coupons_amount_cents for _ in taken] == taken


def test_a_coupon_that_was_taken_away_is_not_given_back(billing: Billing) -> None:
    """Voiding undoes what the invoice did, not what a person did."""
    applied_coupon_id = give_coupon(billing, frequency=coupon_pb2.Coupon.FREQUENCY_RECURRING, frequency_duration=5)
    invoice = one_off(billing)
    request = customer_service_pb2.TerminateAppliedCouponRequest(applied_coupon_id=applied_coupon_id)
    billing.tenant.call(billing.rating.customers.TerminateAppliedCoupon, request)
    void(billing, invoice)
    assert one_off(billing).coupons_amount_cents == 0


def test_a_credit_on_a_voided_invoice_is_worth_nothing(billing: Billing) -> None:
    """A credit of 4.00 on an invoice that nobody paid would be created out of nothing."""
    invoice = one_off(billing)
    credit(billing, invoice, 400)
    void(billing, invoice)
    assert one_off(billing).credit_notes_amount_cents == 0
    (note,) = billing.credit_notes()
    assert (note.balance_amount_cents, note.HasField("voided_at")) == (0, True)


def test_an_invoice_whose_credit_was_used_stays(billing: Billing) -> None:
    """What a later invoice has used cannot be taken back, so the invoice it was given on is not voided."""
    invoice = one_off(billing)
    credit(billing, invoice, 400)
    user = one_off(billing)
    assert user.credit_notes_amount_cents == 400
    with pytest.raises(grpc.RpcError) as refused:
        void(billing, invoice)
    assert error_info(refused.value)[0] == "CREDIT_NOTE_USED"
    void(billing, user)
    assert void(billing, invoice).invoice.state == invoice_pb2.Invoice.STATE_VOIDED


@pytest.mark.parametrize(("paid", "credited", "used"), [(1000, 400, 0), (1000, 400, 400), (500, 400, 0), (300, 400, 0)])
def test_a_customer_gets_back_what_was_paid(billing: Billing, paid: int, credited: int, used: int) -> None:
    """Whatever was credited before, after voiding all credits together are what was paid, to the cent."""
    invoice = one_off(billing)
    credit(billing, invoice, credited)
    if used:
        one_off(billing, used)
    pay(billing, invoice, paid)
    void(billing, invoice, generate_credit_note=True)
    assert sum(note.balance_amount_cents for note in billing.credit_notes()) + used == paid
