"""What invoices, fees and credit notes show without a further request; and how they are listed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from farebox.common.v1.money_pb2 import Money
from farebox.common.v1.page_pb2 import PageRequest
from farebox.rating.v1 import catalog_service_pb2, customer_service_pb2, usage_service_pb2
from farebox.rating.v1 import invoice_service_pb2 as pb
from farebox.rating.v1.billable_metric_pb2 import BillableMetric
from farebox.rating.v1.charge_pb2 import Charge
from farebox.rating.v1.coupon_pb2 import Coupon
from farebox.rating.v1.credit_note_pb2 import CreditNote
from farebox.rating.v1.customer_pb2 import Customer
from farebox.rating.v1.fee_pb2 import Fee
from farebox.rating.v1.invoice_pb2 import AppliedCredit, Invoice
from farebox.rating.v1.tax_pb2 import Tax
from services.chassis.config import Settings
from services.chassis.rpc.errors import field_violations
from tests.support.rating.billing import Billing, running_billing
from tests.support.rating.server import decimal, standard_charge, timestamp

JANUARY = datetime(2024, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2024, 2, 1, tzinfo=UTC)


@pytest.fixture
def billing(settings_for: Callable[[str], Settings]) -> Iterator[Billing]:
    """A seller with a payment term of 14 days, a tax, and a plan with a filtered charge; acme subscribes in January."""
    with running_billing(settings_for("rating"), net_payment_term_days=14) as running:
        running.clock(JANUARY)
        tax = Tax(code="vat", name="VAT", rate_percent=decimal("20"), applied_to_organization=True)
        running.tenant.call(running.rating.catalog.CreateTax, catalog_service_pb2.CreateTaxRequest(tax=tax))
        filters = [BillableMetric.Filter(key="model", values=["gpt-4o", "haiku"])]
        running.tenant.metric("calls", name="API calls", filters=filters)
        small = Charge.FilteredPrice(
            values={"model": Charge.PropertyValues(values=["haiku"])},
            model=standard_charge("calls", "0.5").model,
            invoice_display_name="Small models",
        )
        charge = standard_charge("calls", "1", code="per-call", filters=[small])
        running.tenant.plan("pro", amount_cents=3100, charges=[charge])
        yield running


def january(billing: Billing) -> Invoice:
    """The invoice of January: 31.00, two calls of which one is of a small model, and taxes."""
    held = billing.subscribe()
    billing.event(held, "calls", JANUARY + timedelta(days=1), model="haiku")
    billing.event(held, "calls", JANUARY + timedelta(days=2), model="gpt-4o")
    billing.advance(FEBRUARY)
    (invoice,) = billing.invoices()
    return invoice


def by_kind(fees: Any, kind: int) -> list[Fee]:
    """The fees of a kind."""
    return [fee for fee in fees if fee.kind == kind]


def ids(billing: Billing, **filters: Any) -> list[str]:
    """Numbers of the invoices in a list."""
    answer = billing.tenant.call(billing.invoicing.ListInvoices, pb.ListInvoicesRequest(**filters))
    return [invoice.number for invoice in answer.invoices]


def fees(billing: Billing, **filters: Any) -> list[str]:
    """Names of the fees in a list."""
    answer = billing.tenant.call(billing.invoicing.ListFees, pb.ListFeesRequest(**filters))
    return [fee.name for fee in answer.fees]


def refused(billing: Billing, method: Any, request: Any) -> list[str]:
    """The fields that a refusal names."""
    with pytest.raises(grpc.RpcError) as error:
        billing.tenant.call(method, request)
    return [violation.field for violation in field_violations(error.value)]


def one_off(billing: Billing, customer: str = "acme", **fields: Any) -> Invoice:
    """A one-off invoice of 50.00."""
    item = pb.CreateOneOffInvoiceRequest.Item(name="Setup", units=decimal("1"), unit_amount_cents=5000, code="setup")
    request = pb.CreateOneOffInvoiceRequest(external_customer_id=customer, items=[item], **fields)
    return billing.tenant.call(billing.invoicing.CreateOneOffInvoice, request).invoice


def pay(billing: Billing, invoice: Invoice, amount_cents: int = 0) -> Invoice:
    """The invoice after a payment."""
    request = pb.RecordPaymentRequest(
        id=invoice.id, payment_state=Invoice.PAYMENT_STATE_SUCCEEDED, amount_cents=amount_cents
    )
    return billing.tenant.call(billing.invoicing.RecordPayment, request).invoice


def customer(billing: Billing, **fields: Any) -> None:
    """Create or change acme."""
    request = customer_service_pb2.UpsertCustomerRequest(customer=Customer(external_id="acme", **fields))
    billing.tenant.call(billing.rating.customers.UpsertCustomer, request)


def test_a_fee_says_what_and_whose_it_is(billing: Billing) -> None:
    """Subscription, customer, metric, charge and filter by the organization's own words."""
    invoice = january(billing)
    small, other = by_kind(invoice.fees, Fee.KIND_CHARGE)
    for fee in (small, other):
        assert (fee.external_subscription_id, fee.external_customer_id) == ("acme", "acme")
        assert (fee.plan_code, fee.charge_code, fee.customer_id) == ("pro", "per-call", invoice.customer.id)
        assert (fee.metric_code, fee.metric_name) == ("calls", "API calls")
        assert fee.metric_aggregation == BillableMetric.AGGREGATION_COUNT
        assert (fee.invoice_number, fee.payment_state) == (invoice.number, Fee.PAYMENT_STATE_PENDING)
        assert fee.created_at == invoice.created_at
    assert (small.filter_name, dict(small.filter_values)) == (
        "Small models",
        {"model": Charge.PropertyValues(values=["haiku"])},
    )
    assert (other.filter_name, dict(other.filter_values)) == ("", {})
    (base,) = by_kind(invoice.fees, Fee.KIND_SUBSCRIPTION)
    assert (base.external_subscription_id, base.plan_code, base.metric_name) == ("acme", "pro", "")
    assert [(tax.code, tax.rate_percent.value, tax.amount_cents) for tax in base.applied_taxes] == [("vat", "20", 620)]


def test_a_fee_keeps_the_words_of_its_day(billing: Billing) -> None:
    """A metric that is renamed later is called on older invoices as it was."""
    january(billing)
    request = catalog_service_pb2.UpdateBillableMetricRequest(
        code="calls", billable_metric=BillableMetric(name="Renamed"), update_mask={"paths": ["name"]}
    )
    billing.tenant.call(billing.rating.catalog.UpdateBillableMetric, request)
    answer = billing.tenant.call(billing.invoicing.ListFees, pb.ListFeesRequest(metric_code="calls"))
    assert {fee.metric_name for fee in answer.fees} == {"API calls"}


def test_current_and_past_usage_say_the_same_of_their_fees(billing: Billing) -> None:
    """Also before there is an invoice, with taxes or without."""
    held = billing.subscribe()
    billing.event(held, "calls", JANUARY, model="haiku")
    request = usage_service_pb2.GetCurrentUsageRequest(external_customer_id="acme")
    usage = billing.tenant.call(billing.usage.GetCurrentUsage, request).usage
    small = next(fee for fee in usage.fees if fee.filter_name)
    assert (small.id, small.external_subscription_id, small.metric_name) == ("", "acme", "API calls")
    assert (usage.taxes_amount_cents, small.applied_taxes[0].code) == (10, "vat")
    request.without_taxes = True
    plain = billing.tenant.call(billing.usage.GetCurrentUsage, request).usage
    assert (plain.amount_cents, plain.taxes_amount_cents) == (usage.amount_cents, 0)
    assert not any(fee.applied_taxes for fee in plain.fees)


def test_an_invoice_says_what_it_bills_of_each_subscription(billing: Billing) -> None:
    """Base price and usage with their spans; a one-off invoice bills none."""
    (billed,) = january(billing).billed_subscriptions
    assert (billed.external_id, billed.plan_code) == ("acme", "pro")
    for period in (billed.base_period, billed.usage_period):
        assert (period.start, period.end) == (timestamp(JANUARY), timestamp(FEBRUARY))
    setup = one_off(billing)
    assert not setup.billed_subscriptions
    assert (setup.fees[0].item_code, setup.fees[0].external_subscription_id) == ("setup", "")


def test_an_invoice_says_what_is_due_and_whether_it_is_overdue(billing: Billing) -> None:
    """The due day itself is in time; what is paid, and what is a draft, is not overdue."""
    invoice = january(billing)
    assert (invoice.issuing_date, invoice.payment_due_date) == ("2024-02-01", "2024-02-15")
    assert (invoice.due_amount_cents, invoice.is_overdue) == (invoice.total_amount_cents, False)
    billing.advance(datetime(2024, 2, 15, 23, tzinfo=UTC))
    assert ids(billing, is_overdue=True) == []
    billing.advance(datetime(2024, 2, 16, tzinfo=UTC))
    assert billing.invoices()[0].is_overdue
    assert ids(billing, is_overdue=True) == [invoice.number]
    assert pay(billing, invoice, 1000).due_amount_cents == invoice.total_amount_cents - 1000
    paid = pay(billing, invoice)
    assert (paid.due_amount_cents, paid.is_overdue) == (0, False)
    assert (ids(billing, is_overdue=True), ids(billing, is_overdue=False)) == ([], [invoice.number])


def test_the_day_is_the_customers(billing: Billing) -> None:
    """In Honolulu the due day lasts ten hours longer than in London."""
    customer(billing, timezone="Pacific/Honolulu", currency="USD")
    invoice = one_off(billing)
    assert invoice.payment_due_date == "2024-01-14"
    for hours, is_overdue in ((9, False), (10, True)):
        billing.advance(datetime(2024, 1, 15, hours, tzinfo=UTC))
        assert billing.invoices()[0].is_overdue is is_overdue
        assert ids(billing, is_overdue=True) == ([invoice.number] if is_overdue else [])


@pytest.mark.parametrize(
    ("customer_days", "plan_days", "expected"),
    [(None, None, 14), (None, 30, 30), (7, 30, 7), (0, 30, 0)],
    ids=["organization", "plan", "customer", "customer-at-once"],
)
def test_payment_terms_are_the_customers_then_the_plans(
    billing: Billing, customer_days: int | None, plan_days: int | None, expected: int
) -> None:
    """Then the organization's; zero days are a term, too."""
    billing.tenant.plan("terms", amount_cents=3100, net_payment_term_days=plan_days)
    customer(billing, net_payment_term_days=customer_days)
    billing.subscribe("terms")
    billing.advance(FEBRUARY)
    (invoice,) = billing.invoices()
    due_on = (FEBRUARY + timedelta(days=expected)).date().isoformat()
    assert (invoice.payment_due_date, invoice.net_payment_term_days) == (due_on, expected)
    setup = one_off(billing)
    assert setup.net_payment_term_days == (14 if customer_days is None else customer_days)


def test_an_invoice_says_what_reduced_it(billing: Billing) -> None:
    """Coupons and credit notes, one by one."""
    coupon = Coupon(code="ten", frequency=Coupon.FREQUENCY_ONCE, amount=Money(amount_cents=1000, currency="USD"))
    billing.tenant.call(billing.rating.catalog.CreateCoupon, catalog_service_pb2.CreateCouponRequest(coupon=coupon))
    customer(billing, currency="USD")
    first = pay(billing, one_off(billing))
    item = CreditNote.Item(fee_id=first.fees[0].id, amount_cents=500)
    credit = pb.CreateCreditNoteRequest(
        invoice_id=first.id, items=[item], credit_amount_cents=600, reason=CreditNote.REASON_OTHER
    )
    note = billing.tenant.call(billing.invoicing.CreateCreditNote, credit).credit_note
    apply = customer_service_pb2.ApplyCouponRequest(external_customer_id="acme", coupon_code="ten")
    billing.tenant.call(billing.rating.customers.ApplyCoupon, apply)
    reduced = one_off(billing)
    assert list(reduced.applied_credits) == [
        AppliedCredit(kind=AppliedCredit.KIND_COUPON, code="ten", amount_cents=1000),
        AppliedCredit(kind=AppliedCredit.KIND_CREDIT_NOTE, id=note.id, amount_cents=600),
    ]


def test_a_credit_note_says_where_its_credit_stands(billing: Billing) -> None:
    """Available, consumed by a later invoice, voided, or none at all; with its rate, customer and day."""
    customer(billing, currency="USD", timezone="Pacific/Honolulu")
    first = pay(billing, one_off(billing))

    def give(**amounts: int) -> CreditNote:
        item = CreditNote.Item(fee_id=first.fees[0].id, amount_cents=500)
        request = pb.CreateCreditNoteRequest(
            invoice_id=first.id, items=[item], reason=CreditNote.REASON_DUPLICATED_CHARGE, **amounts
        )
        return billing.tenant.call(billing.invoicing.CreateCreditNote, request).credit_note

    used, back = give(credit_amount_cents=600), give(refund_amount_cents=600)
    assert (used.credit_state, back.credit_state) == (CreditNote.CREDIT_STATE_AVAILABLE, 0)
    assert (used.taxes_rate_percent.value, used.customer_id) == ("20", first.customer.id)
    # Midnight in London is the afternoon of the day before in Honolulu.
    assert used.issuing_date == "2023-12-31"
    one_off(billing)
    voided = give(credit_amount_cents=600)
    billing.tenant.call(billing.invoicing.VoidCreditNote, pb.VoidCreditNoteRequest(id=voided.id))
    states = {note.id: note.credit_state for note in billing.credit_notes()}
    assert states == {
        used.id: CreditNote.CREDIT_STATE_CONSUMED,
        back.id: CreditNote.CREDIT_STATE_UNSPECIFIED,
        voided.id: CreditNote.CREDIT_STATE_VOIDED,
    }

    def listed(**filters: Any) -> set[str]:
        request = pb.ListCreditNotesRequest(**filters)
        return {note.id for note in billing.tenant.call(billing.invoicing.ListCreditNotes, request).credit_notes}

    assert listed(credit_states=[CreditNote.CREDIT_STATE_CONSUMED, CreditNote.CREDIT_STATE_VOIDED]) == {
        used.id,
        voided.id,
    }
    assert listed(issued_from="2023-12-31", issued_until="2023-12-31") == {used.id, back.id, voided.id}
    assert listed(issued_from="2024-01-01") == set()
    assert listed(invoice_number=first.number, currency="USD", amount_from_cents=600) == set(states)
    assert listed(amount_until_cents=599) == set()
    assert listed(reasons=[CreditNote.REASON_OTHER]) == set()
    assert listed(external_customer_id="nobody") == set()


def test_invoices_are_filtered_by_what_people_look_for(billing: Billing) -> None:
    """Every filter that is set must hold."""
    subscribed = january(billing)
    setup = one_off(billing)
    pay(billing, setup)
    billing.subscribe(customer="bob", plan="pro")
    other = one_off(billing, "bob")
    everything = [other.number, setup.number, subscribed.number]
    assert ids(billing) == everything
    assert ids(billing, external_customer_id="acme") == [setup.number, subscribed.number]
    assert ids(billing, kinds=[Invoice.KIND_ONE_OFF]) == [other.number, setup.number]
    assert ids(billing, payment_states=[Invoice.PAYMENT_STATE_SUCCEEDED]) == [setup.number]
    assert ids(billing, currency="EUR") == []
    assert ids(billing, amount_from_cents=6000, amount_until_cents=6000) == [other.number, setup.number]
    assert ids(billing, issued_from="2024-02-01", issued_until="2024-02-01") == everything
    assert ids(billing, issued_until="2024-01-31") == []
    assert ids(billing, subscription_id=subscribed.subscription_ids[0]) == [subscribed.number]
    assert ids(billing, states=[Invoice.STATE_DRAFT]) == []


def test_a_list_is_counted_and_may_leave_fees_out(billing: Billing) -> None:
    """The total is that of the whole list, wherever the page is; fees are most of an invoice's weight."""
    customer(billing, currency="USD")
    numbers = [one_off(billing).number for _ in range(3)]
    page = PageRequest(page_size=1, skip=1, with_total=True)
    request = pb.ListInvoicesRequest(page=page, without_fees=True)
    answer = billing.tenant.call(billing.invoicing.ListInvoices, request)
    assert ([invoice.number for invoice in answer.invoices], answer.page.total_size) == ([numbers[1]], 3)
    assert (answer.invoices[0].fees_amount_cents, len(answer.invoices[0].fees)) == (5000, 0)
    request.page.page_token = answer.page.next_page_token
    request.page.skip = 0
    following = billing.tenant.call(billing.invoicing.ListInvoices, request)
    assert ([invoice.number for invoice in following.invoices], following.page.total_size) == ([numbers[0]], 3)


def test_fees_are_filtered_by_what_people_look_for(billing: Billing) -> None:
    """Every filter that is set must hold; a fee on a draft has no payment state."""
    invoice = january(billing)
    one_off(billing)
    calls = ["API calls"] * 2
    assert fees(billing, metric_code="calls") == calls
    assert fees(billing, external_subscription_id="acme", kinds=[Fee.KIND_CHARGE]) == calls
    assert fees(billing, kinds=[Fee.KIND_ADD_ON]) == ["Setup"]
    assert len(fees(billing, invoice_id=invoice.id)) == len(invoice.fees)
    assert fees(billing, fee_id=invoice.fees[0].id) == [invoice.fees[0].name]
    assert fees(billing, currency="EUR") == []
    assert len(fees(billing, payment_states=[Fee.PAYMENT_STATE_PENDING])) == len(invoice.fees) + 1
    assert fees(billing, payment_states=[Fee.PAYMENT_STATE_FAILED]) == []
    assert fees(billing, created_until=timestamp(FEBRUARY - timedelta(seconds=1))) == []
    assert len(fees(billing, created_from=timestamp(FEBRUARY), external_customer_id="acme")) == len(invoice.fees) + 1


def test_filters_that_nobody_knows_are_refused_by_name(billing: Billing) -> None:
    """All of them at once; a filter that was ignored in silence would give the whole list."""
    invoices = pb.ListInvoicesRequest(
        states=[99], payment_states=[99], kinds=[99], issued_from="2024-13-01", subscription_id="acme"
    )
    assert sorted(refused(billing, billing.invoicing.ListInvoices, invoices)) == [
        "issued_from",
        "kinds",
        "payment_states",
        "states",
        "subscription_id",
    ]
    some_fees = pb.ListFeesRequest(kinds=[99], payment_states=[99], fee_id="1", invoice_id="2")
    assert sorted(refused(billing, billing.invoicing.ListFees, some_fees)) == [
        "fee_id",
        "invoice_id",
        "kinds",
        "payment_states",
    ]
    notes = pb.ListCreditNotesRequest(credit_states=[99], reasons=[99], issued_until="today", invoice_id="1")
    assert sorted(refused(billing, billing.invoicing.ListCreditNotes, notes)) == [
        "credit_states",
        "invoice_id",
        "issued_until",
        "reasons",
    ]
