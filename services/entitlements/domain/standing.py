"""Where one subscription stands with one feature: the facts every decision is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from services.entitlements.domain.feature import FeatureType
from services.entitlements.domain.feature_terms import Right
from services.entitlements.domain.subscription import MONTHLY_PLAN, PlanPeriods, Subscription, window_of
from services.kernel.cadence import ResetWindow
from services.kernel.money import ZERO
from services.kernel.period import Period


@dataclass(frozen=True, slots=True)
class Consumed:
    """Units counted by Consume and Commit in one window.

    Attributes:
        units: how many.
        since: start of the window they were counted in; None before the first.
    """

    units: Decimal = ZERO
    since: datetime | None = None

    def within(self, window: Period | None) -> Decimal:
        """The units that count in `window`: nothing, once a later window has begun."""
        if self.since is None or (window is not None and self.since < window.start):
            return ZERO
        return self.units

    def plus(self, units: Decimal, window: Period | None, at: datetime) -> Consumed:
        """With more units, counted anew where a later window has begun."""
        before = self.within(window)
        since = self.since if before and self.since is not None else (at if window is None else window.start)
        return Consumed(before + units, since)


@dataclass(frozen=True, slots=True)
class Entitlement:
    """A customer's right to a feature through one subscription.

    Attributes:
        feature_code: the feature.
        right: what holds for it, and where that comes from.
        consumed: what was counted by Consume and Commit.
        revision: of its last change, unique in the organization.
        is_removed: the customer had it once and does not any more.
    """

    feature_code: str
    right: Right
    consumed: Consumed = Consumed()
    revision: int = 0
    is_removed: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one subscription stands with one feature.

    Attributes:
        subscription: the subscription.
        plan: how long its plan's periods are.
        entitlement: its right; None where it never had one.
        period_units: units rating announced for the billing period that holds the present.
        counted: units rating announced, by reset, each with the start of the window they were counted in.
        held: units of the holds that live.
        held_until: when the first of them ends; None without holds.
    """

    subscription: Subscription
    plan: PlanPeriods = MONTHLY_PLAN
    entitlement: Entitlement | None = None
    period_units: Decimal = ZERO
    counted: Mapping[ResetWindow, tuple[datetime | None, Decimal]] = field(default_factory=dict)
    held: Decimal = ZERO
    held_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """The numbers of a usage limit in its current window.

    Attributes:
        window: the window; None where counting never starts anew.
        used: units used, by events and by Consume together.
        held: units on hold.
        limit: units of the window; None means unlimited.
    """

    window: Period | None
    used: Decimal
    held: Decimal
    limit: Decimal | None

    @property
    def remaining(self) -> Decimal | None:
        """Units neither used nor on hold, never below 0; None means unlimited."""
        return None if self.limit is None else max(ZERO, self.limit - self.used - self.held)

    @property
    def overage(self) -> Decimal:
        """Units used beyond the limit."""
        return ZERO if self.limit is None else max(ZERO, self.used - self.limit)

    def has_room_for(self, units: Decimal) -> bool:
        """Whether `units` more stay within the limit."""
        return self.limit is None or self.used + self.held + units <= self.limit


def balance(standing: Standing, at: datetime) -> Balance:
    """The numbers of a usage limit at an instant; zeros for other types and for no right at all."""
    entitlement = standing.entitlement
    if entitlement is None or entitlement.right.type is not FeatureType.USAGE_LIMIT:
        return Balance(None, ZERO, ZERO, None)
    terms = entitlement.right.terms
    window = window_of(terms.reset, standing.subscription, standing.plan, at)
    used = max(ZERO, _announced(standing, terms.reset, window)) + entitlement.consumed.within(window)
    return Balance(window, used, standing.held, terms.limit)


def consume(standing: Standing, units: Decimal, at: datetime) -> Standing:
    """The standing after `units` were counted."""
    entitlement = standing.entitlement
    if entitlement is None:
        return standing
    window = balance(standing, at).window
    return replace(standing, entitlement=replace(entitlement, consumed=entitlement.consumed.plus(units, window, at)))


def _announced(standing: Standing, reset: ResetWindow, window: Period | None) -> Decimal:
    if reset is ResetWindow.BILLING_PERIOD:
        return standing.period_units
    since, units = standing.counted.get(reset, (None, ZERO))
    # What was counted in an earlier window is over; a later one means that another replica's clock is ahead.
    is_over = window is not None and (since is None or since < window.start)
    return ZERO if is_over else units
