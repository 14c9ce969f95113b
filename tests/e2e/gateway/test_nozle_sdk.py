"""The unmodified nozle-sdk plays its story."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from nozle import Nozle
from nozle.errors import NozleAPIError

from examples.story import price_sheet
from farebox.testing import Rest
from services.chassis.wait import wait_until
from tests.support.patience import PATIENCE_SECONDS

CALLS = 30


@pytest.fixture
def sold(rest: Rest) -> Rest:
    """Metrics, features, plans and costs exist."""
    rest.post("/test_clock", {"now": "2024-01-01T00:00:00Z"})
    for metric in price_sheet.METRICS:
        rest.post("/billable_metrics", {"billable_metric": metric})
    for feature in price_sheet.FEATURES:
        rest.post("/features", {"feature": feature})
    rest.post("/plans", {"plan": price_sheet.PLAN})
    basic = {"name": "Basic", "code": "basic", "interval": "monthly", "amount_cents": 900, "amount_currency": "USD"}
    rest.post("/plans", {"plan": basic})
    rest.post("/cost-models", price_sheet.COST_MODEL)
    return rest


def test_from_checkout_to_margin(nozle: Nozle, sold: Rest) -> None:
    assert nozle.ping()["ok"] is True
    assert {plan["code"] for plan in nozle.plans()} == {"pro", "basic"}
    assert nozle.customers.upsert("cust/1 a", name="Acme")["external_id"] == "cust/1 a"
    checkout: Any = nozle.checkout("cust/1 a", "pro", idempotency_key="checkout-1")
    assert checkout["type"] == "completed"
    assert nozle.checkout("cust/1 a", "pro")["subscription_id"] == checkout["subscription_id"]

    for number in range(CALLS):
        identity = nozle.track("cust/1 a", "api_call", {"n": number})
        nozle.track("cust/1 a", "api_call", {"n": number}, transaction_id=identity)
    tokens = {"model": "gpt-4o", "type": "output", "tokens": 500_000}
    nozle.track("cust/1 a", "llm_tokens", tokens, subscription_id=checkout["subscription_id"])

    def used() -> Any:
        return nozle.can("cust/1 a", "api-calls")["used"] == CALLS

    wait_until(used, timeout=PATIENCE_SECONDS, what="the limit to count")
    access: Any = nozle.can("cust/1 a", "api-calls")
    assert (access["allowed"], access["limit"]) == (True, price_sheet.API_CALL_LIMIT)
    assert access["remaining"] == price_sheet.API_CALL_LIMIT - CALLS
    assert nozle.can("cust/1 a", "analytics")["allowed"] is True
    assert nozle.can("cust/1 a", "sso")["allowed"] is False

    sold.post("/test_clock/advance", {"to": "2024-02-01T00:00:00Z"})
    usage = price_sheet.Usage(CALLS, {("gpt-4o", "output"): 500_000})
    (listed,) = nozle.invoices.list("cust/1 a", status="finalized")["invoices"]
    assert nozle.invoices.get(listed["nozle_id"])["total_amount_cents"] == usage.total_cents()
    (past,) = nozle.past_usage("cust/1 a", checkout["subscription_id"])
    assert past["amount_cents"] == usage.total_cents() - price_sheet.BASE_PRICE_CENTS

    def costed() -> Any:
        return Decimal(nozle.margin.summary()["cost"]) == usage.cost()

    wait_until(costed, timeout=PATIENCE_SECONDS, what="the cost")
    summary = nozle.margin.summary()
    assert summary["total_margin_cents"] == usage.total_cents() - int(usage.cost() * 100)


def test_changes_and_their_previews(nozle: Nozle, sold: Rest) -> None:
    subscribed = nozle.subscribe("acme", "pro")
    assert subscribed["status"] == "active"
    assert nozle.subscribe("acme", "pro") == subscribed
    identity = subscribed["subscription_id"]

    options: Any = nozle.subscription_options("acme", identity)
    (basic,) = options["eligible_plans"]
    assert (basic["code"], basic["direction"], basic["timing"]) == ("basic", "downgrade", "end_of_period")

    wanted: Any = {"customer_id": "acme", "subscription_id": identity, "operation": "cancel", "timing": "end_of_period"}
    planned = nozle.preview_subscription_transition(wanted)["subscription_transition"]
    assert planned["effective_at"] == "2024-02-01T00:00:00Z"
    done = nozle.apply_subscription_transition(wanted, idempotency_key="cancel-1")["subscription_transition"]
    assert done["effective_at"] == planned["effective_at"]
    undo: Any = {"customer_id": "acme", "subscription_id": identity, "operation": "uncancel"}
    nozle.apply_subscription_transition(undo, idempotency_key="uncancel-1")
    ended = nozle.cancel_subscription("acme", identity, "immediate")["subscription"]
    assert ended["status"] == "terminated"


def test_refusals_are_what_the_sdk_expects(nozle: Nozle, sold: Rest) -> None:
    with pytest.raises(NozleAPIError) as unknown:
        nozle.subscribe("acme", "no-such-plan")
    assert (unknown.value.status_code, unknown.value.code) == (404, "plan_not_found")
    assert unknown.value.request_id
    with pytest.raises(NozleAPIError) as missing:
        nozle.invoices.get("0198c0de-0000-7000-8000-000000000000")
    assert missing.value.code == "invoice_not_found"


def test_costs_of_a_request_are_recorded_once(nozle: Nozle, sold: Rest) -> None:
    nozle.subscribe("acme", "pro")
    properties = {"tokens": 1_000_000, "provider": "openai", "model": "gpt-4o", "type": "input"}
    for _ in range(2):
        accepted = nozle.cost_events.track(
            cost_meter_code="ai_tokens", cost_event_id="ce_1", external_customer_id="acme", properties=properties
        )
        assert accepted["status"] == "accepted"
