"""What rating announces decides what is answered; every alteration is announced once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.entitlements.domain.access import Reason
from services.entitlements.domain.event import TestClockReached
from services.kernel.ids import OrganizationId, new_id
from tests.support.rating.events import (
    JUNE,
    MAY,
    clock_advanced,
    configuration,
    fresh_ids,
    gate,
    limit,
    plan_changed,
    subscription_changed,
    usage_aggregated,
)

PLAN, SUBSCRIPTION = fresh_ids(2)


@pytest.fixture
def sold(world: Any) -> Any:
    """A customer on a plan with every kind of feature."""
    grants = [
        gate("sso"),
        gate("audit", enabled=False),
        configuration("region", "eu"),
        limit("calls", "100"),
        limit("soft", "100", hard=False),
        limit("daily", "10", reset="DAY"),
        limit("ever", "1000", reset="NEVER"),
        limit("free", None),
    ]
    world.apply(
        plan_changed(world.organization, PLAN, grants),
        subscription_changed(world.organization, SUBSCRIPTION, PLAN),
    )
    world.changes()
    return world


def test_kinds(sold: Any) -> None:
    assert (sold.check("sso").is_allowed, sold.check("sso").reason) == (True, Reason.WITHIN_LIMIT)
    assert (sold.check("audit").is_allowed, sold.check("audit").reason) == (False, Reason.FEATURE_NOT_IN_PLAN)
    assert sold.check("region").value == "eu"
    assert sold.check("missing").reason is Reason.FEATURE_NOT_IN_PLAN
    assert sold.check("free", "1e9").remaining is None
    access = sold.check("calls", "100")
    assert (access.is_allowed, access.limit, access.resets_at) == (True, Decimal(100), MAY.end)
    assert sold.check("calls", "101").reason is Reason.LIMIT_EXCEEDED


def test_customers(sold: Any) -> None:
    assert sold.check("sso", customer="nobody").reason is Reason.NO_SUBSCRIPTION
    assert sold.check("sso", subscription="acme-pro").is_allowed
    assert sold.check("sso", subscription="other").reason is Reason.NO_SUBSCRIPTION
    second = new_id()
    sold.apply(subscription_changed(sold.organization, second, PLAN, external_id="acme-two"))
    assert sold.check("sso").reason is Reason.SUBSCRIPTION_REQUIRED
    assert sold.check("sso", subscription="acme-two").is_allowed
    sold.apply(
        subscription_changed(sold.organization, second, PLAN, external_id="acme-two", state="TERMINATED", period=None)
    )
    assert sold.check("sso", subscription="acme-two").reason is Reason.SUBSCRIPTION_INACTIVE
    assert sold.check("sso").is_allowed


def test_usage_counts_in_every_window(sold: Any) -> None:
    sold.apply(usage_aggregated(sold.organization, SUBSCRIPTION, "8", 1, days={"2026-05-10": "8"}))
    assert {feature: sold.check(feature).used for feature in ("calls", "soft", "daily", "ever")} == dict.fromkeys(
        ("calls", "soft", "daily", "ever"), Decimal(8)
    )
    sold.clock.move_to(sold.clock.now() + timedelta(days=1))
    sold.apply(usage_aggregated(sold.organization, SUBSCRIPTION, "13", 2, days={"2026-05-11": "5"}))
    assert sold.check("calls").used == Decimal(13)
    assert sold.check("daily").used == Decimal(5)
    sold.clock.move_to(JUNE.start + timedelta(hours=1))
    # Rating has not closed May yet: the next window is known from the plan's calendar.
    assert (sold.check("calls").used, sold.check("calls").resets_at) == (Decimal(0), JUNE.end)
    sold.apply(usage_aggregated(sold.organization, SUBSCRIPTION, "3", 3, period=JUNE))
    assert (sold.check("calls").used, sold.check("ever").used) == (Decimal(3), Decimal(16))


def test_overage(sold: Any) -> None:
    sold.apply(usage_aggregated(sold.organization, SUBSCRIPTION, "120.5", 1))
    hard, soft = sold.check("calls"), sold.check("soft")
    assert (hard.is_allowed, hard.reason, hard.overage, hard.remaining) == (
        False,
        Reason.LIMIT_EXCEEDED,
        Decimal("20.5"),
        Decimal(0),
    )
    assert (soft.is_allowed, soft.reason, soft.overage) == (True, Reason.LIMIT_EXCEEDED, Decimal("20.5"))


def test_late_usage_of_a_closed_period(sold: Any) -> None:
    """A late event of May moves May and what never resets, not June and not today."""
    sold.apply(usage_aggregated(sold.organization, SUBSCRIPTION, "10", 1))
    sold.clock.move_to(JUNE.start + timedelta(days=9))
    sold.apply(subscription_changed(sold.organization, SUBSCRIPTION, PLAN, period=JUNE))
    sold.changes()
    sold.apply(usage_aggregated(sold.organization, SUBSCRIPTION, "15", 2, days={"2026-05-31": "5"}))
    assert {feature: sold.check(feature).used for feature in ("calls", "daily", "ever")} == {
        "calls": Decimal(0),
        "daily": Decimal(0),
        "ever": Decimal(15),
    }
    assert {change.access.feature_code for change in sold.changes()} >= {"ever"}


def test_only_the_newest_revision_counts(sold: Any) -> None:
    """The same totals twice, out of order, in one batch or in several: the newest revision decides, once."""
    one, two, three = (usage_aggregated(sold.organization, SUBSCRIPTION, str(n * 10), n) for n in (1, 2, 3))
    sold.apply(two, three, one)
    assert (sold.check("calls").used, sold.check("ever").used) == (Decimal(30), Decimal(30))
    sold.changes()
    sold.apply(two, one)
    sold.apply(three)
    assert (sold.check("calls").used, sold.check("ever").used) == (Decimal(30), Decimal(30))
    assert sold.changes() == []


def test_a_correction_lowers_the_day_it_corrects(sold: Any) -> None:
    """A voided event is taken from its own day, whenever it is announced, and no other day changes."""
    first = {"2026-05-09": "4", "2026-05-10": "9"}
    sold.apply(usage_aggregated(sold.organization, SUBSCRIPTION, "13", 1, days=first))
    assert (sold.check("calls").used, sold.check("daily").used) == (Decimal(13), Decimal(9))
    sold.apply(usage_aggregated(sold.organization, SUBSCRIPTION, "11", 2, days={"2026-05-09": "-2"}))
    assert (sold.check("calls").used, sold.check("daily").used) == (Decimal(11), Decimal(9))
    sold.apply(usage_aggregated(sold.organization, SUBSCRIPTION, "4", 3, days={"2026-05-10": "-7"}))
    assert (sold.check("calls").used, sold.check("daily").used) == (Decimal(4), Decimal(2))


def test_another_plan_version(sold: Any) -> None:
    """What a subscription loses, gains or keeps by a plan is announced; what stays the same is not."""
    better = new_id()
    sold.apply(
        plan_changed(sold.organization, better, [gate("sso"), gate("audit"), limit("calls", "500")], version=2),
        subscription_changed(sold.organization, SUBSCRIPTION, better),
    )
    changes = {change.access.feature_code: change for change in sold.changes()}
    assert sorted(changes) == ["audit", "calls", "daily", "ever", "free", "region", "soft"]
    assert changes["calls"].access.limit == Decimal(500)
    assert [code for code, change in changes.items() if change.is_removed] == [
        "daily",
        "ever",
        "free",
        "region",
        "soft",
    ]
    assert sold.check("audit").is_allowed
    assert sold.check("region").reason is Reason.FEATURE_NOT_IN_PLAN


def test_announcements_repeat_nothing(sold: Any) -> None:
    sold.apply(subscription_changed(sold.organization, SUBSCRIPTION, PLAN))
    assert sold.changes() == []


def test_revisions_rise_and_are_unique(sold: Any) -> None:
    before = sold.check("calls").revision
    sold.apply(usage_aggregated(sold.organization, SUBSCRIPTION, "1", 1, days={"2026-05-10": "1"}))
    revisions = [change.access.revision for change in sold.changes()]
    assert len(revisions) == len(set(revisions)) == 5
    assert min(revisions) > before
    assert sold.check("sso").revision == max(revisions)


def test_test_clock(sold: Any) -> None:
    """An organization's time is its clock's; that it was reached is announced with the advance's revision."""
    later = datetime(2026, 6, 3, tzinfo=UTC)
    sold.apply(usage_aggregated(sold.organization, SUBSCRIPTION, "7", 1))
    sold.apply(
        subscription_changed(sold.organization, SUBSCRIPTION, PLAN, period=JUNE),
        clock_advanced(sold.organization, later, 4),
    )
    assert TestClockReached(sold.organization, 4, later) in sold.announced
    assert (sold.check("calls").used, sold.check("calls").resets_at) == (Decimal(0), JUNE.end)
    sold.apply(clock_advanced(sold.organization, datetime(2026, 5, 3, tzinfo=UTC), 3))
    assert sold.check("calls").resets_at == JUNE.end
    # Others live on in the machine's time.
    other, subscription = OrganizationId(new_id()), new_id()
    sold.apply(
        plan_changed(other, PLAN, [limit("calls", "5")]),
        subscription_changed(other, subscription, PLAN),
    )
    sold.organization = other
    assert sold.check("calls").resets_at == MAY.end


def test_timezone_of_the_day(world: Any) -> None:
    """The customer's midnight ends a day."""
    world.apply(
        plan_changed(world.organization, PLAN, [limit("daily", "10", reset="DAY")]),
        subscription_changed(world.organization, SUBSCRIPTION, PLAN, timezone="Asia/Tokyo"),
        usage_aggregated(world.organization, SUBSCRIPTION, "4", 1, days={"2026-05-10": "4"}),
    )
    assert (world.check("daily").used, world.check("daily").resets_at) == (
        Decimal(4),
        datetime(2026, 5, 10, 15, tzinfo=UTC),
    )
    world.clock.move_to(datetime(2026, 5, 10, 15, tzinfo=UTC))
    assert world.check("daily").used == Decimal(0)
