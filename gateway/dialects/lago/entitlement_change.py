"""What a plan unlocks and what a subscription has instead, feature by feature.

Lago's privileges of a feature are here the fields of its type: `{"entitlements": {"calls": {"limit": 100}}}`.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, cast

from msgspec import Meta, Struct

from farebox.entitlements.v1 import feature_service_pb2 as features
from farebox.entitlements.v1.entitlement_pb2 import RESET_INTERVAL_UNSPECIFIED, ResetInterval
from farebox.entitlements.v1.entitlement_pb2 import Entitlement as EntitlementMessage
from farebox.entitlements.v1.feature_pb2 import Feature
from farebox.rating.v1 import catalog_service_pb2 as rpc
from farebox.rating.v1.plan_pb2 import Plan
from farebox.rating.v1.plan_pb2 import PlanEntitlement as PlanEntitlementMessage
from farebox.rating.v1.subscription_service_pb2 import GetSubscriptionRequest
from gateway.call import Call
from gateway.decode.refusals import Refusals
from gateway.dialects.lago.entitlement import (
    KIND,
    RESET,
    Entitlement,
    EntitlementQuery,
    Entitlements,
    NewTerms,
    PlanEntitlement,
    entitlement_to_api,
    plan_entitlement_to_api,
    refuse_others_fields,
    say_plan_entitlement,
)
from gateway.dialects.lago.subscription import BySubscription
from gateway.operation import ByCode, Nothing, Request, operation
from gateway.problem import not_found
from gateway.projection import given
from gateway.schema import Code
from services.kernel.money import plain

# More than a plan can have; the service decides the exact limit.
MAX_FEATURES = 200
# Which terms a feature of a type has.
_KINDS = {
    Feature.TYPE_GATE: PlanEntitlementMessage.KIND_GATE,
    Feature.TYPE_USAGE_LIMIT: PlanEntitlementMessage.KIND_USAGE_LIMIT,
    Feature.TYPE_CONFIGURATION: PlanEntitlementMessage.KIND_CONFIGURATION,
}

Terms = Annotated[
    dict[Code, NewTerms], Meta(max_length=MAX_FEATURES, description="What is given of each feature, by its code.")
]


class EntitlementsChange(Struct, kw_only=True):
    """What is given of some features."""

    entitlements: Terms


class PlanEntitlements(Struct, kw_only=True):
    """All that a plan unlocks, in its order."""

    entitlements: list[PlanEntitlement]


class ByFeature(ByCode):
    """What a plan unlocks of a feature, by the codes of both."""

    feature_code: str


class BySubscriptionFeature(BySubscription):
    """What a subscription has of a feature."""

    feature_code: str


async def find_all(request: Request[ByCode, Nothing, Nothing]) -> PlanEntitlements:
    """List what a plan unlocks."""
    call = request.call
    return _unlocked((await call.ask(call.clients.catalog.GetPlan, rpc.GetPlanRequest(code=request.path.code))).plan)


async def find(request: Request[ByFeature, Nothing, Nothing]) -> PlanEntitlement:
    """Find what a plan unlocks of a feature."""
    call = request.call
    plan = (await call.ask(call.clients.catalog.GetPlan, rpc.GetPlanRequest(code=request.path.code))).plan
    for entitlement in plan.entitlements:
        if entitlement.feature_code == request.path.feature_code:
            return plan_entitlement_to_api(entitlement)
    raise not_found("entitlement", "the plan unlocks nothing of this feature")


async def replace(request: Request[ByCode, Nothing, EntitlementsChange]) -> PlanEntitlements:
    """Replace all that a plan unlocks."""
    return await _put(request.call, request.path, request.body, is_whole=True)


async def merge(request: Request[ByCode, Nothing, EntitlementsChange]) -> PlanEntitlements:
    """Replace what a plan unlocks of some features; what it unlocks of others stays."""
    return await _put(request.call, request.path, request.body, is_whole=False)


async def _put(call: Call, path: ByCode, body: EntitlementsChange, *, is_whole: bool) -> PlanEntitlements:
    asked, refusals = rpc.EditPlanRequest(request_id=call.mutation_id, code=path.code), Refusals()
    asked.put_entitlements.replace = is_whole
    for code, terms in body.entitlements.items():
        entitlement = asked.put_entitlements.entitlements.add(feature_code=code)
        say_plan_entitlement(entitlement, terms, f"entitlements.{code}", refusals)
    refusals.raise_any()
    return _unlocked((await call.ask(call.clients.catalog.EditPlan, asked)).plan)


async def remove(request: Request[ByFeature, Nothing, Nothing]) -> PlanEntitlement:
    """Take a feature out of a plan."""
    call, path = request.call, request.path
    asked = rpc.EditPlanRequest(request_id=call.mutation_id, code=path.code, remove_entitlement=path.feature_code)
    return plan_entitlement_to_api((await call.ask(call.clients.catalog.EditPlan, asked)).entitlement)


async def override(request: Request[BySubscription, EntitlementQuery, EntitlementsChange]) -> Entitlements:
    """Give a subscription other terms than its plan's, feature by feature, from now on.

    All features are looked at before the first changes. They change one after the other, and a repeat under the same
    `Idempotency-Key` completes what a failure has interrupted.
    """
    call, which = request.call, request.path.external_id
    whose = await _customer_of(call, which)
    for change in await _overrides(call, request.body):
        change.external_customer_id, change.external_subscription_id = whose, which
        await call.ask(call.clients.features.SetOverride, change)
    held = features.ListEntitlementsRequest(external_subscription_id=which)
    answer = await call.ask(call.clients.features.ListEntitlements, held)
    return Entitlements(entitlements=[entitlement_to_api(entitlement) for entitlement in answer.entitlements])


async def restore(request: Request[BySubscriptionFeature, EntitlementQuery, Nothing]) -> Entitlement:
    """Return to the plan's terms of a feature.

    The answer is what the plan gives; if it gives nothing, a gate that is off.
    """
    call, path = request.call, request.path
    asked = features.RemoveOverrideRequest(
        request_id=call.mutation_id,
        external_customer_id=await _customer_of(call, path.external_id),
        external_subscription_id=path.external_id,
        feature_code=path.feature_code,
    )
    answer = await call.ask(call.clients.features.RemoveOverride, asked)
    nothing = EntitlementMessage(
        feature_code=path.feature_code,
        type=Feature.TYPE_GATE,
        external_customer_id=asked.external_customer_id,
        external_subscription_id=path.external_id,
    )
    return entitlement_to_api(answer.entitlement if answer.HasField("entitlement") else nothing)


async def _customer_of(call: Call, external_id: str) -> str:
    """Whose subscription it is."""
    asked = GetSubscriptionRequest(external_id=external_id)
    return (await call.ask(call.clients.subscriptions.GetSubscription, asked)).subscription.external_customer_id


async def _overrides(call: Call, body: EntitlementsChange) -> list[features.SetOverrideRequest]:
    """The overrides that a body asks for, each of a feature that exists, with terms that its type has."""
    refusals, codes = Refusals(), list(body.entitlements)
    answer = await call.ask(call.clients.features.ListFeatures, features.ListFeaturesRequest(codes=codes))
    types = {feature.code: feature.type for feature in answer.features} if codes else {}
    asked = []
    for code, terms in body.entitlements.items():
        path = f"entitlements.{code}"
        if code not in types:
            refusals.add(path, "value_is_invalid", "no feature has this code")
            continue
        kind = _KINDS[types[code]]
        refuse_others_fields(terms, kind, path, refusals)
        if given(terms.type) is not None and KIND.value(str(terms.type)) != kind:
            refusals.add(f"{path}.type", "value_is_invalid", f"is always {KIND.word(kind)}")
        for name in ("billable_metric_code", "metric_code"):
            if given(getattr(terms, name)) is not None:
                refusals.add(f"{path}.{name}", "not_available", "is the feature's own")
        asked.append(_override(call, code, terms))
    refusals.raise_any()
    return asked


def _override(call: Call, code: str, terms: NewTerms) -> features.SetOverrideRequest:
    """An override, with an identity of its own; by default a gate is on and a limit is hard."""
    identity = hashlib.blake2b(f"{call.mutation_id}:{code}".encode(), digest_size=16).hexdigest()
    asked = features.SetOverrideRequest(request_id=identity, feature_code=code)
    asked.terms.enabled, asked.terms.hard = terms.enabled is not False, terms.hard is not False
    asked.terms.value = given(terms.value) or ""
    reset = RESET.value(str(given(terms.reset_interval)))
    asked.terms.reset_interval = cast("ResetInterval", reset or RESET_INTERVAL_UNSPECIFIED)
    limit = given(terms.limit)
    if limit is not None:
        asked.terms.limit.value = plain(limit)
    return asked


def _unlocked(plan: Plan) -> PlanEntitlements:
    return PlanEntitlements(entitlements=[plan_entitlement_to_api(entitlement) for entitlement in plan.entitlements])


_OF_PLAN = "/plans/{code}/entitlements"
_OF_SUBSCRIPTION = "/subscriptions/{external_id}/entitlements"
OPERATIONS = (
    operation("GET", _OF_PLAN, find_all),
    operation("POST", _OF_PLAN, replace),
    operation("PATCH", _OF_PLAN, merge),
    operation("GET", f"{_OF_PLAN}/{{feature_code}}", find, answer_root="entitlement"),
    operation("DELETE", f"{_OF_PLAN}/{{feature_code}}", remove, answer_root="entitlement"),
    operation("PATCH", _OF_SUBSCRIPTION, override),
    operation("DELETE", f"{_OF_SUBSCRIPTION}/{{feature_code}}", restore, answer_root="entitlement"),
)
