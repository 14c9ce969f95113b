"""A POST with an Idempotency-Key is answered once (ADR 19)."""

from __future__ import annotations

import json
from typing import Any

import grpc
import httpx
import pytest

from farebox.rating.v1 import (
    catalog_service_pb2,
    customer_service_pb2,
    invoice_service_pb2,
    kept_answer_service_pb2,
    subscription_service_pb2,
)
from farebox.rating.v1.customer_pb2 import Customer
from gateway import kept_answers
from gateway.dialects import DIALECTS
from gateway.operation import Operation
from services.kernel import errors
from tests.support.gateway import Gateway, bare, new_gateway

KEY = {"Idempotency-Key": "k"}
REPLAYED = "Idempotent-Replayed"
# Paths of dialects whose events have an identity of their own, with the routes that take events back.
OF_EVENTS = {
    "/events",
    "/events/batch",
    "/cost-events",
    "/v1/billing/meter_events",
    "/v1/billing/meter_event_adjustments",
    "/v2/billing/meter_events",
    "/v2/billing/meter_event_adjustments",
}


@pytest.fixture
def gateway() -> Gateway:
    made = new_gateway()
    made.services.on("UpsertCustomer", upserted)
    return made


def upserted(request: Any) -> customer_service_pb2.UpsertCustomerResponse:
    customer = Customer(external_id=request.customer.external_id, name=request.request_id)
    return customer_service_pb2.UpsertCustomerResponse(customer=customer)


def customer(gateway: Gateway, name: str = "c", path: str = "/api/v1/customers", **headers: str) -> httpx.Response:
    return gateway.post(path, json={"customer": {"external_id": name}}, headers={**KEY, **headers})


def test_a_repeat_gets_the_same_answer_which_says_so(gateway: Gateway) -> None:
    """Byte for byte, under each base of the route, and the command runs once."""
    first, again = customer(gateway), customer(gateway, path="/core/api/v1/customers")
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert (first.headers.get(REPLAYED), again.headers[REPLAYED]) == (None, "true")
    assert first.headers["X-Request-Id"] != again.headers["X-Request-Id"], "each request keeps an id of its own"
    assert len(gateway.services.requests("UpsertCustomer")) == 1


def test_another_payload_is_a_conflict(gateway: Gateway) -> None:
    """The body, the query and the parameters of the path are what is asked."""
    customer(gateway)
    other = customer(gateway, "other")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    gateway.services.on("VoidInvoice", invoice_service_pb2.VoidInvoiceResponse())
    statuses = [gateway.post(f"/api/v1/invoices/{name}/void", headers=KEY).status_code for name in ("a", "a", "b")]
    assert statuses == [200, 200, 409]


def test_a_key_belongs_to_one_route(gateway: Gateway) -> None:
    """Also where two routes end in one command, which then gets two identities."""
    gateway.services.on("CreateSubscription", subscription_service_pb2.CreateSubscriptionResponse())
    gateway.services.on("ListSubscriptions", subscription_service_pb2.ListSubscriptionsResponse())
    body = {"customer_id": "c", "plan_code": "pro"}
    for path in ("/api/v1/checkout", "/api/v1/subscribe"):
        assert REPLAYED not in gateway.post(path, json=body, headers=KEY).headers
    identities = {request.request_id for request in gateway.services.requests("CreateSubscription")}
    assert len(identities) == len(gateway.services.requests("CreateSubscription")) == 2


def test_concurrent_repeats_wait_for_the_first(gateway: Gateway) -> None:
    """However many come at once, the command runs once and all get its answer."""
    body = {"json": {"customer": {"external_id": "c"}}, "headers": KEY}
    answers = gateway.together(*[("POST", "/api/v1/customers", body)] * 8)
    assert {(answer.status_code, answer.content) for answer in answers} == {(200, answers[0].content)}
    assert sorted(answer.headers.get(REPLAYED, "first") for answer in answers) == ["first"] + ["true"] * 7
    assert len(gateway.services.requests("UpsertCustomer")) == 1


def test_a_wait_has_an_end(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first request that takes too long is a conflict that says when to ask again."""
    monkeypatch.setattr(kept_answers, "WAIT_SECONDS", 0.0)
    states = kept_answer_service_pb2.ClaimKeyResponse
    gateway.services.on("ClaimKey", states(state=states.STATE_IN_PROGRESS))
    refused = customer(gateway)
    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_in_progress")
    assert refused.headers["Retry-After"] == "1"
    assert gateway.services.requests("UpsertCustomer") == []


@pytest.mark.parametrize(
    "failure",
    [
        KeyError("a bug"),
        bare(grpc.StatusCode.UNAVAILABLE),
        errors.NotFoundError("PLAN_UNKNOWN", "no plan"),
        errors.ResourceExhaustedError("BUSY", "later"),
    ],
)
def test_what_failed_is_not_kept(gateway: Gateway, failure: Exception) -> None:
    """A repeat tries again, also with a corrected payload, and its answer is the first."""
    gateway.services.on("UpsertCustomer", failure)
    assert customer(gateway).status_code >= 400
    gateway.services.on("UpsertCustomer", upserted)
    again = customer(gateway, "corrected")
    assert (again.status_code, again.headers.get(REPLAYED)) == (200, None)


def test_a_faulty_body_leaves_the_key_free(gateway: Gateway) -> None:
    faulty = gateway.post("/api/v1/customers", json={"customer": {}}, headers=KEY)
    assert (faulty.status_code, customer(gateway).status_code) == (422, 200)


def test_without_rating_nothing_is_done(gateway: Gateway) -> None:
    """A key that cannot be claimed is 503, and a retry finds it free."""
    gateway.services.on("ClaimKey", bare(grpc.StatusCode.UNAVAILABLE))
    assert customer(gateway).status_code == 503
    assert gateway.services.requests("UpsertCustomer") == []


@pytest.mark.parametrize("method", ["KeepAnswer", "ReleaseKey"])
def test_a_memory_that_fails_afterwards_changes_no_answer(gateway: Gateway, method: str) -> None:
    """What was done is told, and so is what was refused."""
    gateway.services.on(method, bare(grpc.StatusCode.UNAVAILABLE))
    assert customer(gateway).status_code == 200
    assert gateway.post("/api/v1/customers", json={"customer": {}}, headers={"Idempotency-Key": "l"}).status_code == 422


def test_an_answer_that_is_too_large_is_not_kept(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made anew, from what the command remembers."""
    monkeypatch.setattr(kept_answers, "MAX_CONTENT_BYTES", 10)
    answers = [customer(gateway) for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert len({request.request_id for request in gateway.services.requests("UpsertCustomer")}) == 1


def test_a_member_replayed_says_so_too(gateway: Gateway) -> None:
    """Nozle's answers say by a member of their own that they were given before; every other byte stays."""
    states = kept_answer_service_pb2.ClaimKeyResponse
    content = b'{"units":1.10,"replayed":false,"name":"\\"replayed\\""}'
    answer = kept_answer_service_pb2.KeptAnswer(status=201, media_type="application/json", content=content)
    gateway.services.on("ClaimKey", states(state=states.STATE_ANSWERED, answer=answer))
    replayed = customer(gateway)
    assert replayed.content == content.replace(b"false", b"true")
    assert (replayed.status_code, json.loads(replayed.content)["replayed"]) == (201, True)


def test_a_request_without_a_key_asks_nobody(gateway: Gateway) -> None:
    """Neither does an event, which has an identity of its own, nor another verb."""
    gateway.post("/api/v1/customers", json={"customer": {"external_id": "c"}})
    event = {"transaction_id": "t", "external_subscription_id": "s", "code": "m"}
    gateway.post("/api/v1/events", json={"event": event}, headers=KEY)
    gateway.services.on("DeleteTax", catalog_service_pb2.DeleteTaxResponse())
    gateway.send("DELETE", "/api/v1/taxes/vat", headers=KEY)
    assert gateway.services.requests("ClaimKey") == []


def test_every_post_that_is_no_event_keeps_its_answer() -> None:
    """A new route keeps its answer, unless it shows a secret or is named here as one of events."""
    posts = {
        (operation.path, operation.keeps_answer)
        for dialect in DIALECTS
        for operation in dialect.operations
        if isinstance(operation, Operation) and operation.method == "POST" and not operation.shows_secret
    }
    assert {path for path, is_kept in posts if not is_kept} == OF_EVENTS
    assert len(posts) > 2 * len(OF_EVENTS)
