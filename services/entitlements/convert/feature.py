"""Features, feature terms, overrides and entitlements on the wire."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from farebox.entitlements.v1 import entitlement_pb2, feature_pb2, feature_service_pb2
from services.entitlements.domain.feature import Feature, FeatureType
from services.entitlements.domain.feature_terms import FeatureTerms, Override, Source
from services.entitlements.domain.standing import Standing, balance
from services.kernel.cadence import ResetWindow
from services.kernel.errors import InvalidArgumentError
from services.wire.masks import named_code, patched
from services.wire.values import decimal_or_none_of, decimal_to_pb, instant_to_pb

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
# A feature in a request has no time of its own; the command sets it.
_NOT_STORED = datetime.fromtimestamp(0, UTC)


def feature_from_pb(feature: feature_pb2.Feature) -> Feature:
    """The feature of a request; callers cannot set its id and time.

    Raises:
        InvalidArgumentError: the type is unknown.
    """
    kind = _TYPES_FROM_PB.get(feature.type)
    if kind is None:
        raise InvalidArgumentError.of_field("feature.type", "value_is_mandatory", f"is one of {', '.join(FeatureType)}")
    return Feature("", feature.code, feature.name, feature.description, kind, feature.metric_code, _NOT_STORED)


def feature_change_from_pb(
    request: feature_service_pb2.UpdateFeatureRequest,
) -> tuple[str, Callable[[Feature], Feature]]:
    """The code of the feature that changes, and a function from its current to its new content.

    The function may raise InvalidArgumentError: a path of the mask is unknown, or a field cannot be read.
    """

    def change(feature: Feature) -> Feature:
        return feature_from_pb(patched(feature_to_pb(feature), request, "feature", given=("id", "created_at")))

    return named_code(request, "feature"), change


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
    """The override of a request.

    Raises:
        InvalidArgumentError: the reset interval or the limit is not a valid one.
    """
    return Override(
        request.external_customer_id,
        request.external_subscription_id,
        request.feature_code,
        _terms_from_pb(request.terms),
    )


def entitlement_to_pb(standing: Standing, at: datetime) -> entitlement_pb2.Entitlement:
    """The entitlement of a subscription at an instant."""
    if standing.entitlement is None:
        raise ValueError("a standing without a right has no entitlement")
    right, numbers = standing.entitlement.right, balance(standing, at)
    is_limited = right.type is FeatureType.USAGE_LIMIT
    return entitlement_pb2.Entitlement(
        external_customer_id=standing.subscription.external_customer_id,
        external_subscription_id=standing.subscription.external_id,
        feature_code=standing.entitlement.feature_code,
        source=_SOURCES[right.source],
        enabled=right.type is FeatureType.GATE and right.terms.is_enabled,
        limit=decimal_to_pb(numbers.limit),
        used=decimal_to_pb(numbers.used) if is_limited else None,
        hard=is_limited and right.terms.is_hard,
        reset_interval=_RESETS[right.terms.reset] if is_limited else None,
        resets_at=instant_to_pb(numbers.window.end if numbers.window else None),
        value=right.terms.value if right.type is FeatureType.CONFIGURATION else "",
        type=_TYPES[right.type],
    )


def is_without_entitlements(answer: feature_service_pb2.ListEntitlementsResponse) -> bool:
    """Whether nothing is found, which a change that was not heard of yet may alter."""
    return not answer.entitlements


def in_force_to_pb(in_force: tuple[Standing, datetime] | None) -> entitlement_pb2.Entitlement | None:
    """The entitlement of a standing at the instant at which it was read; absent for None."""
    return entitlement_to_pb(*in_force) if in_force else None


def override_result_to_pb(
    override: Override, in_force: tuple[Standing, datetime] | None
) -> entitlement_pb2.Entitlement:
    """The result of an override: the override itself, if it does not entitle any subscription yet."""
    return in_force_to_pb(in_force) or override_to_pb(override)


def override_to_pb(override: Override) -> entitlement_pb2.Entitlement:
    """An override that does not entitle any subscription yet."""
    terms = override.terms
    return entitlement_pb2.Entitlement(
        external_customer_id=override.external_customer_id,
        external_subscription_id=override.external_subscription_id,
        feature_code=override.feature_code,
        source=entitlement_pb2.ENTITLEMENT_SOURCE_OVERRIDE,
        enabled=terms.is_enabled,
        limit=decimal_to_pb(terms.limit),
        hard=terms.is_hard,
        reset_interval=_RESETS[terms.reset],
        value=terms.value,
    )


def _terms_from_pb(terms: entitlement_pb2.FeatureTerms) -> FeatureTerms:
    reset = _RESETS_FROM_PB.get(terms.reset_interval)
    if reset is None:
        raise InvalidArgumentError.of_field(
            "terms.reset_interval", "value_is_invalid", f"is one of {', '.join(ResetWindow)}"
        )
    return FeatureTerms(terms.enabled, decimal_or_none_of(terms, "limit", "terms"), terms.hard, reset, terms.value)
