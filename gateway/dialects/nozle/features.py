"""Features, and what a subscription is entitled to of them."""

from __future__ import annotations

from typing import Any

from farebox.entitlements.v1 import entitlement_pb2
from farebox.entitlements.v1 import feature_service_pb2 as service
from farebox.entitlements.v1.entitlement_pb2 import Entitlement
from gateway.call import Call
from gateway.dialects.nozle import write

RESETS = {
    "billing_period": entitlement_pb2.RESET_INTERVAL_BILLING_PERIOD,
    "day": entitlement_pb2.RESET_INTERVAL_DAY,
    "week": entitlement_pb2.RESET_INTERVAL_WEEK,
    "month": entitlement_pb2.RESET_INTERVAL_MONTH,
    "never": entitlement_pb2.RESET_INTERVAL_NEVER,
}
SOURCES = {
    "plan": entitlement_pb2.ENTITLEMENT_SOURCE_PLAN,
    "override": entitlement_pb2.ENTITLEMENT_SOURCE_OVERRIDE,
}


async def find_of_subscription(call: Call) -> Any:
    """`GET /subscriptions/{external_id}/entitlements`."""
    request = service.ListEntitlementsRequest(external_subscription_id=call.path["external_id"])
    answer = await call.ask(call.clients.features.ListEntitlements, request)
    return {"entitlements": [entitlement_json(each) for each in answer.entitlements]}


async def find_of_customer(call: Call) -> Any:
    """`GET /customers/{external_customer_id}/entitlements`: over all its subscriptions."""
    request = service.ListEntitlementsRequest(external_customer_id=call.path["external_customer_id"])
    answer = await call.ask(call.clients.features.ListEntitlements, request)
    return {"entitlements": [entitlement_json(each) for each in answer.entitlements]}


def entitlement_json(entitlement: Entitlement) -> dict[str, Any]:
    """What a customer may, through one subscription."""
    return {
        "feature_code": entitlement.feature_code,
        "external_customer_id": entitlement.external_customer_id,
        "external_subscription_id": entitlement.external_subscription_id,
        "source": write.word(SOURCES, entitlement.source),
        "enabled": entitlement.enabled,
        "limit": write.number(entitlement, "limit"),
        "used": write.number(entitlement, "used"),
        "hard": entitlement.hard,
        "reset_interval": write.word(RESETS, entitlement.reset_interval),
        "resets_at": write.instant(entitlement, "resets_at"),
        "value": entitlement.value or None,
    }
