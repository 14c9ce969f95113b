"""What a plan unlocks: our extension `entitlements` of a plan's body."""

from __future__ import annotations

from typing import Any

from farebox.rating.v1.plan_pb2 import PlanEntitlement
from gateway.dialects.nozle import write
from gateway.dialects.nozle.read import Reader

KINDS = {
    "gate": PlanEntitlement.KIND_GATE,
    "usage_limit": PlanEntitlement.KIND_USAGE_LIMIT,
    "configuration": PlanEntitlement.KIND_CONFIGURATION,
    "boolean": PlanEntitlement.KIND_GATE,
    "metered": PlanEntitlement.KIND_USAGE_LIMIT,
}
RESETS = {
    "billing_period": PlanEntitlement.RESET_BILLING_PERIOD,
    "day": PlanEntitlement.RESET_DAY,
    "week": PlanEntitlement.RESET_WEEK,
    "month": PlanEntitlement.RESET_MONTH,
    "never": PlanEntitlement.RESET_NEVER,
}


def read_entitlement(body: Reader) -> PlanEntitlement:
    """An entitlement for the wire; its `type` follows from what is given where it is not said.

    Raises:
        Problem: 422, a field is missing or cannot be read.
    """
    metric = body.text("billable_metric_code") or body.text("metric_code")
    limited = metric or body.has("limit")
    assumed = PlanEntitlement.KIND_USAGE_LIMIT if limited else PlanEntitlement.KIND_GATE
    if body.has("value") and not limited:
        assumed = PlanEntitlement.KIND_CONFIGURATION
    return PlanEntitlement(
        feature_code=body.text("feature_code") or body.required("code"),
        kind=body.choice("type", KINDS, assumed),
        enabled=body.flag("enabled", default=True),
        limit=body.decimal("limit"),
        metric_code=metric,
        hard=body.flag("hard", default=True),
        reset=body.choice("reset_interval", RESETS, PlanEntitlement.RESET_BILLING_PERIOD),
        value=body.text("value"),
    )


def entitlement_json(entitlement: PlanEntitlement) -> dict[str, Any]:
    """An entitlement of a plan."""
    return {
        "feature_code": entitlement.feature_code,
        "type": write.word(KINDS, entitlement.kind),
        "enabled": entitlement.enabled,
        "limit": write.number(entitlement, "limit"),
        "billable_metric_code": entitlement.metric_code or None,
        "hard": entitlement.hard,
        "reset_interval": write.word(RESETS, entitlement.reset),
        "value": entitlement.value or None,
    }
