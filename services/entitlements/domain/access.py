"""The decision: may this customer do this now? Pure, and the only place that says yes or no."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from services.entitlements.domain.feature import FeatureType
from services.entitlements.domain.feature_terms import Source
from services.entitlements.domain.hold import Hold
from services.entitlements.domain.standing import Balance, Entitlement, Standing, balance
from services.kernel.money import ZERO

ONE = Decimal(1)


class Reason(StrEnum):
    """Why an answer is what it is."""

    WITHIN_LIMIT = "within_limit"
    LIMIT_EXCEEDED = "limit_exceeded"
    FEATURE_NOT_IN_PLAN = "feature_not_in_plan"
    NO_SUBSCRIPTION = "no_subscription"
    SUBSCRIPTION_REQUIRED = "subscription_required"
    SUBSCRIPTION_INACTIVE = "subscription_inactive"
    OVERRIDE = "override"
    DEGRADED = "degraded"


@dataclass(frozen=True, slots=True)
class Question:
    """May this customer use this many units of this feature?

    Attributes:
        external_customer_id: the customer.
        feature_code: the feature.
        external_subscription_id: the subscription, for customers with several; empty for the only one.
        units: how many are about to be used.
        at_least_revision: the answer must be based on everything up to this revision.
    """

    external_customer_id: str
    feature_code: str
    external_subscription_id: str = ""
    units: Decimal = ONE
    at_least_revision: int = 0


@dataclass(frozen=True, slots=True)
class Access:
    """The answer; it explains itself.

    Attributes:
        is_allowed: whether the customer may.
        reason: why. A soft limit without room answers allowed with LIMIT_EXCEEDED.
        feature_code: the feature.
        revision: the revision of the state it is based on.
        used: units used in the current window.
        limit: units of the window; None means unlimited.
        remaining: units neither used nor on hold; None means unlimited.
        overage: units used beyond the limit.
        resets_at: when the window ends; None if it never does or nothing is counted.
        valid_until: until when the answer is valid if nothing else changes; None if there is no such instant.
        external_subscription_id: the subscription that decided; empty if none did.
        value: for a configuration, its value.
        is_hard: whether the limit refuses usage beyond it; None if no limit decided.
    """

    is_allowed: bool
    reason: Reason
    feature_code: str
    revision: int = 0
    used: Decimal = ZERO
    limit: Decimal | None = None
    remaining: Decimal | None = None
    overage: Decimal = ZERO
    resets_at: datetime | None = None
    valid_until: datetime | None = None
    external_subscription_id: str = ""
    value: str = ""
    is_hard: bool | None = None


@dataclass(frozen=True, slots=True)
class Reserved:
    """The answer to a reservation.

    Attributes:
        access: whether the units are held, and the numbers afterwards.
        hold: the units set aside; None if the reservation was refused.
    """

    access: Access
    hold: Hold | None


def decide(question: Question, standings: Sequence[Standing], *, at: datetime, revision: int) -> Access:
    """Answer a question from the standings of the customer's subscriptions with the feature.

    Args:
        question: the question.
        standings: one for each of the customer's subscriptions, or for each with the external id that the question
            names.
        at: the organization's time.
        revision: the revision of the state from which the standings were read.
    """
    chosen = choose(question, standings)
    if isinstance(chosen, Reason):
        return Access(is_allowed=False, reason=chosen, feature_code=question.feature_code, revision=revision)
    return answer(question.feature_code, chosen, units=question.units, at=at, revision=revision)


def choose(question: Question, standings: Sequence[Standing]) -> Standing | Reason:
    """The standing that answers a question, or the reason why none does."""
    active = [standing for standing in standings if standing.subscription.is_active]
    if question.external_subscription_id:
        # An ended subscription's id may be used again, so among several the active one is meant.
        if active:
            return active[0]
        return Reason.SUBSCRIPTION_INACTIVE if standings else Reason.NO_SUBSCRIPTION
    if len(active) > 1:
        return Reason.SUBSCRIPTION_REQUIRED
    return active[0] if active else Reason.NO_SUBSCRIPTION


def answer(feature_code: str, standing: Standing, *, units: Decimal, at: datetime, revision: int) -> Access:
    """The answer of one subscription for `units` more of a feature."""
    subscription, entitlement = standing.subscription, standing.entitlement
    if entitlement is None or entitlement.is_removed:
        return Access(
            is_allowed=False,
            reason=Reason.FEATURE_NOT_IN_PLAN,
            feature_code=feature_code,
            revision=revision,
            external_subscription_id=subscription.external_id,
        )
    numbers = balance(standing, at)
    is_allowed, reason = _verdict(entitlement, numbers, units)
    return Access(
        is_allowed=is_allowed,
        reason=reason,
        feature_code=feature_code,
        revision=revision,
        used=numbers.used,
        limit=numbers.limit,
        remaining=numbers.remaining,
        overage=numbers.overage,
        resets_at=numbers.window.end if numbers.window else None,
        valid_until=_valid_until(standing, numbers, at),
        external_subscription_id=subscription.external_id,
        value=entitlement.right.terms.value if entitlement.right.type is FeatureType.CONFIGURATION else "",
        is_hard=entitlement.right.terms.is_hard if entitlement.right.type is FeatureType.USAGE_LIMIT else None,
    )


def _verdict(entitlement: Entitlement, numbers: Balance, units: Decimal) -> tuple[bool, Reason]:
    right = entitlement.right
    is_overridden = right.source is Source.OVERRIDE
    if right.type is FeatureType.USAGE_LIMIT and not numbers.has_room_for(units):
        return not right.terms.is_hard, Reason.LIMIT_EXCEEDED
    if right.type is FeatureType.GATE and not right.terms.is_enabled:
        return False, Reason.OVERRIDE if is_overridden else Reason.FEATURE_NOT_IN_PLAN
    return True, Reason.OVERRIDE if is_overridden else Reason.WITHIN_LIMIT


def _valid_until(standing: Standing, numbers: Balance, at: datetime) -> datetime | None:
    """The first instant at which time alone changes the answer: when the window, a hold or the subscription ends."""
    window_end = numbers.window.end if numbers.window else None
    known = (window_end, standing.held_until, standing.subscription.ending_at)
    return min((instant for instant in known if instant is not None and instant > at), default=None)
