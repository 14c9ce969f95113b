"""Entitlements: what a plan unlocks, which is our extension of a plan's body, and what a customer may use."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.entitlements.v1 import entitlement_pb2
from farebox.entitlements.v1 import feature_service_pb2 as rpc
from farebox.entitlements.v1.entitlement_pb2 import Entitlement as EntitlementMessage
from farebox.entitlements.v1.feature_pb2 import Feature
from farebox.rating.v1.plan_pb2 import PlanEntitlement as PlanEntitlementMessage
from gateway.decode.refusals import Refusals
from gateway.dialects.lago.feature import TYPE
from gateway.dialects.lago.subscription import BySubscription
from gateway.operation import ByCustomer, Nothing, Request, operation
from gateway.projection import callers_names, given, patch, project
from gateway.schema import Code, DecimalInput, ExactNumber, Instant, Words, keys, of

KIND = Words(PlanEntitlementMessage.Kind, "KIND_", synonyms={"boolean": "gate", "metered": "usage_limit"})
PLAN_RESET = Words(PlanEntitlementMessage.Reset, "RESET_")
RESET = Words(entitlement_pb2.ResetInterval, "RESET_INTERVAL_")
SOURCE = Words(entitlement_pb2.EntitlementSource, "ENTITLEMENT_SOURCE_")
# Which fields an entitlement has, by its type.
_FIELDS = {
    PlanEntitlementMessage.KIND_GATE: ("enabled",),
    PlanEntitlementMessage.KIND_USAGE_LIMIT: (
        "limit",
        "billable_metric_code",
        "metric_code",
        "hard",
        "reset_interval",
    ),
    PlanEntitlementMessage.KIND_CONFIGURATION: ("value",),
}

Units = Annotated[DecimalInput, Meta(description="Units that are granted; null or absent means unlimited.")]
Exactly = Annotated[ExactNumber, Meta(description="Units of the metric.")]
Value = Annotated[str, Meta(max_length=255, description="The value of a configuration.")]


class NewTerms(Struct, kw_only=True):
    """What is given of one feature: its privileges, as Lago calls them. Without a `type`, the given fields decide it.

    `metric_code` is another name of `billable_metric_code`.
    """

    type: Annotated[str, KIND.meta, of("kind")] | UnsetType | None = UNSET
    enabled: Annotated[bool, Meta(description="Whether a gate is on.")] | UnsetType | None = UNSET
    limit: Units | UnsetType | None = UNSET
    billable_metric_code: Annotated[Code, of("metric_code")] | UnsetType | None = UNSET
    metric_code: Code | UnsetType | None = UNSET
    hard: Annotated[bool, Meta(description="Whether usage beyond a limit is refused.")] | UnsetType | None = UNSET
    reset_interval: Annotated[str, PLAN_RESET.meta, of("reset")] | UnsetType | None = UNSET
    value: Value | UnsetType | None = UNSET


class NewPlanEntitlement(NewTerms, kw_only=True):
    """What a plan unlocks of one feature; `code` is another name of `feature_code`."""

    feature_code: Code | UnsetType = UNSET
    code: Annotated[Code, of("feature_code")] | UnsetType = UNSET


class PlanEntitlement(Struct, kw_only=True):
    """What a plan unlocks of one feature; fields that its type does not have are null."""

    feature_code: str
    type: Annotated[str, KIND.told, of("kind")] | None
    enabled: bool | None
    limit: Exactly | None
    billable_metric_code: Annotated[str | None, of("metric_code")]
    hard: bool | None
    reset_interval: Annotated[str, PLAN_RESET.told, of("reset")] | None
    value: str | None


class Entitlement(Struct, kw_only=True):
    """What a customer may use through one subscription; fields that the feature's type does not have are null."""

    feature_code: str
    type: Annotated[str, TYPE.told] | None
    external_customer_id: str
    external_subscription_id: str
    source: Annotated[str, SOURCE.told] | None
    enabled: bool | None
    limit: Exactly | None
    used: Exactly | None
    hard: bool | None
    reset_interval: Annotated[str, RESET.told] | None
    resets_at: Instant | None
    value: str | None


class Entitlements(Struct, kw_only=True):
    """All entitlements, by subscription and feature."""

    entitlements: list[Entitlement]


class EntitlementQuery(Struct):
    """The parameters of a list of entitlements; it shows what holds now, whatever the subscription's status."""

    NOT_OFFERED: ClassVar = keys("subscription_status")


async def find_of_customer(request: Request[ByCustomer, Nothing, Nothing]) -> Entitlements:
    """List what a customer may use now, over all its subscriptions."""
    call = request.call
    asked = rpc.ListEntitlementsRequest(external_customer_id=request.path.external_customer_id)
    answer = await call.ask(call.clients.features.ListEntitlements, asked)
    return Entitlements(entitlements=[entitlement_to_api(entitlement) for entitlement in answer.entitlements])


async def find_of_subscription(request: Request[BySubscription, EntitlementQuery, Nothing]) -> Entitlements:
    """List what a customer may use now through one subscription."""
    call, asked = request.call, rpc.ListEntitlementsRequest(external_subscription_id=request.path.external_id)
    answer = await call.ask(call.clients.features.ListEntitlements, asked)
    return Entitlements(entitlements=[entitlement_to_api(entitlement) for entitlement in answer.entitlements])


def entitlement_to_api(entitlement: EntitlementMessage) -> Entitlement:
    """What a customer may use; fields that the feature's type does not have are null."""
    is_gate, is_limit = entitlement.type == Feature.TYPE_GATE, entitlement.type == Feature.TYPE_USAGE_LIMIT
    return project(
        Entitlement,
        entitlement,
        enabled=entitlement.enabled if is_gate else None,
        hard=entitlement.hard if is_limit else None,
    )


def plan_entitlement_to_api(entitlement: PlanEntitlementMessage) -> PlanEntitlement:
    """What a plan unlocks; fields that its type does not have are null."""
    is_gate = entitlement.kind == PlanEntitlementMessage.KIND_GATE
    is_limit = entitlement.kind == PlanEntitlementMessage.KIND_USAGE_LIMIT
    return project(
        PlanEntitlement,
        entitlement,
        enabled=entitlement.enabled if is_gate else None,
        hard=entitlement.hard if is_limit else None,
    )


def say_plan_entitlement(entitlement: PlanEntitlementMessage, body: NewTerms, path: str, refusals: Refusals) -> None:
    """Fill a message from what a body unlocks; by default a gate is on and a limit is hard."""
    patch(entitlement, body)
    entitlement.enabled, entitlement.hard = body.enabled is not False, body.hard is not False
    entitlement.kind = entitlement.kind or _assumed(body)
    if not entitlement.feature_code:
        refusals.add(f"{path}.feature_code", "value_is_mandatory", "is missing")
    for name, same in (("code", "feature_code"), ("metric_code", "billable_metric_code")):
        both = (given(getattr(body, name, None)), given(getattr(body, same, None)))
        if len({value for value in both if value is not None}) > 1:
            refusals.add(f"{path}.{name}", "value_is_invalid", f"differs from {same}, which it is another name of")
    refuse_others_fields(body, entitlement.kind, path, refusals)


def refuse_others_fields(body: NewTerms, kind: PlanEntitlementMessage.Kind, path: str, refusals: Refusals) -> None:
    """Refuse what entitlements of this type do not have."""
    for other, names in _FIELDS.items():
        for name in names if other != kind else ():
            if given(getattr(body, name)) is not None:
                refusals.add(f"{path}.{name}", "value_is_invalid", f"does not belong to a {KIND.word(kind)}")


def _assumed(body: NewTerms) -> PlanEntitlementMessage.Kind:
    """The type of an entitlement without one, by the fields that it has."""
    if any(given(value) is not None for value in (body.limit, body.billable_metric_code, body.metric_code)):
        return PlanEntitlementMessage.KIND_USAGE_LIMIT
    is_configuration = given(body.value) is not None
    return PlanEntitlementMessage.KIND_CONFIGURATION if is_configuration else PlanEntitlementMessage.KIND_GATE


# The caller's names for the fields of an entitlement of a plan.
ENTITLEMENT_NAMES = callers_names(NewPlanEntitlement, PlanEntitlementMessage) | {
    "feature_code": "feature_code",
    "metric_code": "billable_metric_code",
}
OPERATIONS = (
    operation("GET", "/customers/{external_customer_id}/entitlements", find_of_customer, answer_root=""),
    operation("GET", "/subscriptions/{external_id}/entitlements", find_of_subscription, answer_root=""),
)
