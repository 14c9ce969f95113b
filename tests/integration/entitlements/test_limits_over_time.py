"""Usage belongs to the window of its time, and a limit's past follows the customer."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.entitlements.commands.consumption import count as count_together
from services.entitlements.domain.access import Question
from services.entitlements.domain.counting import Commit, Consume
from services.kernel.ids import new_id
from services.kernel.period import Period
from tests.support.rating.events import (
    MAY,
    fresh_ids,
    limit,
    plan_changed,
    subscription_changed,
    usage_aggregated,
)

PLAN, BETTER, FIRST, SECOND, OTHER = fresh_ids(5)
RESETS = ("BILLING_PERIOD", "DAY", "WEEK", "MONTH", "NEVER")
# Sunday noon; the week began on Monday the 4th.
NOON = datetime(2026, 5, 10, 12, tzinfo=UTC)
REST_OF_MAY = Period(NOON, MAY.end)


@pytest.fixture
def limited(world: Any) -> Any:
    """A customer whose plan limits one metric in every kind of window, each to 100."""
    limits = [limit(reset.lower(), "100", reset=reset) for reset in RESETS]
    world.apply(
        plan_changed(world.organization, PLAN, limits),
        plan_changed(world.organization, BETTER, limits, code="better"),
        subscription_changed(world.organization, FIRST, PLAN),
    )
    world.changes()
    return world


def used(world: Any, **asked: str) -> dict[str, int]:
    return {reset: int(world.check(reset.lower(), **asked).used) for reset in RESETS}


def count(world: Any, subscription: str, units: str, revision: int, **days: str) -> None:
    """Units of a period so far; days as `d09="5"` for the 9th of May, `a30` for the 30th of April."""
    named = {f"2026-{'04' if day[0] == 'a' else '05'}-{day[1:]}": units for day, units in days.items()}
    period = MAY if subscription == FIRST else REST_OF_MAY
    world.apply(usage_aggregated(world.organization, subscription, units, revision, period=period, days=named))


def succeed(world: Any, **fields: Any) -> None:
    """The first subscription ends now, and the second begins."""
    world.apply(
        subscription_changed(world.organization, FIRST, PLAN, state="TERMINATED", period=None, ended_at=NOON),
        subscription_changed(
            world.organization,
            SECOND,
            BETTER,
            period=REST_OF_MAY,
            started_at=NOON,
            **{"anchored_at": MAY.start, **fields},
        ),
    )


def test_late_usage_counts_in_the_window_of_its_time(limited: Any) -> None:
    """Told today: of today, of yesterday in this week, and of the week before in this month."""
    count(limited, FIRST, "1", 1, d10="1")
    assert used(limited) == dict.fromkeys(RESETS, 1)
    count(limited, FIRST, "11", 2, d09="10")
    assert used(limited) == {"BILLING_PERIOD": 11, "DAY": 1, "WEEK": 11, "MONTH": 11, "NEVER": 11}
    count(limited, FIRST, "41", 3, d02="30")
    assert used(limited) == {"BILLING_PERIOD": 41, "DAY": 1, "WEEK": 11, "MONTH": 41, "NEVER": 41}


def test_only_the_limits_that_changed_are_announced(limited: Any) -> None:
    """Late usage of the 2nd of May alters neither today's limit nor this week's."""
    count(limited, FIRST, "5", 1, d02="5")
    assert sorted(change.access.feature_code for change in limited.changes()) == ["billing_period", "month", "never"]


@pytest.mark.parametrize("external_id", ["acme-pro", "another-id"])
def test_a_limit_goes_on_in_the_next_subscription(limited: Any, external_id: str) -> None:
    """After a change of plan or a new subscription, what was used before counts in windows that continue."""
    count(limited, FIRST, "40", 1, d02="10", d09="20", d10="10")
    for reset in RESETS:
        assert limited.consume(reset.lower(), "3").is_allowed
    expected = {"BILLING_PERIOD": 43, "DAY": 13, "WEEK": 33, "MONTH": 43, "NEVER": 43}
    assert used(limited) == expected
    succeed(limited, external_id=external_id)
    assert used(limited) == expected
    count(limited, SECOND, "5", 2, d10="5")
    for reset in RESETS:
        limited.consume(reset.lower(), "1")
    assert used(limited) == {reset: units + 6 for reset, units in expected.items()}
    limited.clock.move_to(MAY.end)
    assert used(limited) == {"BILLING_PERIOD": 0, "DAY": 0, "WEEK": 0, "MONTH": 0, "NEVER": 49}


def test_late_usage_of_the_past_alters_the_present(limited: Any) -> None:
    """A late event of the ended subscription counts for the subscription that continues it, and is announced."""
    succeed(limited)
    limited.changes()
    count(limited, FIRST, "7", 1, d10="7")
    assert used(limited) == dict.fromkeys(RESETS, 7)
    assert sorted(change.access.feature_code for change in limited.changes()) == sorted(map(str.lower, RESETS))


def test_a_hard_limit_is_not_won_anew_by_moving(limited: Any) -> None:
    """A customer who has used all of it and changes the plan is refused as before."""
    count(limited, FIRST, "100", 1, d10="100")
    succeed(limited)
    assert not any(limited.check(reset.lower()).is_allowed for reset in RESETS)
    assert not limited.consume("never", "1").is_allowed


def test_subscriptions_beside_one_another_have_limits_of_their_own(limited: Any) -> None:
    """What one subscription used counts for its successor, not for one that lives beside it, nor for its successor."""
    limited.apply(subscription_changed(limited.organization, OTHER, PLAN, external_id="beside"))
    count(limited, FIRST, "40", 1, d10="40")
    succeed(limited)
    assert used(limited, subscription="beside") == dict.fromkeys(RESETS, 0)
    assert used(limited, subscription="acme-pro") == dict.fromkeys(RESETS, 40)
    again = fresh_ids(1)[0]
    limited.apply(
        subscription_changed(
            limited.organization, OTHER, PLAN, external_id="beside", state="TERMINATED", period=None, ended_at=NOON
        ),
        subscription_changed(
            limited.organization, again, BETTER, external_id="beside", period=REST_OF_MAY, started_at=NOON
        ),
    )
    assert used(limited, subscription="beside") == dict.fromkeys(RESETS, 0)


def test_another_anniversary_is_another_billing_period(limited: Any) -> None:
    """Subscribing again on the 10th begins a billing period then: usage of before the day is not in it."""
    count(limited, FIRST, "30", 1, d02="10", d10="20")
    succeed(limited, external_id="new", is_anniversary=True, anchored_at=NOON)
    assert used(limited) == {"BILLING_PERIOD": 20, "DAY": 20, "WEEK": 20, "MONTH": 30, "NEVER": 30}


def test_units_on_hold_go_along(limited: Any) -> None:
    """What the old subscription holds is not free in the new one."""
    limited.reserve("month", "60", timedelta(hours=1))
    succeed(limited)
    assert limited.check("month").remaining == Decimal(40)


def test_a_hold_of_an_ended_subscription_is_settled_in_the_next_one(limited: Any) -> None:
    """Committed among others, it counts for the subscription that goes on before anything else is counted there."""
    hold = limited.reserve("month", "60", timedelta(hours=1)).hold
    succeed(limited)
    commands = [
        Consume(Question("acme", "month", "", Decimal(30)), new_id()),
        Commit(hold.id, Decimal(50), new_id()),
        Consume(Question("acme", "month", "", Decimal(10)), new_id()),
        Consume(Question("acme", "month", "", Decimal(1)), new_id()),
    ]
    with limited.deps.db.transaction(limited.organization) as tx:
        counted = count_together(limited.deps, tx, limited.organization, commands)
    assert [answer.access.is_allowed for answer in counted] == [True, True, True, False]
    assert limited.check("month").used == Decimal(90)
    assert limited.consume("month", "10").is_allowed
    assert not limited.consume("month", "1").is_allowed


def test_every_zone_is_known_to_the_database(limited: Any) -> None:
    """Days are counted in SQL and in Python: no zone that Python knows is unknown to PostgreSQL."""
    with limited.deps.db.worker_transaction() as tx:
        known = set(tx.exec_driver_sql("SELECT name FROM pg_timezone_names").scalars())
    assert {zone for zone in zoneinfo.available_timezones() if zone != "localtime"} - known == set()
