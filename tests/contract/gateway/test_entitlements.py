"""What customers may use, over REST: the facts of each type, with null for fields that the type does not have."""

from __future__ import annotations

from typing import Any

import pytest

from farebox.common.v1.decimal_pb2 import Decimal
from farebox.entitlements.v1 import access_service_pb2, entitlement_pb2, feature_service_pb2
from farebox.entitlements.v1.entitlement_pb2 import Access, Entitlement
from farebox.entitlements.v1.feature_pb2 import Feature
from farebox.rating.v1 import subscription_service_pb2
from farebox.rating.v1.subscription_pb2 import Subscription
from tests.support.gateway import Gateway, new_gateway

OWNER = {"external_customer_id": "acme", "external_subscription_id": "s1"}
HELD = [
    Entitlement(feature_code="sso", type=Feature.TYPE_GATE, enabled=False, **OWNER),
    Entitlement(
        feature_code="calls",
        type=Feature.TYPE_USAGE_LIMIT,
        source=entitlement_pb2.ENTITLEMENT_SOURCE_OVERRIDE,
        used=Decimal(value="0"),
        hard=False,
        reset_interval=entitlement_pb2.RESET_INTERVAL_NEVER,
        **OWNER,
    ),
    Entitlement(feature_code="region", type=Feature.TYPE_CONFIGURATION, value="eu", **OWNER),
]


@pytest.fixture
def gateway() -> Gateway:
    gateway = new_gateway()
    gateway.services.on("ListEntitlements", feature_service_pb2.ListEntitlementsResponse(entitlements=HELD))
    return gateway


def test_each_type_tells_what_it_is(gateway: Gateway) -> None:
    """A limit is not `enabled: false`, and a gate has no hard limit."""
    gate, limit, configuration = gateway.get("/api/v1/customers/acme/entitlements").json()["entitlements"]
    assert (gate["type"], gate["enabled"], gate["hard"], gate["used"]) == ("gate", False, None, None)
    assert (limit["type"], limit["enabled"], limit["hard"], limit["used"]) == ("usage_limit", None, False, 0)
    assert (limit["limit"], limit["reset_interval"], limit["source"]) == (None, "never", "override")
    assert (configuration["value"], configuration["enabled"], configuration["hard"]) == ("eu", None, None)


def test_a_check_says_of_a_limit_only_whether_it_is_hard(gateway: Gateway) -> None:
    """What a gate, or no subscription at all, has decided is neither hard nor soft."""
    told = []
    for access in (Access(allowed=True, hard=True), Access(allowed=True, hard=False), Access(allowed=True)):
        gateway.services.on("Check", access_service_pb2.CheckResponse(access=access))
        told.append(gateway.get("/api/v1/can?customer_id=acme&feature=f").json()["hard"])
    assert told == [True, False, None]


def overriding(gateway: Gateway) -> None:
    features = [Feature(code="sso", type=Feature.TYPE_GATE), Feature(code="calls", type=Feature.TYPE_USAGE_LIMIT)]
    gateway.services.on("ListFeatures", feature_service_pb2.ListFeaturesResponse(features=features))
    gateway.services.on("SetOverride", feature_service_pb2.SetOverrideResponse(entitlement=HELD[0]))
    gateway.services.on("RemoveOverride", feature_service_pb2.RemoveOverrideResponse())
    held = Subscription(external_id="s1", external_customer_id="acme")
    gateway.services.on("GetSubscription", subscription_service_pb2.GetSubscriptionResponse(subscription=held))


def test_a_subscription_has_other_terms_than_its_plan(gateway: Gateway) -> None:
    """Feature by feature, each change with an identity that a repeat under the same key has too."""
    overriding(gateway)
    body = {"entitlements": {"sso": {"enabled": False}, "calls": {"limit": 5, "hard": False, "reset_interval": "week"}}}
    for _ in range(2):
        answer = gateway.send(
            "PATCH", "/api/v1/subscriptions/s1/entitlements", json=body, headers={"Idempotency-Key": "k"}
        )
        assert len(answer.json()["entitlements"]) == len(HELD)
    gate, limit, *again = gateway.services.requests("SetOverride")
    assert again == [gate, limit]
    assert gate.request_id != limit.request_id
    assert (gate.external_customer_id, gate.external_subscription_id, gate.terms.enabled) == ("acme", "s1", False)
    assert (limit.terms.limit.value, limit.terms.hard) == ("5", False)
    assert limit.terms.reset_interval == entitlement_pb2.RESET_INTERVAL_WEEK


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"none": {}}, "entitlements.none"),
        ({"sso": {"limit": 1}}, "entitlements.sso.limit"),
        ({"sso": {"type": "configuration"}}, "entitlements.sso.type"),
        ({"calls": {"metric_code": "other"}}, "entitlements.calls.metric_code"),
    ],
)
def test_nothing_is_overridden_if_anything_is_wrong(gateway: Gateway, said: Any, field: str) -> None:
    overriding(gateway)
    path = "/api/v1/subscriptions/s1/entitlements"
    answer = gateway.send("PATCH", path, json={"entitlements": {"calls": {"limit": 1}} | said})
    assert (answer.status_code, list(answer.json()["error_details"])) == (422, [field])
    assert gateway.services.requests("SetOverride") == []


def test_a_subscription_returns_to_its_plans_terms(gateway: Gateway) -> None:
    """If the plan gives nothing, what is left is a gate that is off."""
    overriding(gateway)
    left = gateway.send("DELETE", "/api/v1/subscriptions/s1/entitlements/sso").json()["entitlement"]
    (asked,) = gateway.services.requests("RemoveOverride")
    assert (asked.external_customer_id, asked.external_subscription_id, asked.feature_code) == ("acme", "s1", "sso")
    assert (left["feature_code"], left["enabled"], left["source"]) == ("sso", False, None)


def test_whose_they_are_is_the_paths_to_say(gateway: Gateway) -> None:
    gateway.get("/api/v1/customers/a%2Fb/entitlements")
    gateway.get("/api/v1/subscriptions/s1/entitlements")
    first, second = gateway.services.requests("ListEntitlements")
    assert (first.external_customer_id, first.external_subscription_id) == ("a/b", "")
    assert (second.external_customer_id, second.external_subscription_id) == ("", "s1")
    assert gateway.get("/api/v1/subscriptions/s1/entitlements?subscription_status=pending").status_code == 422
