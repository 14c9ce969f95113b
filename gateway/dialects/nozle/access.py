"""`can`: may this customer do this now? One reply that fits every version of the SDK."""

from __future__ import annotations

from typing import Any

from farebox.entitlements.v1 import access_service_pb2 as service
from farebox.entitlements.v1.entitlement_pb2 import Access
from gateway.call import Call
from gateway.dialects.nozle import write
from gateway.dialects.nozle.read import Reader
from gateway.problem import not_available


async def can(call: Call) -> Any:
    """`GET /can?customer_id&feature`; `units` asks about more than one."""
    query = Reader(call.query)
    if query.has("entity_id"):
        raise not_available("entity_id")
    request = service.CheckRequest(
        external_customer_id=query.required("customer_id"),
        feature_code=query.required("feature"),
        external_subscription_id=query.text("subscription_id"),
        units=query.decimal("units"),
    )
    return access_json((await call.ask(call.clients.access.Check, request)).access)


def access_json(access: Access) -> dict[str, Any]:
    """An access as the SDKs read it; `limit` and `remaining` are always there, null for unlimited."""
    overage = write.exact(access.overage)
    body = {
        "allowed": access.allowed,
        "reason": Access.Reason.Name(access.reason).removeprefix("REASON_").lower(),
        "feature": access.feature_code,
        "used": write.number(access, "used") or 0,
        "limit": write.number(access, "limit"),
        "remaining": write.number(access, "remaining"),
        "overage": overage > 0,
        "overage_units": write.json_number(overage),
        "hard": access.hard,
        "resets_at": write.instant(access, "resets_at"),
        "revision": access.revision,
        "valid_until": write.instant(access, "valid_until"),
        "subscription_id": access.external_subscription_id or None,
    }
    return {**body, "configuration": {"value": access.value}} if access.value else body
