"""The decision, case by case."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.entitlements.domain.access import Access, Question, Reason, decide
from services.entitlements.domain.feature import FeatureType
from services.entitlements.domain.feature_terms import FeatureTerms, Right, Source
from services.entitlements.domain.standing import Consumed, Entitlement, Standing
from services.entitlements.domain.subscription import Subscription, SubscriptionState
from services.kernel.cadence import Alignment, ResetWindow
from services.kernel.period import Period

MAY = Period(datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC))
NOON = datetime(2026, 5, 10, 12, tzinfo=UTC)
SUBSCRIPTION = Subscription(
    "id", "one", "acme", "plan", SubscriptionState.ACTIVE, "UTC", Alignment.CALENDAR, MAY.start, None, MAY
)


def standing(
    terms: FeatureTerms,
    kind: FeatureType = FeatureType.USAGE_LIMIT,
    *,
    source: Source = Source.PLAN,
    used: str = "0",
    consumed: str = "0",
    held: str = "0",
    is_removed: bool = False,
) -> Standing:
    counted = Decimal(used)
    return Standing(
        SUBSCRIPTION,
        entitlement=Entitlement(
            "calls", Right(kind, source, "api_call", terms), Consumed(Decimal(consumed), NOON), 7, is_removed
        ),
        announced=counted,
        held=Decimal(held),
        held_until=NOON + timedelta(minutes=1) if held != "0" else None,
    )


def ask(*standings: Standing, units: str = "1", subscription: str = "") -> Access:
    question = Question("acme", "calls", subscription, Decimal(units))
    return decide(question, standings, at=NOON, revision=9)


HARD, SOFT = FeatureTerms(limit=Decimal(10), is_hard=True), FeatureTerms(limit=Decimal(10))


@pytest.mark.parametrize(
    ("terms", "numbers", "units", "verdict", "remaining", "overage"),
    [
        (HARD, ("0", "0", "0"), "10", (True, Reason.WITHIN_LIMIT), "10", "0"),
        (HARD, ("0", "0", "0"), "10.000001", (False, Reason.LIMIT_EXCEEDED), "10", "0"),
        (HARD, ("9", "0", "0"), "1", (True, Reason.WITHIN_LIMIT), "1", "0"),
        (HARD, ("10", "0", "0"), "1", (False, Reason.LIMIT_EXCEEDED), "0", "0"),
        (HARD, ("10", "0", "0"), "0", (True, Reason.WITHIN_LIMIT), "0", "0"),
        (HARD, ("12.5", "0", "0"), "0", (False, Reason.LIMIT_EXCEEDED), "0", "2.5"),
        (HARD, ("3", "4", "2"), "1", (True, Reason.WITHIN_LIMIT), "1", "0"),
        (HARD, ("3", "4", "2"), "2", (False, Reason.LIMIT_EXCEEDED), "1", "0"),
        (HARD, ("-5", "0", "0"), "11", (False, Reason.LIMIT_EXCEEDED), "10", "0"),
        (SOFT, ("10", "0", "0"), "1", (True, Reason.LIMIT_EXCEEDED), "0", "0"),
        (SOFT, ("11", "0", "0"), "1", (True, Reason.LIMIT_EXCEEDED), "0", "1"),
        (FeatureTerms(limit=Decimal(0), is_hard=True), ("0", "0", "0"), "1", (False, Reason.LIMIT_EXCEEDED), "0", "0"),
        (FeatureTerms(limit=None, is_hard=True), ("1e12", "0", "0"), "1e12", (True, Reason.WITHIN_LIMIT), None, "0"),
    ],
)
def test_usage_limit(
    terms: FeatureTerms,
    numbers: tuple[str, str, str],
    units: str,
    verdict: tuple[bool, Reason],
    remaining: str | None,
    overage: str,
) -> None:
    """Numbers are units used by events, consumed and held."""
    used, consumed, held = numbers
    access = ask(standing(terms, used=used, consumed=consumed, held=held), units=units)
    assert (access.is_allowed, access.reason) == verdict
    assert access.remaining == (None if remaining is None else Decimal(remaining))
    assert access.overage == Decimal(overage)
    assert access.is_hard is terms.is_hard


@pytest.mark.parametrize(
    ("kind", "terms", "source", "allowed", "reason"),
    [
        (FeatureType.GATE, FeatureTerms(is_enabled=True), Source.PLAN, True, Reason.WITHIN_LIMIT),
        (FeatureType.GATE, FeatureTerms(is_enabled=False), Source.PLAN, False, Reason.FEATURE_NOT_IN_PLAN),
        (FeatureType.GATE, FeatureTerms(is_enabled=True), Source.OVERRIDE, True, Reason.OVERRIDE),
        (FeatureType.GATE, FeatureTerms(is_enabled=False), Source.OVERRIDE, False, Reason.OVERRIDE),
        (FeatureType.CONFIGURATION, FeatureTerms(value="eu"), Source.PLAN, True, Reason.WITHIN_LIMIT),
        (FeatureType.CONFIGURATION, FeatureTerms(value="us"), Source.OVERRIDE, True, Reason.OVERRIDE),
        (FeatureType.USAGE_LIMIT, HARD, Source.OVERRIDE, True, Reason.OVERRIDE),
    ],
)
def test_kind_and_source(
    kind: FeatureType,
    terms: FeatureTerms,
    source: Source,
    allowed: bool,  # noqa: FBT001 - a row of the table
    reason: Reason,
) -> None:
    access = ask(standing(terms, kind, source=source, used="5"))
    assert (access.is_allowed, access.reason, access.value) == (allowed, reason, terms.value)
    if kind is not FeatureType.USAGE_LIMIT:
        assert (access.used, access.limit, access.resets_at) == (Decimal(0), None, None)


def test_subscriptions() -> None:
    here = standing(HARD)
    ended = replace(here, subscription=replace(SUBSCRIPTION, state=SubscriptionState.TERMINATED))
    other = replace(here, subscription=replace(SUBSCRIPTION, id="other", external_id="two"))
    assert ask().reason is Reason.NO_SUBSCRIPTION
    assert ask(ended).reason is Reason.NO_SUBSCRIPTION
    assert ask(ended, subscription="one").reason is Reason.SUBSCRIPTION_INACTIVE
    assert ask(ended, here, subscription="one").is_allowed
    assert ask(here, other).reason is Reason.SUBSCRIPTION_REQUIRED
    assert ask(subscription="one").reason is Reason.NO_SUBSCRIPTION
    assert ask(here, ended).external_subscription_id == "one"


def test_without_a_right() -> None:
    for bare in (replace(standing(HARD), entitlement=None), standing(HARD, is_removed=True)):
        access = ask(bare)
        assert (access.is_allowed, access.reason, access.revision) == (False, Reason.FEATURE_NOT_IN_PLAN, 9)


@pytest.mark.parametrize(
    ("reset", "resets_at"),
    [
        (ResetWindow.BILLING_PERIOD, MAY.end),
        (ResetWindow.DAY, datetime(2026, 5, 11, tzinfo=UTC)),
        (ResetWindow.WEEK, datetime(2026, 5, 11, tzinfo=UTC)),
        (ResetWindow.MONTH, MAY.end),
        (ResetWindow.NEVER, None),
    ],
)
def test_resets_at(reset: ResetWindow, resets_at: datetime | None) -> None:
    access = ask(standing(replace(HARD, reset=reset), used="4"))
    assert (access.used, access.resets_at, access.valid_until) == (Decimal(4), resets_at, resets_at)


def test_valid_until_is_the_first_that_ends() -> None:
    """A hold or the subscription may end before the window."""
    held = standing(HARD, held="2")
    assert ask(held).valid_until == NOON + timedelta(minutes=1)
    ending = replace(SUBSCRIPTION, ending_at=NOON + timedelta(seconds=1))
    assert ask(replace(held, subscription=ending)).valid_until == NOON + timedelta(seconds=1)
