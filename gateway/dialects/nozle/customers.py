"""Customers. Lago's clients wrap the body in `customer`; Nozle's first SDKs did not, and get theirs back unwrapped."""

from __future__ import annotations

from typing import Any

from farebox.rating.v1 import customer_service_pb2 as service
from farebox.rating.v1.customer_pb2 import Customer
from farebox.rating.v1.organization_pb2 import Organization
from gateway.call import Call
from gateway.dialects.nozle import pages, write
from gateway.dialects.nozle.read import Reader

ROOT = "customer"
# Postal lines of a body, in the order an envelope shows them; the place is one line.
_PLACE = ("zipcode", "city")
# How many postal lines Lago names; the rest of ours are in `address_lines`.
_NAMED_LINES = 2


async def upsert(call: Call) -> Any:
    """`POST /customers`: create a customer, or change the one with this external id."""
    body = call.json()
    is_wrapped = ROOT in body
    customer = read_customer(Reader(call.wrapped(ROOT) if is_wrapped else body))
    request = service.UpsertCustomerRequest(request_id=call.mutation_id, customer=customer)
    answer = await call.ask(call.clients.customers.UpsertCustomer, request)
    written = customer_json(answer.customer, call.organization)
    return {ROOT: written} if is_wrapped else written


async def find(call: Call) -> Any:
    """`GET /customers/{external_id}`."""
    request = service.GetCustomerRequest(external_id=call.path["external_customer_id"])
    answer = await call.ask(call.clients.customers.GetCustomer, request)
    return {ROOT: customer_json(answer.customer, call.organization)}


async def find_all(call: Call) -> Any:
    """`GET /customers`."""
    page = pages.read(call.query)
    answer = await call.ask(call.clients.customers.ListCustomers, service.ListCustomersRequest(page=page))
    customers = [customer_json(customer, call.organization) for customer in answer.customers]
    return {"customers": customers, "meta": pages.meta(page, answer.page, len(customers))}


def read_customer(body: Reader) -> Customer:
    """A customer for the wire; fields that are not given stay as they are.

    Raises:
        Problem: 422, a field is missing or cannot be read.
    """
    billing = body.object("billing_configuration")
    grace = billing.integer("invoice_grace_period") if billing.has("invoice_grace_period") else None
    people = " ".join(part for part in (body.text("firstname"), body.text("lastname")) if part)
    return Customer(
        external_id=body.required("external_id"),
        name=body.text("name") or body.text("legal_name") or people,
        email=body.text("email"),
        currency=body.text("currency"),
        timezone=body.text("timezone"),
        address_lines=_read_address(body),
        country=body.text("country"),
        tax_identification_number=body.text("tax_identification_number"),
        invoice_grace_period_days=grace,
        tax_codes=body.texts("tax_codes"),
        metadata=_read_metadata(body),
    )


def customer_json(customer: Customer, organization: Organization) -> dict[str, Any]:
    """A customer as Lago's clients read it."""
    grace = customer.invoice_grace_period_days if customer.HasField("invoice_grace_period_days") else None
    return {
        **write.ids(customer.id),
        "sequential_id": customer.sequential_id,
        "slug": f"{organization.invoice_prefix or 'CUS'}-{customer.sequential_id}",
        "external_id": customer.external_id,
        "name": customer.name or None,
        "email": customer.email or None,
        "currency": customer.currency or None,
        "timezone": customer.timezone or None,
        "applicable_timezone": customer.timezone or organization.timezone or "UTC",
        **_address_json(customer),
        "country": customer.country or None,
        "tax_identification_number": customer.tax_identification_number or None,
        "net_payment_term": organization.net_payment_term_days,
        "billing_configuration": {"invoice_grace_period": grace},
        "metadata": [
            {"key": key, "value": value, "display_in_invoice": False}
            for key, value in sorted(customer.metadata.items())
        ],
        "tax_codes": list(customer.tax_codes),
        "taxes": [],
        "created_at": write.instant(customer, "created_at"),
        "updated_at": write.instant(customer, "updated_at") or write.instant(customer, "created_at"),
    }


def _read_address(body: Reader) -> list[str]:
    if body.has("address_lines"):
        return body.texts("address_lines")
    place = " ".join(part for part in (body.text(name) for name in _PLACE) if part)
    lines = [body.text("address_line1"), body.text("address_line2"), place, body.text("state")]
    return [line for line in lines if line]


def _address_json(customer: Customer) -> dict[str, Any]:
    lines = [*customer.address_lines, *[None] * _NAMED_LINES]
    return {
        "address_line1": lines[0],
        "address_line2": lines[1],
        "address_lines": list(customer.address_lines),
    }


def _read_metadata(body: Reader) -> dict[str, str]:
    """Lago's list of keys and values, or a plain object."""
    if isinstance(body.value("metadata"), dict):
        held = body.object("metadata")
        return {key: held.text(key) for key in held.names()}
    return {each.required("key"): each.text("value") for each in body.objects("metadata")}
