"""Customers over REST: one call a change, with the names of what changes; nothing dropped, nothing invented."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from farebox.common.v1.page_pb2 import PageRequest, PageResponse
from farebox.ingest.v1.usage_event_service_pb2 import ListQuarantinedUsageEventsResponse
from farebox.rating.v1 import customer_service_pb2
from farebox.rating.v1.customer_pb2 import Customer
from services.kernel import errors
from services.kernel.errors import FieldViolation
from tests.support.gateway import Gateway, bare, new_gateway

ACME = Customer(
    id="u1",
    external_id="acme",
    name="Acme",
    address_lines=["1 Road", "75001 Paris"],
    invoice_grace_period_days=0,
    metadata={"b": "2", "a": "1"},
    sequential_id=7,
)


@pytest.fixture
def gateway() -> Gateway:
    gateway = new_gateway(invoice_prefix="INV")
    gateway.services.on(
        "UpsertCustomer", lambda request: customer_service_pb2.UpsertCustomerResponse(customer=request.customer)
    )
    return gateway


def said(gateway: Gateway, **fields: Any) -> tuple[Customer, list[str]]:
    """The customer that the service is told, and the names of what is said of it."""
    response = gateway.post("/api/v1/customers", json={"customer": {"external_id": "acme", **fields}})
    assert response.status_code == 200, response.text
    request = gateway.services.requests("UpsertCustomer")[-1]
    return request.customer, sorted(request.update_mask.paths)


def refused(gateway: Gateway, **fields: Any) -> Any:
    response = gateway.post("/api/v1/customers", json={"customer": {"external_id": "acme", **fields}})
    assert response.status_code == 422
    assert not gateway.services.requests("UpsertCustomer")
    return response.json()["error_details"]


def test_what_is_named_changes_and_what_is_not_stays(gateway: Gateway) -> None:
    """An update mask says which is which, so that the service applies it under its lock."""
    assert said(gateway)[1] == []
    customer, paths = said(gateway, email="a@b.c", net_payment_term=14, tax_codes=["vat"], currency="EUR")
    assert paths == ["currency", "email", "net_payment_term_days", "tax_codes"]
    assert (customer.net_payment_term_days, list(customer.tax_codes)) == (14, ["vat"])


@pytest.mark.parametrize(
    ("field", "nothing", "path"),
    [
        ("tax_codes", [], "tax_codes"),
        ("tax_codes", None, "tax_codes"),
        ("net_payment_term", None, "net_payment_term_days"),
        ("billing_configuration", {"invoice_grace_period": None}, "invoice_grace_period_days"),
        ("metadata", {}, "metadata"),
        ("metadata", [], "metadata"),
        ("name", None, "name"),
        ("timezone", None, "timezone"),
        ("address_line1", None, "address_lines"),
        ("address_lines", [], "address_lines"),
    ],
)
def test_what_was_given_can_be_taken_back(gateway: Gateway, field: str, nothing: Any, path: str) -> None:
    """Null and empty lists are named in the mask, and the field is empty."""
    customer, paths = said(gateway, **{field: nothing})
    assert paths == [path]
    assert customer == Customer(external_id="acme")


def test_a_term_of_no_days_is_not_an_absent_one(gateway: Gateway) -> None:
    """0 days means due at once; null means that the organization's term applies."""
    customer, _ = said(gateway, net_payment_term=0, billing_configuration={"invoice_grace_period": 0})
    assert customer.HasField("net_payment_term_days")
    assert customer.HasField("invoice_grace_period_days")


def test_an_address_is_lines_as_an_envelope_shows_them(gateway: Gateway) -> None:
    parts = {"address_line1": "1 Road", "zipcode": "75001", "city": "Paris", "state": "IDF"}
    assert list(said(gateway, **parts)[0].address_lines) == ["1 Road", "75001 Paris", "IDF"]
    assert list(said(gateway, address_lines=["a", "b"])[0].address_lines) == ["a", "b"]


def test_one_name_is_kept_and_another_is_never_dropped(gateway: Gateway) -> None:
    """The same name may be given under several keys; different names are refused."""
    assert said(gateway, firstname="Ada", lastname="Byron")[0].name == "Ada Byron"
    assert said(gateway, legal_name="Acme", name="Acme")[0].name == "Acme"
    assert refused(new_gateway(), name="Acme", legal_name="Acme Ltd", firstname="Ada") == {
        "legal_name": ["value_is_invalid"],
        "firstname": ["value_is_invalid"],
    }


def test_metadata_is_a_list_or_an_object(gateway: Gateway) -> None:
    assert said(gateway, metadata={"a": "1"})[0].metadata == {"a": "1"}
    assert said(gateway, metadata=[{"key": "a", "value": "1", "display_in_invoice": False}])[0].metadata == {"a": "1"}


@pytest.mark.parametrize(
    ("fields", "details"),
    [
        ({"metadata": [{"key": "a", "value": "1"}] * 2}, {"metadata[1].key": ["value_already_exist"]}),
        (
            {"metadata": [{"key": "a", "value": "1", "display_in_invoice": True}]},
            {"metadata[0].display_in_invoice": ["not_available"]},
        ),
        (
            {"billing_configuration": {"payment_provider": "stripe", "sync": True, "vat": 1}},
            {
                "billing_configuration.payment_provider": ["not_available"],
                "billing_configuration.sync": ["not_available"],
                "billing_configuration.vat": ["unknown_field"],
            },
        ),
        (
            {"address_line1": "a", "address_lines": ["b"], "phone": "1", "net_payment_term": -1},
            {"phone": ["not_available"], "net_payment_term": ["value_is_out_of_range"]},
        ),
        ({"address_line1": "a", "address_lines": ["b"]}, {"address_lines": ["value_is_invalid"]}),
        ({"finalize_zero_amount_invoice": "skip"}, {"finalize_zero_amount_invoice": ["not_available"]}),
    ],
)
def test_what_is_not_done_is_refused_by_the_callers_name(fields: Any, details: Any) -> None:
    assert refused(new_gateway(), **fields) == details


def test_a_bare_body_is_answered_bare(gateway: Gateway) -> None:
    """As Nozle's first SDKs send and read it."""
    answer = gateway.post("/api/v1/customers", json={"external_id": "acme", "name": "Acme"})
    assert answer.json()["external_id"] == "acme"
    assert gateway.post("/api/v1/customers", json={"colour": 1}).json()["error_details"] == {
        "colour": ["unknown_field"],
        "external_id": ["value_is_mandatory"],
    }


def test_what_a_customer_does_not_say_is_null(gateway: Gateway) -> None:
    """Terms of the organization are not shown as the customer's own, and what we do not know is not a field."""
    gateway.services.on("GetCustomer", customer_service_pb2.GetCustomerResponse(customer=ACME))
    customer = gateway.get("/api/v1/customers/acme").json()["customer"]
    assert customer["net_payment_term"] is None
    assert customer["billing_configuration"] == {"invoice_grace_period": 0}
    assert (customer["slug"], customer["applicable_timezone"]) == ("INV-7", "Europe/Paris")
    assert (customer["address_line1"], customer["address_line2"]) == ("1 Road", "75001 Paris")
    assert [entry["key"] for entry in customer["metadata"]] == ["a", "b"]
    assert "taxes" not in customer


def test_a_list_is_filtered_by_the_service(gateway: Gateway) -> None:
    """Filters are passed to the service.

    A filter that it does not have is refused, because all customers would come back.
    """
    listed = customer_service_pb2.ListCustomersResponse(customers=[ACME], page=PageResponse(total_size=1))
    gateway.services.on("ListCustomers", listed)
    answer = gateway.get("/api/v1/customers?currencies[]=EUR&currencies[]=USD&countries[]=FR&per_page=2").json()
    assert (len(answer["customers"]), answer["meta"]["total_count"]) == (1, 1)
    (request,) = gateway.services.requests("ListCustomers")
    assert (list(request.currencies), list(request.countries)) == (["EUR", "USD"], ["FR"])
    assert (request.page.page_size, request.page.with_total) == (2, True)
    for query in ("search_term=a", "metadata[a]=1", "has_customer_type=true", "zipcodes[]=1"):
        assert gateway.get(f"/api/v1/customers?{query}").status_code == 422


def test_a_length_that_nobody_counted_is_not_told(gateway: Gateway) -> None:
    """For a list longer than a service counts, the page says whether there is another, without a number."""
    page = PageResponse(next_page_token="t")
    gateway.services.on("ListCustomers", customer_service_pb2.ListCustomersResponse(customers=[ACME], page=page))
    meta = gateway.get("/api/v1/customers?page=2&per_page=1").json()["meta"]
    assert meta == {"current_page": 2, "next_page": 3, "prev_page": 1, "next_page_token": "t"}


def test_a_page_begins_where_the_one_before_ended(gateway: Gateway) -> None:
    """With the token of the page before nothing is passed over and nothing is counted, however far the page is."""
    page = PageResponse(next_page_token="second")
    gateway.services.on("ListCustomers", customer_service_pb2.ListCustomersResponse(customers=[ACME], page=page))
    meta = gateway.get("/api/v1/customers?page=500&per_page=1&page_token=first").json()["meta"]
    assert meta == {"current_page": 500, "next_page": 501, "prev_page": 499, "next_page_token": "second"}
    (request,) = gateway.services.requests("ListCustomers")
    assert request.page == PageRequest(page_size=1, page_token="first")


def test_a_token_of_another_list_is_refused_by_its_name(gateway: Gateway) -> None:
    refusal = errors.InvalidArgumentError.of_field("page.page_token", "value_is_invalid", "is not a token of this list")
    gateway.services.on("ListCustomers", refusal)
    response = gateway.get("/api/v1/customers?page_token=x")
    assert (response.status_code, response.json()["error_details"]) == (422, {"page_token": ["value_is_invalid"]})


def test_services_names_of_fields_become_the_callers(gateway: Gateway) -> None:
    violations = [
        FieldViolation("customer.invoice_grace_period_days", "value_is_invalid", "0 to 92"),
        FieldViolation("customer.tax_codes[1]", "value_is_invalid", "unknown"),
        FieldViolation("customer.net_payment_term_days", "value_is_invalid", "0 to 365"),
    ]
    error = errors.InvalidArgumentError("FIELD_INVALID", "bad", violations=violations)
    gateway.services.on("UpsertCustomer", error)
    answer = gateway.post("/api/v1/customers", json={"customer": {"external_id": "c", "tax_codes": ["a", "b"]}})
    assert list(answer.json()["error_details"]) == [
        "billing_configuration.invoice_grace_period",
        "tax_codes[1]",
        "net_payment_term",
    ]


def test_a_customer_says_how_many_of_its_events_cannot_be_billed(gateway: Gateway) -> None:
    """Of the customer itself, and no number at all while the log cannot be asked or does not count that far."""
    gateway.services.on("GetCustomer", customer_service_pb2.GetCustomerResponse(customer=ACME))
    told = []
    for answer in (
        ListQuarantinedUsageEventsResponse(page=PageResponse(total_size=3)),
        ListQuarantinedUsageEventsResponse(page=PageResponse(next_page_token="more")),
        bare(grpc.StatusCode.UNAVAILABLE),
    ):
        gateway.services.on("ListQuarantinedUsageEvents", answer)
        found = gateway.get("/api/v1/customers/acme")
        assert found.status_code == 200
        told.append(found.json()["customer"].get("quarantined_events_count", "nothing"))
    assert told == [3, "nothing", "nothing"]
    asked = gateway.services.requests("ListQuarantinedUsageEvents")
    assert {(request.external_customer_id, request.page.page_size) for request in asked} == {("acme", 1)}
