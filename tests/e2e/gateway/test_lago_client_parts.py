"""Lago's own Python client, unmodified, with what it reads and changes one by one."""

from __future__ import annotations

import pytest
from lago_python_client.client import Client
from lago_python_client.exceptions import LagoApiError
from lago_python_client.models import (
    AddOn,
    BillableMetric,
    BillableMetricFilter,
    BillableMetricFilters,
    BillingEntityUpdate,
    Charge,
    ChargeFilter,
    Charges,
    Customer,
    InvoiceFee,
    InvoiceFeesList,
    InvoicePreview,
    OneOffInvoice,
    Payment,
    Plan,
    Subscription,
    Tax,
)
from lago_python_client.models.subscription import Subscriptions

from farebox.testing import Farebox, Rest


@pytest.fixture
def story(lago: Client, rest: Rest) -> Client:
    """A metric, a plan and a subscription, made with the client, in January 2024."""
    rest.post("/test_clock", {"now": "2024-01-01T00:00:00Z"})
    filters = BillableMetricFilters(__root__=[BillableMetricFilter(key="region", values=["eu", "us"])])
    metric = BillableMetric(name="Calls", code="calls", aggregation_type="count_agg", filters=filters)
    lago.billable_metrics.create(metric)
    charge = Charge(billable_metric_id="calls", charge_model="standard", properties={"amount": "1"})
    plan = Plan(
        name="Pro",
        code="pro",
        interval="monthly",
        amount_cents=1000,
        amount_currency="EUR",
        pay_in_advance=False,
        charges=Charges(__root__=[charge]),
    )
    lago.plans.create(plan)
    lago.customers.create(Customer(external_id="acme", name="Acme", currency="EUR"))
    lago.subscriptions.create(Subscription(external_customer_id="acme", plan_code="pro", external_id="acme-pro"))
    return lago


def test_charges_of_a_plan_one_by_one(story: Client, rest: Rest) -> None:
    """Each change leaves the other charges as they are; a subscriber keeps the version that it bought."""
    package = Charge(
        billable_metric_id="calls", code="bulk", charge_model="package", properties={"amount": "5", "package_size": 100}
    )
    assert story.plan_charges.create("pro", package).properties == {
        "amount": "5",
        "package_size": 100,
        "free_units": 0,
    }
    changed = story.plan_charges.update("pro", "bulk", Charge(properties={"amount": "4", "package_size": 50}))
    assert (changed.charge_model, changed.properties["amount"]) == ("package", "4")
    # The client's own `find_all` of these sends no key, so that no server can answer it.
    listed = rest.get("/plans/pro/charges", per_page="1", page="2")
    assert ([charge["code"] for charge in listed["charges"]], listed["meta"]["total_count"]) == (["bulk"], 2)
    assert story.plan_charges.find("pro", "calls").properties == {"amount": "1"}
    assert story.subscription_charges.find("acme-pro", "calls").properties == {"amount": "1"}
    with pytest.raises(LagoApiError):
        story.subscription_charges.find("acme-pro", "bulk")
    assert story.plan_charges.destroy("pro", "bulk").code == "bulk"
    with pytest.raises(LagoApiError) as gone:
        story.plan_charges.find("pro", "bulk")
    assert (gone.value.status_code, gone.value.response["code"]) == (404, "charge_not_found")


def test_a_subscription_gets_a_name_and_an_end(story: Client, rest: Rest) -> None:
    changed = story.subscriptions.update(Subscription(name="Pilot", ending_at="2024-01-20T00:00:00Z"), "acme-pro")
    assert (changed.name, changed.ending_at, changed.status) == ("Pilot", "2024-01-20T00:00:00Z", "active")
    with pytest.raises(LagoApiError) as past:
        story.subscriptions.update(Subscription(ending_at="2023-01-01"), "acme-pro")
    assert past.value.response["error_details"] == {"ending_at": ["value_is_invalid"]}
    rest.post("/test_clock/advance", {"to": "2024-01-21T00:00:00Z"})
    with pytest.raises(LagoApiError) as ended:
        story.subscriptions.update(Subscription(name="Later"), "acme-pro")
    assert ended.value.status_code == 404


def test_a_customer_is_deleted_and_its_invoices_stay(story: Client, rest: Rest) -> None:
    rest.post("/test_clock/advance", {"to": "2024-01-10T00:00:00Z"})
    assert story.customers.destroy("acme").external_id == "acme"
    with pytest.raises(LagoApiError) as gone:
        story.customers.find("acme")
    assert gone.value.status_code == 404
    assert story.customers.find_all()["customers"] == []
    (invoice,) = story.invoices.find_all({"external_customer_id": "acme"})["invoices"]
    # Ten of January's days: the day of the end is billed.
    assert (invoice.status, invoice.total_amount_cents) == ("finalized", 323)


def test_a_one_off_invoice_of_add_ons_is_paid_in_parts(story: Client) -> None:
    """An item has the price, name and taxes of its add-on; two payments come to the total, and no third is taken."""
    story.taxes.create(Tax(name="VAT", code="vat", rate=20.0))
    setup = AddOn(name="Setup", code="setup", amount_cents=5000, amount_currency="EUR", tax_codes=["vat"])
    assert story.add_ons.create(setup).amount_cents == 5000
    assert story.add_ons.update(AddOn(amount_cents=6000), "setup").name == "Setup"
    items = [InvoiceFee(add_on_code="setup", units=2), InvoiceFee(add_on_code="setup", unit_amount_cents=100)]
    wanted = OneOffInvoice(external_customer_id="acme", fees=InvoiceFeesList(__root__=items))
    invoice = story.invoices.create(wanted)
    assert (invoice.fees_amount_cents, invoice.taxes_amount_cents, invoice.currency) == (12100, 2420, "EUR")
    assert {fee.item.name for fee in invoice.fees.__root__} == {"Setup"}
    unpriced = InvoiceFeesList(__root__=[InvoiceFee(add_on_code="none", units=1)])
    with pytest.raises(LagoApiError) as unknown:
        story.invoices.create(OneOffInvoice(external_customer_id="acme", fees=unpriced))
    assert unknown.value.response["error_details"] == {"fees[0].add_on_code": ["value_is_invalid"]}

    part = Payment(invoice_id=invoice.lago_id, amount_cents=4520, reference="wire-1")
    first = story.payments.create(part)
    assert story.payments.create(part) == first
    assert (story.invoices.find(invoice.lago_id).payment_status, first.amount_cents) == ("pending", 4520)
    story.payments.create(Payment(invoice_id=invoice.lago_id, amount_cents=10000, reference="wire-2"))
    assert story.invoices.find(invoice.lago_id).payment_status == "succeeded"
    with pytest.raises(LagoApiError) as beyond:
        story.payments.create(Payment(invoice_id=invoice.lago_id, amount_cents=1, reference="wire-3"))
    assert (beyond.value.status_code, beyond.value.response["code"]) == (409, "payment_exceeds_invoice")
    receipts = story.payment_receipts.find_all({"invoice_id": invoice.lago_id})["payment_receipts"]
    assert [receipt.payment.reference for receipt in receipts] == ["wire-2", "wire-1"]
    assert story.payment_receipts.find(receipts[0].lago_id).number == f"{invoice.number}-P2"
    assert story.add_ons.destroy("setup").code == "setup"
    assert story.add_ons.find_all()["add_ons"] == []


def test_the_organization_is_its_billing_entity(lago: Client, farebox: Farebox) -> None:
    (entity,) = lago.billing_entities.find_all()["billing_entities"]
    assert (entity.code, entity.is_default) == ("default", True)
    changed = lago.billing_entities.update(BillingEntityUpdate(name="Acme SARL", net_payment_term=14), "default")
    assert (changed.name, changed.net_payment_term) == ("Acme SARL", 14)
    assert lago.billing_entities.find("default") == changed


def test_a_subscription_gets_other_terms_than_its_plan(story: Client, rest: Rest) -> None:
    """A feature of the plan is taken from one subscription, and given back with the plan's terms."""

    def may() -> bool:
        return bool(rest.get("/can", customer_id="acme", feature="sso")["allowed"])

    rest.post("/features", {"feature": {"code": "sso"}})
    rest.patch("/plans/pro/entitlements", {"entitlements": {"sso": {}}})
    story.subscriptions.destroy("acme-pro")
    story.subscriptions.create(Subscription(external_customer_id="acme", plan_code="pro", external_id="acme-2"))
    assert may()
    path = "/subscriptions/acme-2/entitlements"
    (told,) = rest.patch(path, {"entitlements": {"sso": {"enabled": False}}})["entitlements"]
    assert (told["enabled"], told["source"]) == (False, "override")
    assert not may()
    restored = rest.delete(f"{path}/sso")["entitlement"]
    assert (restored["enabled"], restored["source"]) == (True, "plan")
    assert may()


def test_figures_by_month(story: Client, rest: Rest) -> None:
    rest.post("/test_clock/advance", {"to": "2024-02-02T00:00:00Z"})
    (revenue,) = story.gross_revenues.find_all({"currency": "EUR"})["gross_revenues"]
    assert (revenue.month, revenue.amount_cents, revenue.invoices_count) == ("2024-02-01", 1000, 1)
    (collection,) = story.invoice_collections.find_all()["invoice_collections"]
    assert (collection.payment_status, collection.amount_cents) == ("pending", 1000)
    assert [mrr.amount_cents for mrr in story.mrrs.find_all({"months": 3})["mrrs"]] == [0, 1000, 1000]
    (overdue,) = story.overdue_balances.find_all()["overdue_balances"]
    assert (overdue.amount_cents, len(overdue.lago_invoice_ids)) == (1000, 1)
    assert [usage.code for usage in story.invoiced_usages.find_all()["invoiced_usages"]] == ["calls"]


def test_an_invoice_is_previewed(story: Client, rest: Rest) -> None:
    """For somebody new, and as the next one of a subscription; the real one comes to the same."""
    seen = story.invoices.preview(InvoicePreview(plan_code="pro", customer=Customer(external_id="new", name="New")))
    assert (seen.status, seen.number, seen.total_amount_cents) == ("draft", "", 1000)
    coming = story.invoices.preview(InvoicePreview(subscriptions=Subscriptions(external_ids=["acme-pro"])))
    assert [customer.external_id for customer in story.customers.find_all()["customers"]] == ["acme"]
    rest.post("/test_clock/advance", {"to": "2024-02-01T00:00:00Z"})
    (invoice,) = story.invoices.find_all()["invoices"]
    assert (coming.total_amount_cents, coming.issuing_date) == (invoice.total_amount_cents, invoice.issuing_date)


def test_metadata_of_a_plan(story: Client) -> None:
    assert story.plans.update(Plan(metadata={"team": "red"}), "pro").metadata == {"team": "red"}
    assert story.plans.merge_metadata("pro", {"owner": "ada"}) == {"owner": "ada", "team": "red"}
    assert story.plans.delete_metadata_key("pro", "team") == {"owner": "ada"}
    assert story.plans.replace_metadata("pro", {"a": "1"}) == {"a": "1"}
    assert story.plans.delete_all_metadata("pro") == {}


def test_a_dispute_is_lost(story: Client, rest: Rest) -> None:
    rest.post("/test_clock/advance", {"to": "2024-02-02T00:00:00Z"})
    (invoice,) = story.invoices.find_all()["invoices"]
    assert invoice.payment_overdue
    lost = story.invoices.lose_dispute(invoice.lago_id)
    assert (lost.payment_overdue, lost.payment_dispute_lost_at) == (False, "2024-02-02T00:00:00Z")


def test_filters_of_a_charge_one_by_one(story: Client) -> None:
    """By ids that stay valid while others change."""
    for region, amount in (("eu", "2"), ("us", "3")):
        price = ChargeFilter(values={"region": [region]}, properties={"amount": amount})
        story.plans.create_charge_filter("pro", "calls", price)
    european, american = story.plans.find_all_charge_filters("pro", "calls")["filters"]
    story.plans.update_charge_filter("pro", "calls", european.lago_id, ChargeFilter(properties={"amount": "7"}))
    found = story.plans.find_charge_filter("pro", "calls", european.lago_id)
    assert (found.values, found.properties) == ({"region": ["eu"]}, {"amount": "7"})
    assert story.plans.destroy_charge_filter("pro", "calls", american.lago_id).values == {"region": ["us"]}
    (kept,) = story.plans.find_all_charge_filters("pro", "calls")["filters"]
    assert kept == found
    with pytest.raises(LagoApiError) as taken:
        story.plans.create_charge_filter(
            "pro", "calls", ChargeFilter(values={"region": ["eu"]}, properties={"amount": "1"})
        )
    assert taken.value.response["error_details"] == {"values": ["value_already_exist"]}
