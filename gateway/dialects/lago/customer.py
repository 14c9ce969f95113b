"""Customers, created or changed by the organization's own id for them.

Lago's clients wrap the body in `customer`. Nozle's first SDKs did not, and get their answer unwrapped too.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Annotated, ClassVar

import grpc
from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.common.v1.page_pb2 import PageRequest
from farebox.ingest.v1.usage_event_service_pb2 import ListQuarantinedUsageEventsRequest
from farebox.rating.v1 import customer_service_pb2 as rpc
from farebox.rating.v1.customer_pb2 import Customer as CustomerMessage
from farebox.rating.v1.organization_pb2 import Organization
from gateway.call import Call
from gateway.decode.refusals import Refusals
from gateway.dialects.lago.common import Identified
from gateway.engine.paging import PageQuery
from gateway.listing import listed
from gateway.operation import ByCustomer, Listed, Nothing, Request, operation
from gateway.projection import callers_names, given, patch, project
from gateway.schema import Code, Count, CurrencyCode, Instant, keys, of

# More than a customer can have; the service decides the exact number and how long each may be.
_MOST = Meta(max_length=100)
# A customer is read with or without this count, so nobody waits long for it.
COUNT_DEADLINE_SECONDS = 2.0
_NAMES = ("name", "legal_name", "firstname", "lastname")
_ADDRESS = ("address_line1", "address_line2", "zipcode", "city", "state", "address_lines")
# How many postal lines Lago names; all of ours are in `address_lines`.
_NAMED_LINES = 2

Line = Annotated[str, Meta(max_length=255, description="One line of the postal address.")]
Text = Annotated[str, Meta(max_length=255)]
Country = Annotated[str, Meta(pattern="^[A-Z]{2}$", description="ISO 3166 alpha-2 code.")]
GraceDays = Annotated[Count, Meta(description="Days a draft invoice stays open; null means the organization's.")]
TermDays = Annotated[
    Count,
    Meta(description="Days from issue until invoices are due; null means the plan's, otherwise the organization's."),
]


class CustomerBilling(Struct, kw_only=True):
    """How a customer is billed. Payments are collected outside of Farebox."""

    NOT_OFFERED: ClassVar = keys(
        "document_locale payment_provider payment_provider_code provider_customer_id provider_payment_methods "
        "subscription_invoice_issuing_date_adjustment subscription_invoice_issuing_date_anchor"
    )
    FIXED: ClassVar = {"sync": False, "sync_with_provider": False}

    invoice_grace_period: GraceDays | UnsetType | None = UNSET


class MetadataEntry(Struct, kw_only=True):
    """A text by a key, for the organization's own use."""

    NOT_OFFERED: ClassVar = keys("id")
    FIXED: ClassVar = {"display_in_invoice": False}

    key: Annotated[str, Meta(min_length=1)]
    value: str


class CustomerUpsert(Struct, kw_only=True):
    """The new content of a customer; what is not named stays as it is, and null empties a field.

    One name is kept: `name`, else `legal_name`, else `firstname` and `lastname`. The postal address is replaced as a
    whole as soon as a part of it is given, either line by line or as `address_lines`.
    """

    NOT_OFFERED: ClassVar = keys(
        "account_type billing_entity_code customer_type integration_customers invoice_custom_section_codes "
        "legal_number logo_url phone shipping_address url"
    )
    FIXED: ClassVar = {"finalize_zero_amount_invoice": "inherit", "skip_invoice_custom_sections": False}

    external_id: Code
    name: Text | UnsetType | None = UNSET
    legal_name: Text | UnsetType | None = UNSET
    firstname: Text | UnsetType | None = UNSET
    lastname: Text | UnsetType | None = UNSET
    email: Text | UnsetType | None = UNSET
    currency: CurrencyCode | UnsetType | None = UNSET
    timezone: Annotated[Text, Meta(description="The IANA zone in which its days are counted.")] | UnsetType | None = (
        UNSET
    )
    address_line1: Line | UnsetType | None = UNSET
    address_line2: Line | UnsetType | None = UNSET
    zipcode: Line | UnsetType | None = UNSET
    city: Line | UnsetType | None = UNSET
    state: Line | UnsetType | None = UNSET
    address_lines: Annotated[list[Line], _MOST] | UnsetType | None = UNSET
    country: Country | UnsetType | None = UNSET
    tax_identification_number: Text | UnsetType | None = UNSET
    net_payment_term: Annotated[TermDays, of("net_payment_term_days")] | UnsetType | None = UNSET
    billing_configuration: CustomerBilling | UnsetType | None = UNSET
    metadata: Annotated[list[MetadataEntry], _MOST] | dict[str, str] | UnsetType | None = UNSET
    tax_codes: Annotated[list[Code], _MOST] | UnsetType | None = UNSET


class CustomerMetadata(Struct, kw_only=True):
    """A text by a key; no invoice shows it."""

    key: str
    value: str
    display_in_invoice: bool = False


class CustomerBillingTerms(Struct, kw_only=True):
    """How a customer is billed; null means that the organization's term applies."""

    invoice_grace_period: int | None


class Customer(Identified, kw_only=True):
    """A customer: who is billed. A term that is null is the organization's."""

    sequential_id: int
    slug: str
    external_id: str
    name: str | None
    email: str | None
    currency: str | None
    timezone: str | None
    applicable_timezone: str
    address_line1: str | None
    address_line2: str | None
    address_lines: list[str]
    country: str | None
    tax_identification_number: str | None
    net_payment_term: Annotated[int | None, of("net_payment_term_days")]
    billing_configuration: CustomerBillingTerms
    metadata: list[CustomerMetadata]
    tax_codes: list[str]
    created_at: Instant | None
    updated_at: Instant | None
    quarantined_events_count: (
        Annotated[
            int,
            Meta(
                description="Its events that cannot be billed yet (`GET /quarantined_events`). Only in the answer to "
                "`GET /customers/{external_customer_id}`; left out beyond 100,000, or while the log cannot be asked."
            ),
        ]
        | UnsetType
    ) = UNSET


class CustomerQuery(PageQuery, kw_only=True):
    """Which customers; every filter that is given must hold."""

    NOT_OFFERED: ClassVar = keys(
        "account_type billing_entity_codes customer_type has_customer_type has_tax_identification_number metadata "
        "search_term states zipcodes"
    )

    currencies: Annotated[list[CurrencyCode], _MOST] | UnsetType = UNSET
    countries: Annotated[list[Country], _MOST] | UnsetType = UNSET


async def upsert(request: Request[Nothing, Nothing, CustomerUpsert]) -> Customer:
    """Create a customer, or change the one with this external id.

    What the body does not name stays as it is; null empties a field.
    """
    call, message = request.call, rpc.UpsertCustomerRequest(request_id=request.call.mutation_id)
    message.update_mask.paths.extend(customer_from_api(message.customer, request.body))
    answer = await call.ask(call.clients.customers.UpsertCustomer, message)
    return customer_to_api(answer.customer, call.organization)


async def find(request: Request[ByCustomer, Nothing, Nothing]) -> Customer:
    """Find a customer by the organization's id."""
    call, asked = request.call, rpc.GetCustomerRequest(external_id=request.path.external_customer_id)
    customer = customer_to_api((await call.ask(call.clients.customers.GetCustomer, asked)).customer, call.organization)
    customer.quarantined_events_count = await _quarantined(call, customer.external_id)
    return customer


async def delete(request: Request[ByCustomer, Nothing, Nothing]) -> Customer:
    """Delete a customer: its subscriptions end now and are billed, its invoices and credit notes stay.

    A customer that is created again with the same `external_id` is the same one, with everything it had.
    """
    call, whose = request.call, request.path.external_customer_id
    asked = rpc.DeleteCustomerRequest(request_id=call.mutation_id, external_id=whose)
    return customer_to_api((await call.ask(call.clients.customers.DeleteCustomer, asked)).customer, call.organization)


async def _quarantined(call: Call, external_id: str) -> int | UnsetType:
    """How many events of a customer cannot be billed yet; unset if that cannot be said."""
    asked = ListQuarantinedUsageEventsRequest(
        page=PageRequest(page_size=1, with_total=True), external_customer_id=external_id
    )
    try:
        answer = await call.ask(call.clients.events.ListQuarantinedUsageEvents, asked, deadline=COUNT_DEADLINE_SECONDS)
    except grpc.RpcError as error:
        # A customer can be read while the log is away.
        if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
            raise
        return UNSET
    return answer.page.total_size if answer.page.HasField("total_size") else UNSET


async def find_all(request: Request[Nothing, CustomerQuery, Nothing]) -> Listed[Customer]:
    """List customers, the newest first."""
    to_api = partial(customer_to_api, organization=request.call.organization)
    return await listed(request.call, rpc.ListCustomersRequest, request.query, to_api)


def customer_from_api(customer: CustomerMessage, body: CustomerUpsert) -> list[str]:
    """Fill a message from a body and return the names of its fields: an update mask.

    Raises:
        Problem: 422, the body gives one thing twice.
    """
    refusals = Refusals()
    _, paths = patch(customer, body, skip=(*_NAMES, *_ADDRESS, "billing_configuration", "metadata"))
    said = [_say_name(customer, body, refusals), _say_address(customer, body, refusals)]
    said += [_say_metadata(customer, body, refusals), _say_grace(customer, body)]
    refusals.raise_any()
    named = (path for path in paths if path != "external_id")
    return [*named, *(path for path in said if path)]


def customer_to_api(customer: CustomerMessage, organization: Organization) -> Customer:
    """A customer as Lago's clients read it."""
    lines = [*customer.address_lines, *[None] * _NAMED_LINES]
    grace = customer.invoice_grace_period_days if customer.HasField("invoice_grace_period_days") else None
    return project(
        Customer,
        customer,
        slug=f"{organization.invoice_prefix or 'CUS'}-{customer.sequential_id}",
        applicable_timezone=customer.timezone or organization.timezone or "UTC",
        address_line1=lines[0],
        address_line2=lines[1],
        billing_configuration=CustomerBillingTerms(invoice_grace_period=grace),
        metadata=[CustomerMetadata(key=key, value=value) for key, value in sorted(customer.metadata.items())],
    )


def _say_name(customer: CustomerMessage, body: CustomerUpsert, refusals: Refusals) -> str:
    """Write the one name that is kept: the first that is given, from which the others must not differ."""
    names = {name: value for name in ("name", "legal_name") if (value := given(getattr(body, name)))}
    if people := " ".join(filter(None, (given(body.firstname), given(body.lastname)))):
        names["firstname"] = people
    customer.name = next(iter(names.values()), "")
    for field, name in names.items():
        if name != customer.name:
            refusals.add(field, "value_is_invalid", f"differs from {next(iter(names))}, and one name is kept")
    return "name" if _is_said(body, _NAMES) else ""


def _say_address(customer: CustomerMessage, body: CustomerUpsert, refusals: Refusals) -> str:
    """Write the lines as an envelope shows them, with zip code and city on one line."""
    place = " ".join(filter(None, (given(body.zipcode), given(body.city))))
    lines = [given(body.address_line1), given(body.address_line2), place, given(body.state)]
    if given(body.address_lines) and any(lines):
        refusals.add("address_lines", "value_is_invalid", "is the whole address, beside which no part is given")
    customer.address_lines.extend(given(body.address_lines) or [line for line in lines if line])
    return "address_lines" if _is_said(body, _ADDRESS) else ""


def _say_metadata(customer: CustomerMessage, body: CustomerUpsert, refusals: Refusals) -> str:
    entries = given(body.metadata)
    if isinstance(entries, dict):
        customer.metadata.update(entries)
    for number, entry in enumerate(entries if isinstance(entries, list) else ()):
        if entry.key in customer.metadata:
            refusals.add(f"metadata[{number}].key", "value_already_exist", "is given twice")
        customer.metadata[entry.key] = entry.value
    return "metadata" if _is_said(body, ("metadata",)) else ""


def _say_grace(customer: CustomerMessage, body: CustomerUpsert) -> str:
    billing = given(body.billing_configuration)
    if billing is None or billing.invoice_grace_period is UNSET:
        return ""
    if billing.invoice_grace_period is not None:
        customer.invoice_grace_period_days = billing.invoice_grace_period
    return "invoice_grace_period_days"


def _is_said(body: CustomerUpsert, names: Iterable[str]) -> bool:
    return any(getattr(body, name) is not UNSET for name in names)


UPSERTED = callers_names(CustomerUpsert, CustomerMessage, "customer.") | {
    "customer.invoice_grace_period_days": "billing_configuration.invoice_grace_period"
}
OPERATIONS = (
    operation(
        "POST",
        "/customers",
        upsert,
        root="customer",
        is_root_optional=True,
        is_bare_answered_bare=True,
        names=UPSERTED,
    ),
    operation("GET", "/customers", find_all, answer_root="customers"),
    operation("GET", "/customers/{external_customer_id}", find, answer_root="customer"),
    operation("DELETE", "/customers/{external_customer_id}", delete, answer_root="customer"),
)
