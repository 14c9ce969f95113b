"""What holds for every route: keys, ids, errors."""

from __future__ import annotations

import grpc
import pytest

from farebox.rating.v1 import catalog_service_pb2, customer_service_pb2
from farebox.rating.v1.customer_pb2 import Customer
from farebox.rating.v1.plan_pb2 import Plan
from gateway.dialects.nozle.dialect import BASES
from services.kernel import errors
from tests.support.gateway import ORGANIZATION_ID, PUBLISHABLE, REVOKED, Gateway, bare, identity, new_gateway

PLANS = catalog_service_pb2.ListPlansResponse(plans=[Plan(code="pro", name="Pro", currency="USD")])


def with_plans() -> Gateway:
    gateway = new_gateway()
    gateway.services.on("ListPlans", PLANS)
    return gateway


@pytest.mark.parametrize("base", BASES)
def test_every_base_answers(base: str) -> None:
    assert with_plans().get(f"{base}/plans").json()["plans"][0]["code"] == "pro"


@pytest.mark.parametrize(
    ("key", "path", "status"),
    [
        ("", "/api/v1/plans", 401),
        ("nonsense", "/api/v1/plans", 401),
        (REVOKED, "/api/v1/plans", 401),
        (PUBLISHABLE, "/api/v1/plans", 200),
        (PUBLISHABLE, "/api/v1/customers", 403),
        (PUBLISHABLE, "/api/v1/can?customer_id=c&feature=f", 403),
        (PUBLISHABLE, "/v1/can?customer_id=c&feature=f", 403),
    ],
)
def test_a_key_reaches_what_it_may(key: str, path: str, status: int) -> None:
    gateway = with_plans()
    gateway.key = key
    assert gateway.get(path).status_code == status


def test_calls_are_for_the_organization_of_the_key_and_no_other() -> None:
    gateway = with_plans()
    gateway.get("/api/v1/plans", headers={"farebox-organization-id": "another"})
    assert [asked.organization for asked in gateway.services.asked if asked.method == "ListPlans"] == [ORGANIZATION_ID]


def test_a_request_id_is_given_back_or_made() -> None:
    gateway = with_plans()
    assert gateway.get("/api/v1/plans", headers={"X-Request-Id": "mine-1"}).headers["X-Request-Id"] == "mine-1"
    made = gateway.get("/api/v1/nope", headers={"X-Request-Id": "bad id\x7f"})
    assert made.headers["X-Request-Id"] not in ("", "bad id\x7f")
    assert made.json()["instance"].endswith(made.headers["X-Request-Id"])


def test_an_id_with_a_slash_is_one_id() -> None:
    gateway = new_gateway()
    customer = Customer(external_id="ent/1 a", name="A")
    gateway.services.on("GetCustomer", customer_service_pb2.GetCustomerResponse(customer=customer))
    assert gateway.get("/core/api/v1/customers/ent%2F1%20a").json()["customer"]["external_id"] == "ent/1 a"
    assert gateway.services.requests("GetCustomer")[0].external_id == "ent/1 a"


def test_a_service_that_is_away_is_503_with_a_wait_and_no_address() -> None:
    gateway = new_gateway()
    gateway.services.on("ListPlans", bare(grpc.StatusCode.UNAVAILABLE))
    response = gateway.get("/api/v1/plans")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert "10.0.0.1" not in response.text
    assert response.headers["Content-Type"] == "application/problem+json"


def test_a_bug_is_500_and_tells_nothing() -> None:
    gateway = new_gateway()
    gateway.services.on("ListPlans", KeyError("secret detail"))
    response = gateway.get("/api/v1/plans")
    assert response.status_code == 500
    assert "secret detail" not in response.text


def test_a_method_that_a_service_lacks_is_501() -> None:
    gateway = new_gateway()
    gateway.services.on("ListPlans", bare(grpc.StatusCode.UNIMPLEMENTED))
    assert gateway.get("/api/v1/plans").status_code == 501


def test_a_route_that_is_not_offered_yet_is_501_in_the_same_shape() -> None:
    response = new_gateway().get("/api/v1/wallets")
    assert response.status_code == 501
    assert response.json()["code"] == "not_implemented"


def test_an_idempotency_key_is_the_identity_of_the_change() -> None:
    gateway = new_gateway()
    gateway.services.on("UpsertCustomer", customer_service_pb2.UpsertCustomerResponse())
    for headers in ({"Idempotency-Key": "k1"}, {}):
        gateway.post("/api/v1/customers", json={"customer": {"external_id": "c"}}, headers=headers)
    given, made = gateway.services.requests("UpsertCustomer")
    assert given.request_id == identity("/customers", "k1")
    assert len(made.request_id) == 36, "our own retries need an identity too"


def test_an_idempotency_key_that_was_used_otherwise_is_409() -> None:
    gateway = new_gateway()
    gateway.services.on("UpsertCustomer", errors.AlreadyExistsError("REQUEST_ID_REUSED", "other"))
    response = gateway.post("/api/v1/customers", json={"customer": {"external_id": "c"}})
    assert (response.status_code, response.json()["code"]) == (409, "idempotency_conflict")


def test_an_idempotency_key_is_at_most_255_bytes() -> None:
    response = new_gateway().post(
        "/api/v1/customers", json={"customer": {"external_id": "c"}}, headers={"Idempotency-Key": "k" * 256}
    )
    assert response.status_code == 422
