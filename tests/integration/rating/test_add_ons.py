"""Add-ons, and one-off invoices whose items leave price, name and taxes to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from farebox.rating.v1 import catalog_service_pb2 as pb
from farebox.rating.v1 import invoice_pb2, invoice_service_pb2, tax_pb2
from farebox.rating.v1.add_on_pb2 import AddOn
from services.chassis.config import Settings
from services.chassis.rpc.errors import error_info, field_violations
from tests.support.rating.billing import Billing, running_billing
from tests.support.rating.server import decimal

Item = invoice_service_pb2.CreateOneOffInvoiceRequest.Item


@pytest.fixture
def billing(settings_for: Callable[[str], Settings]) -> Iterator[Billing]:
    with running_billing(settings_for("rating")) as running:
        tax = tax_pb2.Tax(code="vat", rate_percent=decimal("20"))
        running.tenant.call(running.rating.catalog.CreateTax, pb.CreateTaxRequest(tax=tax))
        running.tenant.plan(currency="EUR")
        running.subscribe()
        yield running


def create(billing: Billing, **fields: Any) -> AddOn:
    content = {"code": "setup", "name": "Setup", "amount_cents": 5000, "currency": "EUR", **fields}
    request = pb.CreateAddOnRequest(add_on=AddOn(**content))
    return billing.tenant.call(billing.rating.catalog.CreateAddOn, request).add_on


def update(billing: Billing, *paths: str, **fields: Any) -> AddOn:
    request = pb.UpdateAddOnRequest(code="setup", add_on=AddOn(**fields), update_mask=FieldMask(paths=paths))
    return billing.tenant.call(billing.rating.catalog.UpdateAddOn, request).add_on


def invoiced(billing: Billing, *items: Item) -> invoice_pb2.Invoice:
    request = invoice_service_pb2.CreateOneOffInvoiceRequest(items=items, external_customer_id="acme")
    return billing.tenant.call(billing.invoicing.CreateOneOffInvoice, request).invoice


def refused(call: Callable[[], object]) -> list[str]:
    with pytest.raises(grpc.RpcError) as error:
        call()
    return [violation.field for violation in field_violations(error.value)] or [error_info(error.value)[0]]


def test_an_add_on_is_made_changed_and_removed(billing: Billing) -> None:
    """What a change does not name stays; its code is free again once it is removed."""
    made = create(billing, description="Once", tax_codes=["vat"])
    assert refused(lambda: create(billing)) == ["ADD_ON_EXISTS"]
    changed = update(billing, "amount_cents", "description", amount_cents=6000)
    assert (changed.id, changed.amount_cents, changed.description, changed.tax_codes) == (made.id, 6000, "", ["vat"])
    catalog, tenant = billing.rating.catalog, billing.tenant
    assert list(tenant.call(catalog.ListAddOns, pb.ListAddOnsRequest()).add_ons) == [changed]
    assert tenant.call(catalog.DeleteAddOn, pb.DeleteAddOnRequest(code="setup")).add_on == changed
    assert refused(lambda: tenant.call(catalog.GetAddOn, pb.GetAddOnRequest(code="setup"))) == ["ADD_ON_UNKNOWN"]
    assert create(billing).id != made.id


def test_what_an_add_on_cannot_be_is_named(billing: Billing) -> None:
    """All of it at once."""
    assert refused(lambda: create(billing, name="", amount_cents=-1, currency="XXX")) == [
        "add_on.name",
        "add_on.amount_cents",
        "add_on.currency",
    ]
    assert refused(lambda: create(billing, tax_codes=["none"])) == ["add_on.tax_codes[0]"]
    create(billing)
    assert refused(lambda: update(billing, "amount_cents")) == ["add_on.amount_cents"]


def test_what_an_item_leaves_out_is_its_add_ons(billing: Billing) -> None:
    """And what it says itself is its own; later changes of the add-on change no invoice."""
    create(billing, invoice_display_name="Set-up", tax_codes=["vat"])
    one = decimal("2")
    invoice = invoiced(
        billing,
        Item(code="setup", units=one, add_on_price=True),
        Item(code="setup", units=one, unit_amount_cents=100, name="Other"),
        Item(code="free text", units=one, unit_amount_cents=50),
    )
    update(billing, "amount_cents", amount_cents=1)
    assert [(fee.name, fee.amount_cents, fee.taxes_amount_cents) for fee in invoice.fees] == [
        ("Set-up", 10000, 2000),
        ("Other", 200, 40),
        ("free text", 100, 0),
    ]


def test_an_item_without_a_price_needs_an_add_on_in_the_invoices_currency(billing: Billing) -> None:
    units = decimal("1")
    missing = Item(code="none", units=units, add_on_price=True)
    assert refused(lambda: invoiced(billing, missing)) == ["items[0].code"]
    nameless = Item(units=units, name="Setup", add_on_price=True)
    assert refused(lambda: invoiced(billing, nameless)) == ["items[0].unit_amount_cents"]
    create(billing, currency="USD")
    assert refused(lambda: invoiced(billing, Item(code="setup", units=units, add_on_price=True))) == ["items[0].code"]
