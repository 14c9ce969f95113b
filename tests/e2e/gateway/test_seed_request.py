"""The seed's request, word for word."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from examples.demo import SEED_REQUEST
from examples.story import price_sheet
from farebox.testing import Farebox, Rest
from services.chassis.wait import wait_until
from tests.support.patience import PATIENCE_SECONDS


@pytest.fixture
def subscribed(rest: Rest) -> Rest:
    """The seed's customer and subscription exist, and it is the 20th of January 2024."""
    rest.post("/test_clock", {"now": "2024-01-01T00:00:00Z"})
    for metric in price_sheet.METRICS:
        rest.post("/billable_metrics", {"billable_metric": metric})
    for feature in price_sheet.FEATURES:
        rest.post("/features", {"feature": feature})
    rest.post("/plans", {"plan": price_sheet.PLAN})
    rest.post("/checkout", {"customer_id": "customer_123", "plan_code": "pro", "subscription_id": "sub_abc"})
    rest.post("/test_clock/advance", {"to": "2024-01-20T00:00:00Z"})
    return rest


def api_calls(rest: Rest) -> Any:
    usage = rest.get("/customers/customer_123/current_usage", external_subscription_id="sub_abc")["customer_usage"]
    charges = {charge["billable_metric"]["code"]: charge for charge in usage["charges_usage"]}
    return charges["api_call"]


def test_it_is_accepted_visible_and_counted_once(subscribed: Rest) -> None:
    assert subscribed.post_text("/events", SEED_REQUEST)["event"]["status"] == "accepted"
    wait_until(lambda: api_calls(subscribed)["units"] == "1", timeout=PATIENCE_SECONDS, what="the event to be counted")
    assert subscribed.post_text("/events", SEED_REQUEST)["event"]["status"] == "duplicate"
    later = SEED_REQUEST.replace("unique-id", "another-id")
    assert subscribed.post_text("/events", later)["event"]["status"] == "accepted"
    wait_until(lambda: api_calls(subscribed)["units"] == "2", timeout=PATIENCE_SECONDS, what="the next event")
    assert api_calls(subscribed)["events_count"] == 2


def test_the_same_id_with_other_content_is_told(subscribed: Rest, farebox: Farebox) -> None:
    subscribed.post_text("/events", SEED_REQUEST)
    other = SEED_REQUEST.replace("1500", "1501")
    headers = {"Authorization": f"Bearer {farebox.secret_key}"}
    response = httpx.post(f"{farebox.url}/api/v1/events", content=other, headers=headers)
    assert (response.status_code, response.json()["code"]) == (409, "transaction_id_reused")


def test_an_unknown_code_is_stored_and_says_so(subscribed: Rest) -> None:
    event = subscribed.post_text("/events", SEED_REQUEST.replace('"api_call"', '"no_such_metric"'))["event"]
    assert (event["status"], event["reason"]) == ("quarantined", "METRIC_UNKNOWN")


def test_a_stored_event_reads_back_exactly(subscribed: Rest) -> None:
    subscribed.post_text("/events", SEED_REQUEST)
    event = subscribed.get("/events/unique-id")["event"]
    assert event["properties"] == {"model": "gpt-4", "tokens": 1500}
    assert event["timestamp"] == "2024-01-15T10:30:00Z"
