"""Customers: upserted by external id, from many calls at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from farebox.rating.v1 import (
    catalog_service_pb2,
    customer_pb2,
    domain_events_pb2,
    tax_pb2,
)
from farebox.rating.v1 import (
    customer_service_pb2 as pb,
)
from services.chassis.rpc.errors import error_info, field_violations
from tests.support.rating.server import Tenant, decimal


def upsert(
    tenant: Tenant, external_id: str = "alice", request_id: str = "", **fields: Any
) -> pb.UpsertCustomerResponse:
    customer = customer_pb2.Customer(external_id=external_id, **fields)
    request = pb.UpsertCustomerRequest(request_id=request_id, customer=customer)
    return tenant.call(tenant.rating.customers.UpsertCustomer, request)


def customers(tenant: Tenant) -> list[customer_pb2.Customer]:
    return list(tenant.call(tenant.rating.customers.ListCustomers, pb.ListCustomersRequest()).customers)


def test_what_is_not_named_stays(tenant: Tenant) -> None:
    made = upsert(tenant, name="Alice", metadata={"team": "red"})
    changed = upsert(tenant, email="alice@example.org")
    assert (made.created, changed.created) == (True, False)
    assert (changed.customer.name, changed.customer.email) == ("Alice", "alice@example.org")
    assert changed.customer.metadata == {"team": "red"}
    assert changed.customer.id == made.customer.id


def test_changing_nothing_announces_nothing(tenant: Tenant) -> None:
    first = upsert(tenant, name="Alice").customer
    assert upsert(tenant, name="Alice").customer == first
    (body,) = tenant.rating.announced("rating.customer.changed")
    assert domain_events_pb2.CustomerChanged.FromString(body).customer == first


def test_twenty_calls_at_once_make_one_customer(tenant: Tenant) -> None:
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: upsert(tenant, name="Alice"), range(20)))
    assert len({answer.customer.id for answer in answers}) == 1
    assert [answer.created for answer in answers].count(True) == 1


def test_customers_are_numbered_without_gaps(tenant: Tenant) -> None:
    """Also when many are created at once, some of them twice."""
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda number: upsert(tenant, f"customer-{number % 10}"), range(20)))
    assert sorted(customer.sequential_id for customer in customers(tenant)) == list(range(1, 11))


def test_ten_repeats_at_once_of_one_request_have_one_effect(tenant: Tenant) -> None:
    """The repeats wait for the first and get its answer, byte for byte."""
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: upsert(tenant, request_id="once", name="Alice"), range(10)))
    assert all(answer.created for answer in answers)
    assert {answer.SerializeToString(deterministic=True) for answer in answers} == {
        answers[0].SerializeToString(deterministic=True)
    }


def test_a_request_id_counts_for_one_organization_and_one_method(tenant: Tenant) -> None:
    stranger = tenant.rating.tenant(name="Other")
    assert upsert(tenant, request_id="once").created
    assert upsert(stranger, request_id="once").created
    tax = tax_pb2.Tax(code="vat", rate_percent=decimal("20"))
    tenant.call(tenant.rating.catalog.UpsertTax, catalog_service_pb2.UpsertTaxRequest(request_id="once", tax=tax))


def test_a_refused_request_may_come_again_corrected(tenant: Tenant) -> None:
    """What failed has kept nothing, not even its request_id."""
    with pytest.raises(grpc.RpcError):
        upsert(tenant, request_id="once", tax_codes=["vat"])
    assert upsert(tenant, request_id="once").created


def test_a_currency_stays(tenant: Tenant) -> None:
    upsert(tenant, currency="USD")
    with pytest.raises(grpc.RpcError) as refused:
        upsert(tenant, currency="EUR")
    assert error_info(refused.value)[0] == "CURRENCY_FIXED"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"external_id": ""}, "customer.external_id"),
        ({"email": "nobody"}, "customer.email"),
        ({"tax_codes": ["vat"]}, "customer.tax_codes[0]"),
        ({"request_id": "x" * 256}, "request_id"),
    ],
)
def test_refusals_name_the_field(tenant: Tenant, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        upsert(tenant, **fields)
    assert [violation.field for violation in field_violations(refused.value)] == [field]


def test_lists_are_newest_first_and_can_be_skipped_through(tenant: Tenant) -> None:
    for name in ("a", "b", "c", "d"):
        upsert(tenant, name)
    request = pb.ListCustomersRequest()
    request.page.page_size, request.page.skip = 2, 1
    page = tenant.call(tenant.rating.customers.ListCustomers, request)
    assert [customer.external_id for customer in page.customers] == ["c", "b"]
    assert page.page.next_page_token


def test_an_invented_token_is_refused(tenant: Tenant) -> None:
    request = pb.ListCustomersRequest()
    request.page.page_token = "!"
    with pytest.raises(grpc.RpcError) as refused:
        tenant.call(tenant.rating.customers.ListCustomers, request)
    assert [violation.field for violation in field_violations(refused.value)] == ["page.page_token"]
