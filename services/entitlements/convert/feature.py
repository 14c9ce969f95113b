"""Features, grants, overrides and entitlements on the wire."""

from __future__ import annotations

from datetime import UTC, datetime

from farebox.entitlements.v1 import entitlement_pb2, feature_pb2, feature_service_pb2
from services.entitlements.convert.common import (
    decimal_from_pb,
    decimal_to_pb,
    instant_to_pb,
    optional_decimal_to_pb,
)
from services.entitlements.domain.feature import Feature, FeatureType
from services.entitlements.domain.grant import Grant, Override, Source
from services.entitlements.domain.standing import Standing, balance
from services.kernel.cadence import ResetWindow
from services.kernel.errors import InvalidArgumentError

_TYPES = {
    FeatureType.GATE: feature_pb2.Feature.TYPE_GATE,
    FeatureType.USAGE_LIMIT: feature_pb2.Feature.TYPE_USAGE_LIMIT,
    FeatureType.CONFIGURATION: feature_pb2.Feature.TYPE_CONFIGURATION,
}
_TYPES_FROM_PB = {number: name for name, number in _TYPES.items()}
_RESETS = {
    ResetWindow.BILLING_PERIOD: entitlement_pb2.RESET_INTERVAL_BILLING_PERIOD,
    ResetWindow.DAY: entitlement_pb2.RESET_INTERVAL_DAY,
    ResetWindow.WEEK: entitlement_pb2.RESET_INTERVAL_WEEK,
    ResetWindow.MONTH: entitlement_pb2.RESET_INTERVAL_MONTH,
    ResetWindow.NEVER: entitlement_pb2.RESET_INTERVAL_NEVER,
}
_RESETS_FROM_PB = {
    entitlement_pb2.RESET_INTERVAL_UNSPECIFIED: ResetWindow.BILLING_PERIOD,
    **{number: name for name, number in _RESETS.items()},
}
_SOURCES = {
    Source.PLAN: entitlement_pb2.ENTITLEMENT_SOURCE_PLAN,
    Source.OVERRIDE: entitlement_pb2.ENTITLEMENT_SOURCE_OVERRIDE,
}
# A feature on its way in has no time of its own; the command gives it one.
_NOT_STORED = datetime.fromtimestamp(0, UTC)


def feature_from_pb(feature: feature_pb2.Feature) -> Feature:
    """The feature that is wanted; its id and time are not the caller's to say.

    Raises:
        InvalidArgumentError: the type is unknown.
    """
    kind = _TYPES_FROM_PB.get(feature.type)
    if kind is None:
        raise InvalidArgumentError.of_field("feature.type", "value_is_mandatory", f"is one of {', '.join(FeatureType)}")
    return Feature("", feature.code, feature.name, feature.description, kind, feature.metric_code, _NOT_STORED)


def feature_to_pb(feature: Feature) -> feature_pb2.Feature:
    """A stored feature."""
    return feature_pb2.Feature(
        id=feature.id,
        code=feature.code,
        name=feature.name,
        description=feature.description,
        type=_TYPES[feature.type],
        metric_code=feature.metric_code,
        created_at=instant_to_pb(feature.created_at),
    )


def override_from_pb(request: feature_service_pb2.SetOverrideRequest) -> Override:
    """The override that is wanted.

    Raises:
        InvalidArgumentError: the reset interval or the limit is not one.
    """
    return Override(
        request.external_customer_id,
        request.external_subscription_id,
        request.feature_code,
        _grant_from_pb(request.grant),
    )


def entitlement_to_pb(standing: Standing, at: datetime) -> entitlement_pb2.Entitlement:
    """What a subscription is entitled to at an instant."""
    if standing.entitlement is None:
        raise ValueError("a standing without a right has no entitlement")
    right, numbers = standing.entitlement.right, balance(standing, at)
    limited = right.type is FeatureType.USAGE_LIMIT
    return entitlement_pb2.Entitlement(
        external_customer_id=standing.subscription.external_customer_id,
        external_subscription_id=standing.subscription.external_id,
        feature_code=standing.entitlement.feature_code,
        source=_SOURCES[right.source],
        enabled=right.type is FeatureType.GATE and right.grant.enabled,
        limit=optional_decimal_to_pb(numbers.limit),
        used=decimal_to_pb(numbers.used) if limited else None,
        hard=limited and right.grant.hard,
        reset_interval=_RESETS[right.grant.reset] if limited else None,
        resets_at=instant_to_pb(numbers.window.end if numbers.window else None),
        value=right.grant.value if right.type is FeatureType.CONFIGURATION else "",
    )


def override_to_pb(override: Override) -> entitlement_pb2.Entitlement:
    """An override that no subscription is entitled by yet."""
    grant = override.grant
    return entitlement_pb2.Entitlement(
        external_customer_id=override.external_customer_id,
        external_subscription_id=override.external_subscription_id,
        feature_code=override.feature_code,
        source=entitlement_pb2.ENTITLEMENT_SOURCE_OVERRIDE,
        enabled=grant.enabled,
        limit=optional_decimal_to_pb(grant.limit),
        hard=grant.hard,
        reset_interval=_RESETS[grant.reset],
        value=grant.value,
    )


def _grant_from_pb(grant: entitlement_pb2.Grant) -> Grant:
    reset = _RESETS_FROM_PB.get(grant.reset_interval)
    if reset is None:
        raise InvalidArgumentError.of_field(
            "grant.reset_interval", "value_is_invalid", f"is one of {', '.join(ResetWindow)}"
        )
    limit = decimal_from_pb(grant.limit, field="grant.limit") if grant.HasField("limit") else None
    return Grant(grant.enabled, limit, grant.hard, reset, grant.value)
