"""Features, and what a subscription is entitled to of them."""

from __future__ import annotations

from typing import Any

from farebox.entitlements.v1 import entitlement_pb2
from farebox.entitlements.v1 import feature_service_pb2 as service
from farebox.entitlements.v1.entitlement_pb2 import Entitlement
from farebox.entitlements.v1.feature_pb2 import Feature
from gateway.call import Call
from gateway.dialects.nozle import pages, write
from gateway.dialects.nozle.read import Reader
from gateway.errors import not_available

TYPES = {
    "gate": Feature.TYPE_GATE,
    "usage_limit": Feature.TYPE_USAGE_LIMIT,
    "configuration": Feature.TYPE_CONFIGURATION,
    "boolean": Feature.TYPE_GATE,
    "metered": Feature.TYPE_USAGE_LIMIT,
}
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


async def create(call: Call) -> Any:
    """`POST /features`."""
    return await _upsert(call, Feature())


async def update(call: Call) -> Any:
    """`PUT /features/{code}`: fields that are not given stay."""
    return await _upsert(call, await _get(call, call.path["code"]))


async def find(call: Call) -> Any:
    """`GET /features/{code}`."""
    return {"feature": feature_json(await _get(call, call.path["code"]))}


async def find_all(call: Call) -> Any:
    """`GET /features`."""
    page = pages.read(call.query)
    answer = await call.ask(call.clients.features.ListFeatures, service.ListFeaturesRequest(page=page))
    features = [feature_json(feature) for feature in answer.features]
    return {"features": features, "meta": pages.meta(page, answer.page, len(features))}


async def delete(call: Call) -> Any:
    """`DELETE /features/{code}`."""
    request = service.DeleteFeatureRequest(request_id=call.mutation_id, code=call.path["code"])
    return {"feature": feature_json((await call.ask(call.clients.features.DeleteFeature, request)).feature)}


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


def feature_json(feature: Feature) -> dict[str, Any]:
    """A feature; Lago's privileges have no counterpart, a feature has one value of its own type."""
    return {
        **write.ids(feature.id),
        "code": feature.code,
        "name": feature.name or None,
        "description": feature.description or None,
        "type": write.word(TYPES, feature.type),
        "billable_metric_code": feature.metric_code or None,
        "privileges": [],
        "created_at": write.instant(feature, "created_at"),
    }


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


async def _get(call: Call, code: str) -> Feature:
    feature: Feature = (await call.ask(call.clients.features.GetFeature, service.GetFeatureRequest(code=code))).feature
    return feature


async def _upsert(call: Call, feature: Feature) -> Any:
    body = Reader(call.wrapped("feature"))
    if body.value("privileges"):
        raise not_available("privileges")
    metric = body.text("billable_metric_code") or body.text("metric_code") or feature.metric_code
    assumed = feature.type or (Feature.TYPE_USAGE_LIMIT if metric else Feature.TYPE_GATE)
    feature.code = feature.code or body.required("code")
    feature.name = body.text("name", feature.name) or feature.code
    feature.description = body.text("description", feature.description)
    feature.type = body.choice("type", TYPES, assumed)
    feature.metric_code = metric
    request = service.UpsertFeatureRequest(request_id=call.mutation_id, feature=feature)
    return {"feature": feature_json((await call.ask(call.clients.features.UpsertFeature, request)).feature)}
