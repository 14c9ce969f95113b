"""What is granted of a feature, by a plan or by an override, and what results for a subscription."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from services.entitlements.domain.feature import Feature, FeatureType, require_text
from services.entitlements.domain.limits import MAX_VALUE
from services.kernel.cadence import ResetWindow
from services.kernel.errors import InvalidArgumentError


class Source(StrEnum):
    """Where an entitlement comes from."""

    PLAN = "plan"
    OVERRIDE = "override"


@dataclass(frozen=True, slots=True)
class Grant:
    """What is granted of one feature; only what its type needs has a meaning.

    Attributes:
        enabled: for a gate, whether it is on.
        limit: for a usage limit, units of a window; None means unlimited.
        hard: for a usage limit, whether usage beyond it is refused (True) or reported as overage.
        reset: for a usage limit, when counting starts anew.
        value: for a configuration, its value.
    """

    enabled: bool = False
    limit: Decimal | None = None
    hard: bool = False
    reset: ResetWindow = ResetWindow.BILLING_PERIOD
    value: str = ""


@dataclass(frozen=True, slots=True)
class PlanGrant:
    """What a plan version grants of one feature.

    Attributes:
        feature_code: the feature.
        type: its type, as the plan knows it.
        metric_code: for a usage limit, the metric that counts; empty for none.
        grant: what is granted.
    """

    feature_code: str
    type: FeatureType
    metric_code: str
    grant: Grant


@dataclass(frozen=True, slots=True)
class Override:
    """What one customer, or one of its subscriptions, is granted instead of what the plan says.

    Attributes:
        external_customer_id: the customer.
        external_subscription_id: the subscription; empty for all of the customer's.
        feature_code: the feature.
        grant: what is granted.
    """

    external_customer_id: str
    external_subscription_id: str
    feature_code: str
    grant: Grant


@dataclass(frozen=True, slots=True)
class Resolved:
    """What holds for one subscription and feature after all overrides.

    Attributes:
        type: gate, usage limit or configuration.
        source: plan or override.
        metric_code: the metric that counts; empty for none.
        grant: what is granted.
    """

    type: FeatureType
    source: Source
    metric_code: str
    grant: Grant


def require_valid(grant: Grant) -> None:
    """Refuse a negative limit and a value that is too long.

    Raises:
        InvalidArgumentError: names the field.
    """
    if grant.limit is not None and grant.limit < 0:
        raise InvalidArgumentError.of_field("grant.limit", "value_is_out_of_range", "must not be negative")
    require_text(grant.value, "grant.value", MAX_VALUE, mandatory=False)


def resolve(
    plan: Mapping[str, PlanGrant],
    of_customer: Mapping[str, Grant],
    of_subscription: Mapping[str, Grant],
    features: Mapping[str, Feature],
) -> dict[str, Resolved]:
    """What an active subscription is entitled to, by feature code.

    Its own override wins over the customer's, which wins over the plan.

    Args:
        plan: grants of the plan version.
        of_customer: the customer's overrides.
        of_subscription: the subscription's own overrides.
        features: the organization's features; one that is missing or removed unlocks nothing.
    """
    overrides = {**of_customer, **of_subscription}
    return {
        code: _resolve_one(plan.get(code), overrides.get(code), features[code])
        for code in sorted(plan.keys() | overrides.keys())
        if code in features and features[code].deleted_at is None
    }


def _resolve_one(plan: PlanGrant | None, override: Grant | None, feature: Feature) -> Resolved:
    metric = plan.metric_code if plan is not None and plan.metric_code else feature.metric_code
    if override is not None:
        return Resolved(feature.type, Source.OVERRIDE, metric, override)
    assert plan is not None  # noqa: S101 - a code comes from the plan or from an override
    return Resolved(plan.type, Source.PLAN, metric, plan.grant)
