"""What is done with invoices: one-off ones, taxes and coupons, payment, voiding, credit notes, drawing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import grpc
import pytest

from farebox.common.v1 import money_pb2
from farebox.rating.v1 import (
    catalog_service_pb2,
    coupon_pb2,
    credit_note_pb2,
    customer_pb2,
    customer_service_pb2,
    invoice_pb2,
    invoice_service_pb2,
    tax_pb2,
)
from farebox.rating.v1.metadata_pb2 import MetadataEdit
from services.chassis.config import Settings
from services.chassis.rpc.errors import error_info
from tests.support.rating.billing import Billing, fees_of, running_billing
from tests.support.rating.server import decimal, standard_charge

JANUARY = datetime(2024, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2024, 2, 1, tzinfo=UTC)
MARCH = datetime(2024, 3, 1, tzinfo=UTC)
PAID = invoice_pb2.Invoice.PAYMENT_STATE_SUCCEEDED


@pytest.fixture
def billing(settings_for: Callable[[str], Settings]) -> Iterator[Billing]:
    with running_billing(settings_for("rating"), net_payment_term_days=14) as running:
        running.clock(JANUARY)
        tax = tax_pb2.Tax(code="vat", name="VAT", rate_percent=decimal("20"), applied_to_organization=True)
        running.tenant.call(running.rating.catalog.UpsertTax, catalog_service_pb2.UpsertTaxRequest(tax=tax))
        running.tenant.metric("calls")
        running.tenant.plan(charges=[standard_charge("calls", "1")])
        yield running


def one_off(billing: Billing, **fields: object) -> invoice_pb2.Invoice:
    item = invoice_service_pb2.CreateOneOffInvoiceRequest.Item(
        name="Setup", units=decimal("2"), unit_amount_cents=5000, code="setup"
    )
    fields = {"external_customer_id": "acme", **fields}
    request = invoice_service_pb2.CreateOneOffInvoiceRequest(items=[item], **fields)
    return billing.tenant.call(billing.invoicing.CreateOneOffInvoice, request).invoice


def pay(
    billing: Billing, invoice: invoice_pb2.Invoice, state: int = PAID, amount_cents: int = 0
) -> invoice_pb2.Invoice:
    request = invoice_service_pb2.RecordPaymentRequest(id=invoice.id, payment_state=state, amount_cents=amount_cents)
    return billing.tenant.call(billing.invoicing.RecordPayment, request).invoice


def void(billing: Billing, invoice: invoice_pb2.Invoice, **fields: object) -> invoice_service_pb2.VoidInvoiceResponse:
    request = invoice_service_pb2.VoidInvoiceRequest(id=invoice.id, **fields)
    return billing.tenant.call(billing.invoicing.VoidInvoice, request)


def refusal(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), error_info(caught.value)[0]


def test_a_one_off_invoice_is_final_at_once_with_taxes(billing: Billing) -> None:
    billing.subscribe()
    invoice = one_off(billing)
    assert (invoice.number, invoice.kind) == ("FBX-000001", invoice_pb2.Invoice.KIND_ONE_OFF)
    assert (invoice.fees_amount_cents, invoice.taxes_amount_cents, invoice.total_amount_cents) == (10000, 2000, 12000)
    assert (invoice.issuing_date, invoice.payment_due_date) == ("2024-01-01", "2024-01-15")
    assert invoice.applied_taxes[0].code == "vat"
    assert billing.rebuild(invoice).equal


def test_a_customer_is_invoiced_in_one_currency(billing: Billing) -> None:
    """That of the first plan or invoice: balances, coupons and totals are of one customer in one currency."""
    billing.subscribe()
    assert refusal(lambda: one_off(billing, currency="EUR")) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "CURRENCY_MISMATCH",
    )
    details = customer_pb2.Customer(external_id="new")
    request = customer_service_pb2.UpsertCustomerRequest(customer=details)
    billing.tenant.call(billing.rating.customers.UpsertCustomer, request)
    first = one_off(billing, external_customer_id="new", currency="EUR")
    assert (first.currency, first.customer.currency) == ("EUR", "EUR")
    assert refusal(lambda: one_off(billing, external_customer_id="new", currency="USD"))[1] == "CURRENCY_MISMATCH"


def test_a_request_id_makes_a_retry_safe(billing: Billing) -> None:
    billing.subscribe()
    first, second = one_off(billing, request_id="r1"), one_off(billing, request_id="r1")
    assert first == second
    assert len(billing.invoices()) == 1


def test_a_coupon_is_taken_off_before_taxes_and_used_up(billing: Billing) -> None:
    billing.subscribe()
    coupon = coupon_pb2.Coupon(
        code="welcome",
        name="Welcome",
        amount=money_pb2.Money(amount_cents=4000, currency="USD"),
        frequency=coupon_pb2.Coupon.FREQUENCY_ONCE,
    )
    billing.tenant.call(billing.rating.catalog.CreateCoupon, catalog_service_pb2.CreateCouponRequest(coupon=coupon))
    apply = customer_service_pb2.ApplyCouponRequest(external_customer_id="acme", coupon_code="welcome")
    billing.tenant.call(billing.rating.customers.ApplyCoupon, apply)
    billing.advance(MARCH)
    january, february = billing.invoices()
    assert (january.coupons_amount_cents, january.taxes_amount_cents, january.total_amount_cents) == (3000, 0, 0)
    assert january.payment_state == PAID, "nothing is left to pay"
    totals = (february.coupons_amount_cents, february.taxes_amount_cents, february.total_amount_cents)
    assert totals == (1000, 400, 2400)
    assert billing.rebuild(february).equal


def test_payment_succeeds_fails_and_is_recorded_once(billing: Billing) -> None:
    billing.subscribe()
    invoice = one_off(billing)
    failed = pay(billing, invoice, invoice_pb2.Invoice.PAYMENT_STATE_FAILED)
    assert failed.payment_state == invoice_pb2.Invoice.PAYMENT_STATE_FAILED
    paid = pay(billing, invoice)
    assert (paid.payment_state, paid.paid_amount_cents) == (PAID, 12000)
    assert pay(billing, invoice) == paid
    again = refusal(lambda: pay(billing, invoice, invoice_pb2.Invoice.PAYMENT_STATE_FAILED))
    assert again == (grpc.StatusCode.FAILED_PRECONDITION, "INVOICE_PAID")


def test_an_invoice_is_paid_in_parts(billing: Billing) -> None:
    billing.subscribe()
    invoice = one_off(billing)
    part = pay(billing, invoice, amount_cents=5000)
    assert (part.payment_state, part.paid_amount_cents) == (invoice_pb2.Invoice.PAYMENT_STATE_PENDING, 5000)
    too_much = refusal(lambda: pay(billing, invoice, amount_cents=7001))
    assert too_much == (grpc.StatusCode.FAILED_PRECONDITION, "PAYMENT_EXCEEDS_INVOICE")
    rest = pay(billing, invoice)
    assert (rest.payment_state, rest.paid_amount_cents) == (PAID, 12000)
    again = refusal(lambda: pay(billing, invoice, amount_cents=1))
    assert again == (grpc.StatusCode.FAILED_PRECONDITION, "PAYMENT_EXCEEDS_INVOICE")
    failed = refusal(lambda: pay(billing, invoice, invoice_pb2.Invoice.PAYMENT_STATE_FAILED, amount_cents=1))
    assert failed[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_a_voided_invoice_keeps_its_number_and_a_paid_one_becomes_a_credit(billing: Billing) -> None:
    billing.subscribe()
    unpaid, paid = one_off(billing), pay(billing, one_off(billing))
    assert void(billing, unpaid).invoice.state == invoice_pb2.Invoice.STATE_VOIDED
    assert refusal(lambda: void(billing, paid)) == (grpc.StatusCode.FAILED_PRECONDITION, "INVOICE_PAID")
    answer = void(billing, paid, generate_credit_note=True)
    assert (answer.invoice.number, answer.credit_note.credit_amount_cents) == ("FBX-000002", 12000)
    third = one_off(billing)
    assert (third.number, third.credit_notes_amount_cents, third.total_amount_cents) == ("FBX-000003", 12000, 0)
    void(billing, third)
    assert one_off(billing).credit_notes_amount_cents == 12000, "what a voided invoice used is there again"


def test_credit_notes_are_estimated_given_used_and_voided(billing: Billing) -> None:
    billing.subscribe()
    invoice = pay(billing, one_off(billing))
    items = [credit_note_pb2.CreditNote.Item(fee_id=invoice.fees[0].id, amount_cents=3000)]
    create = billing.invoicing.CreateCreditNote
    ask = invoice_service_pb2.CreateCreditNoteRequest(invoice_id=invoice.id, items=items, validate_only=True)
    estimate = billing.tenant.call(create, ask).credit_note
    assert (estimate.id, estimate.number, estimate.total_amount_cents) == ("", "", 3600)
    give = invoice_service_pb2.CreateCreditNoteRequest(
        invoice_id=invoice.id, items=items, credit_amount_cents=2600, refund_amount_cents=1000
    )
    note = billing.tenant.call(create, give).credit_note
    assert (note.number, note.balance_amount_cents, note.taxes_amount_cents) == ("FBX-000001-CN1", 2600, 600)
    wrong = invoice_service_pb2.CreateCreditNoteRequest(invoice_id=invoice.id, items=items, credit_amount_cents=1)
    assert refusal(lambda: billing.tenant.call(create, wrong))[0] == grpc.StatusCode.INVALID_ARGUMENT
    too_much = [credit_note_pb2.CreditNote.Item(fee_id=invoice.fees[0].id, amount_cents=8000)]
    over = invoice_service_pb2.CreateCreditNoteRequest(invoice_id=invoice.id, items=too_much, validate_only=True)
    assert refusal(lambda: billing.tenant.call(create, over))[1] == "CREDIT_EXCEEDS_FEE"
    drawn = billing.tenant.call(
        billing.invoicing.RenderCreditNote, invoice_service_pb2.RenderCreditNoteRequest(id=note.id)
    )
    assert drawn.pdf.startswith(b"%PDF-")
    for edit, left in (
        (MetadataEdit(entries={"a": "1", "b": "2"}), {"a": "1", "b": "2"}),
        (MetadataEdit(entries={"c": "3"}, remove=["a"]), {"b": "2", "c": "3"}),
        (MetadataEdit(entries={"d": "4"}, replace=True), {"d": "4"}),
    ):
        request = invoice_service_pb2.EditCreditNoteMetadataRequest(id=note.id, edit=edit)
        edited = billing.tenant.call(billing.invoicing.EditCreditNoteMetadata, request).credit_note
        assert (dict(edited.metadata), edited.balance_amount_cents) == (left, 2600)
    voided = billing.tenant.call(
        billing.invoicing.VoidCreditNote, invoice_service_pb2.VoidCreditNoteRequest(id=note.id)
    ).credit_note
    assert (voided.balance_amount_cents, voided.HasField("voided_at")) == (0, True)
    assert one_off(billing).credit_notes_amount_cents == 0


def test_an_invoice_is_drawn_as_pdf(billing: Billing) -> None:
    subscription = billing.subscribe()
    billing.event(subscription, "calls", JANUARY)
    billing.advance(FEBRUARY)
    (invoice,) = billing.invoices()
    request = invoice_service_pb2.RenderInvoiceRequest(id=invoice.id)
    drawn = billing.tenant.call(billing.invoicing.RenderInvoice, request)
    assert drawn.pdf.startswith(b"%PDF-")


def test_lists_are_filtered_and_paged(billing: Billing) -> None:
    subscription = billing.subscribe()
    made = [one_off(billing) for _ in range(3)]
    pay(billing, made[0])
    billing.advance(FEBRUARY)

    def listed(**fields: object) -> list[str]:
        request = invoice_service_pb2.ListInvoicesRequest(**fields)
        return [invoice.number for invoice in billing.tenant.call(billing.invoicing.ListInvoices, request).invoices]

    assert listed() == ["FBX-000004", "FBX-000003", "FBX-000002", "FBX-000001"]
    assert listed(payment_states=[PAID]) == ["FBX-000001"]
    assert listed(subscription_id=subscription.id) == ["FBX-000004"]
    assert listed(issued_from="2024-02-01") == ["FBX-000004"]
    assert listed(external_customer_id="nobody") == []
    first = billing.tenant.call(
        billing.invoicing.ListInvoices, invoice_service_pb2.ListInvoicesRequest(page={"page_size": 3})
    )
    assert len(first.invoices) == 3
    rest = {"page_size": 3, "page_token": first.page.next_page_token}
    assert listed(page=rest) == ["FBX-000001"]
    fees = billing.tenant.call(billing.invoicing.ListFees, invoice_service_pb2.ListFeesRequest(metric_code="calls"))
    assert [fee.name for fee in fees.fees] == ["calls"]
    assert fees_of(billing.invoices()[-1])["pro"] == 3000


def test_another_organization_sees_nothing(billing: Billing) -> None:
    billing.subscribe()
    invoice = one_off(billing)
    stranger = billing.rating.tenant(name="Other")
    request = invoice_service_pb2.GetInvoiceRequest(id=invoice.id)
    found = refusal(lambda: stranger.call(billing.invoicing.GetInvoice, request))
    assert found == (grpc.StatusCode.NOT_FOUND, "INVOICE_UNKNOWN")
