"""The standing of one subscription with one feature: the facts from which every decision is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal

from services.entitlements.domain.feature import FeatureType
from services.entitlements.domain.feature_terms import Right
from services.entitlements.domain.subscription import (
    MONTHLY_PLAN,
    PlanPeriods,
    Subscription,
    nominal_billing_window,
    window_of,
)
from services.kernel.cadence import ResetWindow, local_date
from services.kernel.money import ZERO
from services.kernel.period import Period


@dataclass(frozen=True, slots=True)
class Consumed:
    """Units counted by Consume and Commit in one window.

    Attributes:
        units: how many.
        since: the start of the window in which they were counted; None before the first.
    """

    units: Decimal = ZERO
    since: datetime | None = None

    def within(self, window: Period | None) -> Decimal:
        """The units that count in `window`: none if a later window has begun."""
        if self.since is None or (window is not None and self.since < window.start):
            return ZERO
        return self.units

    def plus(self, units: Decimal, window: Period | None, at: datetime) -> Consumed:
        """The same with more units; counting starts again if a later window has begun."""
        before = self.within(window)
        since = self.since if before and self.since is not None else (at if window is None else window.start)
        return Consumed(before + units, since)


@dataclass(frozen=True, slots=True)
class Entitlement:
    """A customer's right to a feature through one subscription.

    Attributes:
        feature_code: the feature.
        right: the terms that apply, and their source.
        consumed: the units counted by Consume and Commit.
        revision: the revision of its last change, unique in the organization.
        is_removed: whether the customer had it once and no longer has it.
    """

    feature_code: str
    right: Right
    consumed: Consumed = Consumed()
    revision: int = 0
    is_removed: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """The standing of one subscription with one feature.

    Attributes:
        subscription: the subscription.
        plan: how long its plan's periods are.
        entitlement: its entitlement; None if it never had one.
        announced: the units that rating announced within the current window. For a billing period these are only the
            subscription's own; for any other window they include those of its past.
        consumed_before: the units that its past consumed within that window, unless it is a billing period.
        past_usage, past_consumed: for a billing period, the units that its past used and consumed on each local day.
            The past of a subscription is the customer's earlier subscriptions that it continues.
        held: the units of all live holds.
        held_until: when the first live hold ends; None without holds.
        announced_until: when the announced units are others by time alone, because the billing period they belong to
            ends or another one, announced ahead, begins; None or an instant that has passed for no such instant.
    """

    subscription: Subscription
    plan: PlanPeriods = MONTHLY_PLAN
    entitlement: Entitlement | None = None
    announced: Decimal = ZERO
    consumed_before: Decimal = ZERO
    past_usage: Mapping[date, Decimal] = field(default_factory=dict)
    past_consumed: Mapping[date, Decimal] = field(default_factory=dict)
    held: Decimal = ZERO
    held_until: datetime | None = None
    announced_until: datetime | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Farebox id of the subscription, and code of the feature it has a right to."""
        return self.subscription.id, self._right().feature_code

    @property
    def revision(self) -> int:
        """Of the last change of the right."""
        return self._right().revision

    @property
    def consumed(self) -> Consumed:
        """What Consume and Commit have counted."""
        return self._right().consumed

    def revised(self, revision: int) -> Standing:
        """The same, with the revision of a change."""
        return replace(self, entitlement=replace(self._right(), revision=revision))

    def _right(self) -> Entitlement:
        if self.entitlement is None:
            raise ValueError("a standing without a right has no key")
        return self.entitlement


@dataclass(frozen=True, slots=True)
class Balance:
    """The numbers of a usage limit in its current window.

    Attributes:
        window: the window; None if counting never starts again.
        used: units used by events and by Consume together.
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
        """Whether `units` more would stay within the limit."""
        return self.limit is None or self.used + self.held + units <= self.limit


def balance(standing: Standing, at: datetime) -> Balance:
    """The numbers of a usage limit at an instant; zeros for other types and without a right."""
    entitlement = standing.entitlement
    if entitlement is None or entitlement.right.type is not FeatureType.USAGE_LIMIT:
        return Balance(None, ZERO, ZERO, None)
    terms = entitlement.right.terms
    window = window_of(terms.reset, standing.subscription, standing.plan, at)
    used, consumed = _of_the_past(standing, terms.reset, at)
    announced = max(ZERO, standing.announced + used)
    return Balance(window, announced + entitlement.consumed.within(window) + consumed, standing.held, terms.limit)


def stands_until(standing: Standing, at: datetime) -> datetime | None:
    """The first instant after `at` at which something of a standing is different by time alone; None for never."""
    entitlement = standing.entitlement
    window = None
    if entitlement is not None and entitlement.right.type is FeatureType.USAGE_LIMIT:
        window = window_of(entitlement.right.terms.reset, standing.subscription, standing.plan, at)
    known = (
        window.end if window else None,
        standing.held_until,
        standing.announced_until,
        standing.subscription.ending_at,
    )
    return min((instant for instant in known if instant is not None and instant > at), default=None)


def consume(standing: Standing, units: Decimal, at: datetime) -> Standing:
    """The standing after `units` have been counted."""
    entitlement = standing.entitlement
    if entitlement is None:
        return standing
    window = None
    if entitlement.right.type is FeatureType.USAGE_LIMIT:
        window = window_of(entitlement.right.terms.reset, standing.subscription, standing.plan, at)
    return replace(standing, entitlement=replace(entitlement, consumed=entitlement.consumed.plus(units, window, at)))


def _of_the_past(standing: Standing, reset: ResetWindow, at: datetime) -> tuple[Decimal, Decimal]:
    """What a subscription's past used and consumed in the window that holds `at`, apart from what is summed already.

    A billing period that a change of plan cuts short continues in the next subscription. The whole nominal period is
    one window, so that nobody gains a fresh limit by changing plans.
    """
    if reset is not ResetWindow.BILLING_PERIOD:
        return ZERO, standing.consumed_before
    if not standing.past_usage and not standing.past_consumed:
        return ZERO, ZERO
    nominal = nominal_billing_window(standing.subscription, standing.plan, at)
    zone = standing.subscription.timezone
    first, last = local_date(nominal.start, zone), local_date(nominal.end, zone)
    return _sums(first, last, standing.past_usage, standing.past_consumed)


def _sums(
    first: date, last: date, usage: Mapping[date, Decimal], consumed: Mapping[date, Decimal]
) -> tuple[Decimal, Decimal]:
    """The sums over the days from `first` up to, but not including, `last`."""
    used, taken = (
        sum((units for day, units in days.items() if first <= day < last), ZERO) for days in (usage, consumed)
    )
    return used, taken
