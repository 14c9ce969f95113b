"""What a caller of the REST interface sees of limits over time, and of what calls cost."""

from __future__ import annotations

from typing import Any

import pytest

from farebox.testing import Rest
from services.chassis.wait import wait_until
from tests.support.patience import PATIENCE_SECONDS

RESETS = ("billing_period", "day", "week", "month", "never")


def plan(code: str, amount_cents: int) -> dict[str, Any]:
    """A monthly plan that limits one metric in every kind of window."""
    limits = [
        {"feature_code": reset, "limit": "100", "metric_code": "calls", "reset_interval": reset} for reset in RESETS
    ]
    monthly = {"interval": "monthly", "amount_cents": amount_cents, "amount_currency": "USD"}
    return {"plan": {"name": code, "code": code, **monthly, "entitlements": limits}}


@pytest.fixture
def limited(rest: Rest) -> Rest:
    """A customer on the small plan; it is noon of Sunday the 19th of May 2024."""
    rest.post("/test_clock", {"now": "2024-05-01T00:00:00Z"})
    metric = {"name": "calls", "code": "calls", "aggregation_type": "count_agg"}
    rest.post("/billable_metrics", {"billable_metric": metric})
    for reset in RESETS:
        feature = {"code": reset, "name": reset, "type": "usage_limit", "billable_metric_code": "calls"}
        rest.post("/features", {"feature": feature})
    rest.post("/plans", plan("small", 1000))
    rest.post("/plans", plan("large", 9000))
    rest.post("/checkout", {"customer_id": "alice", "plan_code": "small", "subscription_id": "sub_1"})
    rest.post("/test_clock/advance", {"to": "2024-05-19T12:00:00Z"})
    return rest


def used(rest: Rest) -> dict[str, float]:
    return {reset: rest.get("/can", customer_id="alice", feature=reset)["used"] for reset in RESETS}


def send(rest: Rest, name: str, at: str) -> None:
    event = {"transaction_id": name, "external_subscription_id": "sub_1", "code": "calls", "timestamp": at}
    rest.post("/events", {"event": event})


def test_a_limit_counts_usage_in_its_time_and_goes_on_after_an_upgrade(limited: Rest) -> None:
    """Late usage counts in the window of its time; after an upgrade every limit continues where it was."""
    send(limited, "today", "2024-05-19T08:00:00Z")
    send(limited, "this week", "2024-05-14T08:00:00Z")
    send(limited, "this month", "2024-05-02T08:00:00Z")
    expected = {"billing_period": 3, "day": 1, "week": 2, "month": 3, "never": 3}
    wait_until(lambda: used(limited) == expected, timeout=PATIENCE_SECONDS, what="usage in its windows")
    limited.post(
        "/subscriptions",
        {"subscription": {"external_customer_id": "alice", "plan_code": "large", "external_id": "sub_1"}},
    )
    wait_until(
        lambda: limited.get("/subscriptions/sub_1")["subscription"]["plan_code"] == "large",
        timeout=PATIENCE_SECONDS,
        what="the upgrade",
    )
    send(limited, "after", "2024-05-19T12:00:00Z")
    expected = {"billing_period": 4, "day": 2, "week": 3, "month": 4, "never": 4}
    wait_until(lambda: used(limited) == expected, timeout=PATIENCE_SECONDS, what="limits that go on")


def summary(rest: Rest) -> tuple[Any, ...]:
    found = rest.get("/margin/summary")
    return found["currency"], found["cost"], found["margin"], found["status"], found["coverage_ratio"]


def cost(rest: Rest, name: str, **fields: Any) -> None:
    properties = {
        key: fields.pop(key)
        for key in ("model", "type", "tokens", "amount", "currency", "service_tier")
        if key in fields
    }
    event = {"cost_event_id": name, "cost_meter_code": "ai", "external_customer_id": "alice", **fields}
    rest.post("/cost-events", {**event, "properties": properties})


def test_what_a_call_costs(limited: Rest) -> None:
    """Unpriced is no cost; names of gateways have prices; one call is counted once; the own currency stays first."""
    million = {"type": "input", "tokens": 1_000_000}
    cost(limited, "unknown", model="nobody-knows-this", **million)
    assert summary(limited) == ("USD", None, None, "unpriced", 0)
    cost(limited, "euros", amount="5", currency="EUR")
    cost(limited, "gateway", model="openai/gpt-4o", **million)
    assert summary(limited)[:2] == ("USD", "2.5")
    limited.post("/cost-models", {"metric_code": "calls", "amount_cents": "700"})
    send(limited, "t1", "2024-05-19T08:00:00Z")
    wait_until(lambda: summary(limited)[1] == "9.5", timeout=PATIENCE_SECONDS, what="the cost of the usage event")
    cost(limited, "named", model="gpt-4o", parent_transaction_id="t1", request_id="r1", **million)
    assert summary(limited)[1] == "5"
