"""Feature terms: what a plan or an override gives of a feature, and the right of a subscription that results."""

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
    """The source of a right."""

    PLAN = "plan"
    OVERRIDE = "override"


@dataclass(frozen=True, slots=True)
class FeatureTerms:
    """The terms for one feature. Only the fields that the feature's type uses have a meaning.

    Attributes:
        is_enabled: for a gate, whether it is on.
        limit: for a usage limit, the units of a window; None means unlimited.
        is_hard: for a usage limit, whether usage beyond it is refused (True) or reported as overage.
        reset: for a usage limit, when counting starts again.
        value: for a configuration, its value.
    """

    is_enabled: bool = False
    limit: Decimal | None = None
    is_hard: bool = False
    reset: ResetWindow = ResetWindow.BILLING_PERIOD
    value: str = ""


@dataclass(frozen=True, slots=True)
class PlanTerms:
    """A plan version's terms for one feature.

    Attributes:
        feature_code: the feature.
        type: its type, as the plan knows it.
        metric_code: for a usage limit, the metric that counts; otherwise empty.
        terms: the terms.
    """

    feature_code: str
    type: FeatureType
    metric_code: str
    terms: FeatureTerms


@dataclass(frozen=True, slots=True)
class Override:
    """Terms for one customer, or for one of its subscriptions, that replace the plan's.

    Attributes:
        external_customer_id: the customer.
        external_subscription_id: the subscription; empty means all of the customer's.
        feature_code: the feature.
        terms: the terms.
    """

    external_customer_id: str
    external_subscription_id: str
    feature_code: str
    terms: FeatureTerms


@dataclass(frozen=True, slots=True)
class Right:
    """The terms that apply to one subscription and feature after all overrides.

    Attributes:
        type: gate, usage limit or configuration.
        source: plan or override.
        metric_code: the metric that counts; empty if there is none.
        terms: the terms.
    """

    type: FeatureType
    source: Source
    metric_code: str
    terms: FeatureTerms


def require_valid(terms: FeatureTerms) -> None:
    """Refuse a negative limit and a value that is too long.

    Raises:
        InvalidArgumentError: names the field.
    """
    if terms.limit is not None and terms.limit < 0:
        raise InvalidArgumentError.of_field("terms.limit", "value_is_out_of_range", "must not be negative")
    require_text(terms.value, "terms.value", MAX_VALUE, is_mandatory=False)


def resolve(
    plan: Mapping[str, PlanTerms],
    of_customer: Mapping[str, FeatureTerms],
    of_subscription: Mapping[str, FeatureTerms],
    features: Mapping[str, Feature],
) -> dict[str, Right]:
    """The rights of an active subscription, by feature code.

    The subscription's own override wins over the customer's, which wins over the plan.

    Args:
        plan: terms of the plan version, by feature code.
        of_customer: the customer's overrides, by feature code.
        of_subscription: the subscription's own overrides, by feature code.
        features: the organization's features; one that is missing or removed unlocks nothing.
    """
    overrides = {**of_customer, **of_subscription}
    return {
        code: _right(plan.get(code), overrides.get(code), features[code])
        for code in sorted(plan.keys() | overrides.keys())
        if code in features and features[code].deleted_at is None
    }


def _right(plan: PlanTerms | None, override: FeatureTerms | None, feature: Feature) -> Right:
    metric = plan.metric_code if plan is not None and plan.metric_code else feature.metric_code
    if override is not None:
        return Right(feature.type, Source.OVERRIDE, metric, override)
    assert plan is not None  # noqa: S101 - a code comes from the plan or from an override
    return Right(plan.type, Source.PLAN, metric, plan.terms)
