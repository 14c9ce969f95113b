"""What customers may, over REST: the truth of each type, null where a field says nothing of it."""

from __future__ import annotations

import pytest

from farebox.common.v1.decimal_pb2 import Decimal
from farebox.entitlements.v1 import access_service_pb2, entitlement_pb2, feature_service_pb2
from farebox.entitlements.v1.entitlement_pb2 import Access, Entitlement
from farebox.entitlements.v1.feature_pb2 import Feature
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


def test_whose_they_are_is_the_paths_to_say(gateway: Gateway) -> None:
    gateway.get("/api/v1/customers/a%2Fb/entitlements")
    gateway.get("/api/v1/subscriptions/s1/entitlements")
    first, second = gateway.services.requests("ListEntitlements")
    assert (first.external_customer_id, first.external_subscription_id) == ("a/b", "")
    assert (second.external_customer_id, second.external_subscription_id) == ("", "s1")
    assert gateway.get("/api/v1/subscriptions/s1/entitlements?subscription_status=pending").status_code == 422
