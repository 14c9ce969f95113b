"""Who changes something finds it with the next call: no poll, no pause, two replicas of every service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from farebox.entitlements.v1 import access_service_pb2, access_service_pb2_grpc, feature_service_pb2
from farebox.entitlements.v1.entitlement_pb2 import Access
from farebox.entitlements.v1.feature_service_pb2_grpc import FeatureServiceStub
from farebox.ingest.v1 import usage_event_service_pb2, usage_event_service_pb2_grpc
from farebox.ingest.v1.usage_event_pb2 import IngestOutcome, UsageEvent
from farebox.testing import Farebox, Rest
from services.kernel.ids import new_id
from tests.support.patience import PATIENCE_SECONDS

# Without waiting for a change, about every second of these failed.
TIMES = 20


def plan(code: str, amount_cents: int, **terms: Any) -> dict[str, Any]:
    """A monthly plan with one gate and one limit."""
    monthly = {"interval": "monthly", "amount_cents": amount_cents, "amount_currency": "USD"}
    limit = {"feature_code": "calls", "metric_code": "api_call", **terms}
    return {"plan": {"name": code, "code": code, **monthly, "entitlements": [{"feature_code": "sso"}, limit]}}


@pytest.fixture
def shop(rest: Rest) -> Rest:
    """Two plans on sale, in the machine's time."""
    metric = {"name": "API calls", "code": "api_call", "aggregation_type": "count_agg"}
    rest.post("/billable_metrics", {"billable_metric": metric})
    rest.post("/features", {"feature": {"code": "sso", "name": "SSO", "type": "gate"}})
    calls = {"code": "calls", "name": "Calls", "type": "usage_limit", "billable_metric_code": "api_call"}
    rest.post("/features", {"feature": calls})
    rest.post("/plans", plan("small", 1000, limit="10"))
    rest.post("/plans", plan("large", 9000, limit="1000"))
    return rest


def checkout(rest: Rest, customer: str, plan_code: str = "small") -> None:
    rest.post("/checkout", {"customer_id": customer, "plan_code": plan_code, "subscription_id": f"sub-{customer}"})


def send(rest: Rest, customer: str, code: str = "api_call") -> str:
    event = {"transaction_id": new_id(), "external_subscription_id": f"sub-{customer}", "code": code}
    return str(rest.post("/events", {"event": event})["event"]["status"])


def test_after_a_checkout_the_customer_may(shop: Rest) -> None:
    for number in range(TIMES):
        checkout(shop, f"customer-{number}")
        assert shop.get("/can", customer_id=f"customer-{number}", feature="sso")["allowed"], number


def test_after_a_checkout_an_event_is_accepted(shop: Rest) -> None:
    for number in range(TIMES):
        checkout(shop, f"customer-{number}")
        assert send(shop, f"customer-{number}") == "accepted", number


def test_an_event_of_a_new_metric_is_accepted(shop: Rest) -> None:
    checkout(shop, "acme")
    for number in range(TIMES):
        metric = {"name": "M", "code": f"metric-{number}", "aggregation_type": "count_agg"}
        shop.post("/billable_metrics", {"billable_metric": metric})
        assert send(shop, "acme", f"metric-{number}") == "accepted", number


def test_after_a_plan_change_the_new_limit_holds(shop: Rest) -> None:
    """Both ways: what is allowed already would be answered from before the change without asking anybody."""
    for number in range(TIMES):
        customer = f"customer-{number}"
        checkout(shop, customer)
        shop.post(
            "/subscriptions",
            {
                "subscription": {
                    "external_customer_id": customer,
                    "plan_code": "large",
                    "external_id": f"sub-{customer}",
                }
            },
        )
        assert shop.get("/can", customer_id=customer, feature="calls")["limit"] == 1000, number


def test_after_a_cancellation_the_customer_may_not(shop: Rest) -> None:
    for number in range(TIMES):
        customer = f"customer-{number}"
        checkout(shop, customer)
        assert shop.get("/can", customer_id=customer, feature="sso")["allowed"]
        shop.delete(f"/subscriptions/sub-{customer}")
        assert not shop.get("/can", customer_id=customer, feature="sso")["allowed"], number
        assert send(shop, customer) == "quarantined", number


def test_a_caller_who_knows_of_no_change_is_not_told_no_too_early(shop: Rest, farebox: Farebox) -> None:
    """As one whose change went through another gateway: who names no change is asked for before a no."""
    may = Asking(farebox)
    for number in range(TIMES):
        customer = f"customer-{number}"
        checkout(shop, customer)
        ask = (may.check, may.consume, may.entitled, may.ingest)[number % 4]
        assert ask(customer), (number, ask.__name__)


class Asking:
    """The services themselves, asked without a word of any change."""

    def __init__(self, farebox: Farebox) -> None:
        access = access_service_pb2_grpc.AccessServiceStub(farebox.channel("entitlements"))
        events = usage_event_service_pb2_grpc.UsageEventServiceStub(farebox.channel("ingest"))
        self._check, self._consume = access.Check, access.Consume
        self._list = FeatureServiceStub(farebox.channel("entitlements")).ListEntitlements
        self._ingest = events.IngestUsageEvents
        self._metadata = farebox.metadata

    def _ask(self, method: Callable[..., Any], request: Any) -> Any:
        return method(request, metadata=self._metadata, timeout=PATIENCE_SECONDS)

    def check(self, customer: str) -> bool:
        request = access_service_pb2.CheckRequest(external_customer_id=customer, feature_code="sso")
        return bool(self._ask(self._check, request).access.allowed)

    def consume(self, customer: str) -> bool:
        request = access_service_pb2.ConsumeRequest(
            request_id=new_id(), external_customer_id=customer, feature_code="calls"
        )
        request.units.value = "1"
        first, again = self._ask(self._consume, request), self._ask(self._consume, request)
        # What was rolled back while it waited is not kept: the repeat hears what was decided in the end.
        assert (first.access.reason, again.access.reason) == (Access.REASON_WITHIN_LIMIT,) * 2
        return bool(first.access.allowed and again.replayed)

    def entitled(self, customer: str) -> bool:
        request = feature_service_pb2.ListEntitlementsRequest(external_customer_id=customer)
        return len(self._ask(self._list, request).entitlements) == 2

    def ingest(self, customer: str) -> bool:
        event = UsageEvent(transaction_id=new_id(), external_customer_id=customer, code="api_call")
        request = usage_event_service_pb2.IngestUsageEventsRequest(events=[event])
        return list(self._ask(self._ingest, request).outcomes) == [IngestOutcome.INGEST_OUTCOME_ACCEPTED]
