"""The Engine's routes: checkout, changes, access, costs, margins, the test clock."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from farebox.common.v1.decimal_pb2 import Decimal
from farebox.common.v1.page_pb2 import PageResponse
from farebox.entitlements.v1 import access_service_pb2
from farebox.entitlements.v1.entitlement_pb2 import Access
from farebox.margin.v1 import cost_model_service_pb2, margin_service_pb2
from farebox.margin.v1.margin_pb2 import Margin
from farebox.rating.v1 import subscription_pb2, subscription_service_pb2, test_clock_service_pb2
from farebox.rating.v1.plan_pb2 import BillingInterval, Plan
from farebox.rating.v1.subscription_pb2 import Subscription, SubscriptionChange
from services.kernel import errors
from tests.support.gateway import Gateway, identity, new_gateway

NOW = Timestamp(seconds=1704067200)
RECORD = cost_model_service_pb2.RecordCostEventsResponse


def held(plan: str = "pro", **fields: Any) -> Subscription:
    return Subscription(
        id="s1",
        external_id="sub_abc",
        external_customer_id="customer_123",
        plan_code=plan,
        plan_version=1,
        state=Subscription.STATE_ACTIVE,
        plan_currency="USD",
        **fields,
    )


def gateway_with(*subscriptions: Subscription) -> Gateway:
    """A gateway whose rating holds these subscriptions, creates what it is asked for, and knows two plans."""
    gateway = new_gateway(test_mode=True)
    on, service = gateway.services.on, subscription_service_pb2
    missing = errors.NotFoundError("SUBSCRIPTION_UNKNOWN", "no such subscription")
    found = service.GetSubscriptionResponse(subscription=subscriptions[0]) if subscriptions else missing
    on("GetSubscription", found)
    on("ListSubscriptions", service.ListSubscriptionsResponse(subscriptions=subscriptions))
    on("CreateSubscription", lambda asked: service.CreateSubscriptionResponse(change=_created(asked)))
    return gateway


def _created(asked: subscription_service_pb2.CreateSubscriptionRequest) -> SubscriptionChange:
    made = held(asked.plan_code)
    made.external_id = asked.external_id or "made"
    return SubscriptionChange(subscription=made, invoice_ids=["i1"])


def test_a_checkout_subscribes_and_is_completed() -> None:
    gateway = gateway_with()
    body = {"plan_code": "pro", "customer_id": "customer_123", "subscription_id": "sub_abc"}
    answer = gateway.post("/engine/api/v1/checkout", json=body, headers={"Idempotency-Key": "k"}).json()
    assert (answer["type"], answer["status"], answer["invoice_id"]) == ("completed", "succeeded", "i1")
    (request,) = gateway.services.requests("CreateSubscription")
    assert (request.external_id, request.plan_code) == ("sub_abc", "pro")
    assert request.request_id == identity("/checkout", "k")


def test_a_checkout_without_a_subscription_means_the_one_that_the_customer_has() -> None:
    """A customer who checks out another plan means a change; rating decides, so simultaneous calls make one."""
    gateway = gateway_with(held())
    answer = gateway.post("/api/v1/checkout", json={"plan_code": "max", "customer_id": "customer_123"}).json()
    assert (answer["type"], answer["plan_code"]) == ("completed", "max")
    (request,) = gateway.services.requests("CreateSubscription")
    assert request.reuse == subscription_service_pb2.REUSE_SUBSCRIPTION_OF_CUSTOMER
    assert gateway.services.requests("ListSubscriptions") == []


def test_an_invented_quote_is_refused() -> None:
    """A quote holds the customer to the terms it was shown, and to no others."""
    gateway = gateway_with(held())
    change = SubscriptionChange(subscription=held("max"), currency="USD", due_amount_cents=2000)
    gateway.services.on(
        "ChangeSubscriptionPlan", subscription_service_pb2.ChangeSubscriptionPlanResponse(change=change)
    )
    gateway.services.on("CreateSubscription", subscription_service_pb2.CreateSubscriptionResponse(change=change))
    which = {"plan_code": "max", "customer_id": "customer_123", "subscription_id": "sub_abc"}
    shown = gateway.post("/api/v1/subscriptions/preview", json=which).json()
    invented = gateway.post("/api/v1/checkout", json={**which, "quote_id": "q_1"})
    assert (invented.status_code, invented.json()["code"]) == (409, "quote_expired")
    assert gateway.post("/api/v1/checkout", json={**which, "quote_id": shown["quote_id"]}).status_code == 200


def test_a_checkout_that_takes_effect_later_is_scheduled() -> None:
    """The subscription in the answer is still on its old plan."""
    gateway = gateway_with(held())
    change = SubscriptionChange(subscription=held())
    gateway.services.on("CreateSubscription", subscription_service_pb2.CreateSubscriptionResponse(change=change))
    body = {"plan_code": "basic", "customer_id": "customer_123", "subscription_id": "sub_abc"}
    assert gateway.post("/api/v1/checkout", json=body).json()["type"] == "scheduled"


def test_subscribing_again_keeps_the_subscription_and_its_version() -> None:
    """The plan's existing subscription is used, whatever its id; its version is never changed in silence."""
    gateway = gateway_with(held())
    body = {"plan_code": "pro", "customer_id": "customer_123"}
    assert gateway.post("/api/v1/subscribe", json=body).json()["status"] == "active"
    (request,) = gateway.services.requests("CreateSubscription")
    assert request.reuse == subscription_service_pb2.REUSE_SUBSCRIPTION_OF_PLAN
    other = gateway.post("/api/v1/subscribe", json={**body, "plan_version": 2})
    assert other.status_code == 422
    assert other.json()["error_details"] == {"plan_version": ["plan_version_change_not_supported"]}


def test_lagos_create_asks_to_move_what_is_there() -> None:
    """It is one call, in which rating decides whose the external id is; nothing is looked up first."""
    gateway = gateway_with(held())
    body = {"external_customer_id": "customer_123", "external_id": "sub_abc", "plan_code": "max"}
    response = gateway.post("/api/v1/subscriptions", json={"subscription": body})
    assert response.json()["subscription"]["plan_code"] == "max"
    (request,) = gateway.services.requests("CreateSubscription")
    assert (request.external_customer_id, request.change_existing) == ("customer_123", True)
    assert gateway.services.requests("GetSubscription") == []


@pytest.mark.parametrize(
    ("query", "timing"),
    [
        ("customer_id=customer_123", subscription_service_pb2.CHANGE_TIMING_NOW),
        (
            "customer_id=customer_123&cancellation_policy=end_of_period",
            subscription_service_pb2.CHANGE_TIMING_PERIOD_END,
        ),
        ("on_termination_credit_note=skip", subscription_service_pb2.CHANGE_TIMING_NOW),
    ],
)
def test_a_cancellation_is_immediate_unless_it_says_otherwise(query: str, timing: int) -> None:
    gateway = gateway_with(held())
    change = SubscriptionChange(subscription=held())
    gateway.services.on("CancelSubscription", subscription_service_pb2.CancelSubscriptionResponse(change=change))
    assert gateway.send("DELETE", f"/api/v1/subscriptions/sub_abc?{query}").status_code == 200
    assert gateway.services.requests("CancelSubscription")[0].timing == timing


def test_a_preview_leaves_the_idempotency_key_free() -> None:
    """The same key must still work for the change itself."""
    gateway = gateway_with(held())
    change = SubscriptionChange(subscription=held(), effective_at=NOW)
    gateway.services.on("CancelSubscription", subscription_service_pb2.CancelSubscriptionResponse(change=change))
    body = {
        "customer_id": "customer_123",
        "subscription_id": "sub_abc",
        "operation": "cancel",
        "timing": "end_of_period",
        "expected_effective_at": "2024-01-01T00:00:00Z",
    }
    response = gateway.post("/api/v1/subscriptions/transitions", json=body, headers={"Idempotency-Key": "k"})
    assert response.status_code == 200, response.text
    preview, applied = gateway.services.requests("CancelSubscription")
    assert (preview.validate_only, preview.request_id) == (True, "")
    assert (applied.validate_only, applied.request_id) == (False, identity("/subscriptions/transitions", "k"))


def test_a_transition_at_another_time_than_expected_is_a_conflict() -> None:
    gateway = gateway_with(held())
    change = SubscriptionChange(subscription=held(), effective_at=NOW)
    gateway.services.on("CancelSubscription", subscription_service_pb2.CancelSubscriptionResponse(change=change))
    body = {
        "customer_id": "customer_123",
        "subscription_id": "sub_abc",
        "operation": "cancel",
        "expected_effective_at": "2024-02-01T00:00:00Z",
    }
    assert gateway.post("/api/v1/subscriptions/transitions", json=body).status_code == 409


def test_a_forbidden_state_is_409_on_every_route() -> None:
    gateway = gateway_with(held())
    pending = errors.FailedPreconditionError("CHANGE_ALREADY_PENDING", "withdraw it first")
    gateway.services.on("CancelSubscription", pending)
    body = {"customer_id": "customer_123", "subscription_id": "sub_abc", "operation": "cancel"}
    assert gateway.post("/api/v1/subscriptions/transitions", json=body).status_code == 409
    assert gateway.send("DELETE", "/api/v1/subscriptions/sub_abc").status_code == 409


def test_options_are_one_call() -> None:
    """The plans to which one could move, with direction and time, and the pending change."""
    gateway = gateway_with(held())
    option = subscription_service_pb2.ListPlanChangesResponse.Option
    month = BillingInterval(unit=BillingInterval.UNIT_MONTH, count=1)
    basic, pro = (Plan(code=code, name=code, currency="USD", interval=month) for code in ("basic", "pro"))
    answer = subscription_service_pb2.ListPlanChangesResponse(
        subscription=held(),
        plan=pro,
        options=[
            option(plan=basic, direction=subscription_pb2.CHANGE_DIRECTION_DOWNGRADE, effective_at=NOW),
            option(plan=pro, refusal="PLAN_UNCHANGED"),
        ],
    )
    gateway.services.on("ListPlanChanges", answer)
    shown = gateway.get("/api/v1/subscriptions/options?customer_id=customer_123&subscription_id=sub_abc").json()
    assert [(plan["code"], plan["direction"], plan["timing"]) for plan in shown["eligible_plans"]] == [
        ("basic", "downgrade", "end_of_period")
    ]
    assert (shown["pending_change"], shown["subscription"]["plan"]["code"]) == (None, "pro")


def test_can_fits_every_version_of_the_sdk() -> None:
    gateway = gateway_with()
    access = Access(
        allowed=True,
        reason=Access.REASON_WITHIN_LIMIT,
        used=Decimal(value="1580"),
        limit=Decimal(value="10000"),
        remaining=Decimal(value="8420"),
        revision=7,
    )
    gateway.services.on("Check", access_service_pb2.CheckResponse(access=access))
    for base in ("/api/v1", "/engine/api/v1", "/v1"):
        answer = gateway.get(f"{base}/can?customer_id=c&feature=api-calls").json()
        assert (answer["allowed"], answer["used"], answer["remaining"]) == (True, 1580, 8420)
        assert (answer["overage"], answer["reason"]) == (False, "within_limit")


def test_unlimited_is_null_and_still_there() -> None:
    gateway = gateway_with()
    gateway.services.on("Check", access_service_pb2.CheckResponse(access=Access(allowed=True)))
    answer = gateway.get("/api/v1/can?customer_id=c&feature=f").json()
    assert answer["limit"] is None
    assert answer["remaining"] is None
    assert answer["used"] == 0


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(RECORD.OUTCOME_ACCEPTED, 202), (RECORD.OUTCOME_DUPLICATE, 202), (RECORD.OUTCOME_CONFLICT, 409)],
)
def test_a_cost_event_is_taken_once(outcome: int, status: int) -> None:
    gateway = gateway_with()
    gateway.services.on("RecordCostEvents", RECORD(outcomes=[outcome]))
    body = {
        "cost_event_id": "ce_1",
        "cost_meter_code": "ai_tokens",
        "external_customer_id": "c",
        "timestamp": 1704067200.25,
        "properties": {"model": "gpt-5", "type": "cached_input", "tokens": 900},
    }
    assert gateway.post("/api/v1/cost-events", json=body).status_code == status
    (request,) = gateway.services.requests("RecordCostEvents")
    assert request.cost_events[0].tokens == 900
    assert request.cost_events[0].occurred_at.nanos == 250_000_000


def test_a_cost_event_belongs_to_somebody() -> None:
    response = gateway_with().post("/api/v1/cost-events", json={"cost_event_id": "x", "cost_meter_code": "y"})
    assert response.status_code == 422


def test_rates_are_cents_outside_and_dollars_inside() -> None:
    gateway = gateway_with()
    service = cost_model_service_pb2
    gateway.services.on(
        "CreateCostModel", lambda request: service.CreateCostModelResponse(cost_model=request.cost_model)
    )
    body = {"metric_code": "llm", "cost_type": "per_model", "model_rates": {"gpt-4o": {"input": 250, "output": 1000.5}}}
    answer = gateway.post("/api/v1/cost-models", json=body).json()["cost_model"]
    rates = gateway.services.requests("CreateCostModel")[0].cost_model.per_model.rates["gpt-4o"]
    assert (rates.input_per_million.value, rates.output_per_million.value) == ("2.5", "10.005")
    assert answer["model_rates"] == {"gpt-4o": {"input": 250, "output": 1000.5}}


def test_margins_read_their_span_by_both_names() -> None:
    gateway = gateway_with()
    margin = Margin(group="c", currency="USD", revenue=Decimal(value="10.005"), margin=Decimal(value="10.005"))
    page = PageResponse(next_page_token="t", total_size=2)
    gateway.services.on("ListMargins", margin_service_pb2.ListMarginsResponse(margins=[margin], page=page))
    answer = gateway.get("/api/v1/margin/customers?from=2024-01-01&to=2024-01-31&per_page=1").json()
    (row,), meta = answer["customers"], answer["meta"]
    assert (meta["total_count"], meta["next_page"], meta["next_page_token"]) == (2, 2, "t")
    gateway.get("/api/v1/margin/customers?from_date=2024-01-01T00:00:00Z&to_date=2024-02-01T00:00:00Z")
    first, second = gateway.services.requests("ListMargins")
    assert first.period == second.period
    assert (row["external_customer_id"], row["revenue"], row["total_revenue_cents"]) == ("c", "10.005", 1001)


def test_the_test_clock() -> None:
    gateway = gateway_with()
    gateway.services.on("SetTestClock", test_clock_service_pb2.SetTestClockResponse(now=NOW))
    advanced = test_clock_service_pb2.AdvanceTestClockResponse(now=NOW, closed_period_count=3)
    gateway.services.on("AdvanceTestClock", advanced)
    assert gateway.post("/api/v1/test_clock", json={"now": "2024-01-01T00:00:00Z"}).json() == {
        "test_clock": {"now": "2024-01-01T00:00:00Z"}
    }
    answer = gateway.post("/api/v1/test_clock/advance", json={"to": "2024-02-01T00:00:00Z"}).json()["test_clock"]
    assert answer["closed_periods_count"] == 3
    assert gateway.post("/api/v1/test_clock/advance", json={}).status_code == 422
