"""Accrued revenue and margins: as the domain defines them, whatever the window."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest

from farebox.rating.v1.domain_events_pb2 import RevenueAccrued
from services.chassis.db import Database
from services.chassis.page import Page
from services.kernel.clock import FrozenClock
from services.kernel.period import Period
from services.margin.commands import cost_model as cost_models
from services.margin.commands import projection as projections
from services.margin.commands.usage import cost_usage
from services.margin.convert.domain_event import revenue_accrued
from services.margin.convert.domain_event import subscription_changed as read_subscription
from services.margin.deps import Deps
from services.margin.domain.cost_model import CostModel, PerModel
from services.margin.domain.margin import MarginState
from services.margin.domain.step import Granularity
from services.margin.queries import margin as margins
from services.margin.queries.margin import Span
from services.margin.store.figure import GroupBy
from tests.oracles.accrued_revenue import earned_in, earned_so_far
from tests.support.margin import (
    ACME,
    NOW,
    OTHER,
    accrued,
    accrued_entry,
    deps_on,
    subscription_changed,
    subscription_id,
    usage,
)

MONTH = Period(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
ENTRIES = [
    accrued_entry("base", "30", MONTH),
    accrued_entry("usage", "7.77", MONTH, "llm_tokens"),
    accrued_entry("usage", "-0.333333333333", MONTH, "api_call"),
    accrued_entry("other", "5", Period(MONTH.start, MONTH.start)),
]
UNTIL_NOW = Span()


def accrue(deps: Deps, message: RevenueAccrued) -> None:
    with deps.db.worker_transaction() as tx:
        projections.accrue(deps, tx, revenue_accrued(message.SerializeToString()))


def revenue(deps: Deps, span: Span = UNTIL_NOW) -> Decimal:
    (margin,) = margins.summary(deps, ACME, span)
    return margin.figures.revenue


def by(deps: Deps, group_by: GroupBy, span: Span = UNTIL_NOW) -> dict[str, Decimal]:
    return {
        margin.group: margin.figures.revenue for margin in margins.by_group(deps, ACME, span, group_by, Page()).items
    }


def test_windows_are_as_the_domain_defines_them(deps: Deps) -> None:
    message = accrued(MONTH, *ENTRIES)
    accrue(deps, message)
    bounds = [MONTH.start - timedelta(days=1), MONTH.start, NOW - timedelta(hours=7, microseconds=1), NOW, MONTH.end]
    for start, end in itertools.combinations(bounds, 2):
        expected = sum(
            earned_in(entry, Period(start, end), NOW)
            for entry in revenue_accrued(message.SerializeToString())[0].entries
        )
        assert revenue(deps, Span(start, end)) == expected


def test_any_window_of_any_accrual_is_as_the_oracle_says(database_for: Callable[[str], Database]) -> None:
    """The one running definition of revenue, in SQL, equals the plain one of the oracle to the last decimal."""
    random, db = Random(20261120), database_for("margin")
    for number in range(60):
        now = MONTH.start + timedelta(microseconds=random.randrange(-(10**12), 4 * 10**12))
        deps = replace(deps_on(db), clock=FrozenClock(now))
        message = accrued(MONTH, *(_random_entry(random) for _ in range(4)), revision=number + 1)
        accrue(deps, message)
        entries = revenue_accrued(message.SerializeToString())[0].entries
        for _ in range(20):
            first, last = sorted(MONTH.start + timedelta(microseconds=random.randrange(6 * 10**12)) for _ in range(2))
            expected = sum(earned_in(entry, Period(first, last), now) for entry in entries)
            assert revenue(deps, Span(first, last)) == expected, (number, first, last, now)
        assert revenue(deps) == sum(earned_so_far(entry, now) for entry in entries)


def _random_entry(random: Random) -> RevenueAccrued.Entry:
    start = MONTH.start + timedelta(seconds=random.randrange(10**6))
    length = timedelta(microseconds=random.choice([0, 1, 7, random.randrange(4 * 10**12)]))
    amount = Decimal(random.randrange(-(10**18), 10**18)) / 10**9
    kind = random.choice(["usage", "base", "other"])
    return accrued_entry(kind, f"{amount:f}", Period(start, start + length))


@pytest.mark.parametrize("now", [MONTH.start, NOW, MONTH.end])
def test_without_an_end_it_is_everything_so_far(database_for: Callable[[str], Database], now: datetime) -> None:
    deps = replace(deps_on(database_for("margin")), clock=FrozenClock(now))
    message = accrued(MONTH, *ENTRIES, accrued_entry("other", "1", Period(MONTH.end, MONTH.end)))
    accrue(deps, message)
    assert revenue(deps) == sum(
        earned_so_far(entry, now) for entry in revenue_accrued(message.SerializeToString())[0].entries
    )
    points = margins.trend(deps, ACME, Span(MONTH.start - timedelta(days=1)), Granularity.WEEK)
    assert sum(point.figures.revenue for point in points) == revenue(deps)


def test_many_subscriptions_come_in_one_message(deps: Deps) -> None:
    """Each is stored as if it had come alone; of one that comes twice, the newest revision counts."""
    message = accrued(MONTH, accrued_entry("usage", "1", MONTH, "m"), revision=2)
    for number in range(3):
        entry = accrued_entry("usage", "10", MONTH, "m")
        message.others.append(accrued(MONTH, entry, subscription=subscription_id(f"s{number}")))
    message.others.append(accrued(MONTH, accrued_entry("usage", "100", MONTH, "m"), revision=1))
    accrue(deps, message)
    assert revenue(deps) == 31
    accrue(deps, accrued(MONTH, accrued_entry("usage", "1000", MONTH, "m"), revision=1))
    assert revenue(deps) == 31, "an earlier revision changes nothing"
    accrue(deps, accrued(MONTH, revision=3))
    assert revenue(deps) == 30, "a revision without entries replaces those of the one before"


def test_hours_sum_to_the_month(deps: Deps) -> None:
    accrue(deps, accrued(MONTH, *ENTRIES))
    points = margins.trend(deps, ACME, Span(MONTH.start, MONTH.end), Granularity.HOUR)
    assert len(points) == 720
    assert sum(point.figures.revenue for point in points) == Decimal("42.436666666667")
    assert revenue(deps, Span(MONTH.start, MONTH.end)) == Decimal("42.436666666667")


def test_a_later_revision_replaces_and_an_earlier_one_does_not(deps: Deps) -> None:
    for number, amount in ((1, "10"), (3, "30"), (2, "20")):
        accrue(deps, accrued(MONTH, accrued_entry("usage", amount, MONTH, "llm_tokens"), revision=number))
    assert revenue(deps) == Decimal(30)


def test_another_organizations_revenue_is_not_ours(deps: Deps) -> None:
    accrue(deps, accrued(MONTH, *ENTRIES, organization=OTHER))
    assert margins.summary(deps, ACME, UNTIL_NOW)[0].figures.state is MarginState.NO_ACTIVITY


def test_groups_sum_to_the_whole(deps: Deps) -> None:
    accrue(deps, accrued(MONTH, *ENTRIES))
    accrue(deps, accrued(MONTH, ENTRIES[0], subscription=subscription_id("2"), customer="cust_2", plan="team"))
    whole = revenue(deps)
    for group_by in GroupBy:
        assert sum(by(deps, group_by).values()) == whole
    assert by(deps, GroupBy.PLAN)["team"] == by(deps, GroupBy.CUSTOMER)["cust_2"] == Decimal("19.5")


def test_revenue_of_a_model_is_its_share_of_the_units(deps: Deps) -> None:
    with deps.db.transaction(ACME) as tx:
        cost_models.create_cost_model(
            deps, tx, ACME, CostModel("", "", "llm_tokens", PerModel(), "USD", created_at=NOW)
        )
    with deps.db.worker_transaction() as tx:
        events = [
            usage("t1", {"model": "gpt-4o", "type": "output", "tokens": 1000}, occurred_at=MONTH.start),
            usage(
                "t2", {"model": "claude-sonnet-4-5-20250929", "type": "output", "tokens": 2000}, occurred_at=MONTH.start
            ),
            usage("t3", {"model": "gpt-4o", "tokens": 9}, occurred_at=MONTH.start, external_customer_id="cust_2"),
        ]
        cost_usage(deps, tx, events)
    accrue(deps, accrued(MONTH, accrued_entry("base", "30", MONTH), accrued_entry("usage", "9", MONTH, "llm_tokens")))
    assert by(deps, GroupBy.MODEL) == {"gpt-4o": Decimal(3), "claude-sonnet-4-5": Decimal(6), "": Decimal("19.5")}
    assert by(deps, GroupBy.PROVIDER) == {"openai": Decimal(3), "anthropic": Decimal(6), "": Decimal("19.5")}
    lowest = margins.by_group(deps, ACME, UNTIL_NOW, GroupBy.MODEL, Page()).items[0]
    assert (lowest.group, lowest.figures.margin_percent) == ("gpt-4o", Decimal("99.6659"))


def test_a_charge_by_model_says_it_itself(deps: Deps) -> None:
    entry = accrued_entry("usage", "4", MONTH, "llm_tokens", model="claude-sonnet-4-5-20250929")
    accrue(deps, accrued(MONTH, entry))
    assert by(deps, GroupBy.MODEL) == {"claude-sonnet-4-5": Decimal(4)}
    assert by(deps, GroupBy.PROVIDER) == {"anthropic": Decimal(4)}


def test_costs_have_the_plan_of_their_subscription(deps: Deps) -> None:
    with deps.db.transaction(ACME) as tx:
        cost_models.create_cost_model(
            deps, tx, ACME, CostModel("", "", "llm_tokens", PerModel(), "USD", created_at=NOW)
        )
    with deps.db.worker_transaction() as tx:
        announced = subscription_changed("s", "cust_1", "pro", MONTH.start).SerializeToString()
        projections.save_subscription(deps, tx, read_subscription(announced))
        tokens = {"model": "gpt-4o", "tokens": 1_000_000}
        cost_usage(deps, tx, [usage("t1", tokens, occurred_at=MONTH.start, subscription_id=subscription_id("s"))])
    (margin,) = margins.by_group(deps, ACME, UNTIL_NOW, GroupBy.PLAN, Page()).items
    assert (margin.group, margin.figures.cost) == ("pro", Decimal("2.5"))


def test_a_trend_counts_every_entry_in_one_step(deps: Deps) -> None:
    with deps.db.transaction(ACME) as tx:
        cost_models.create_cost_model(
            deps, tx, ACME, CostModel("", "", "llm_tokens", PerModel(), "USD", created_at=NOW)
        )
    tokens = {"model": "gpt-4o", "tokens": 1_000_000}
    days = [MONTH.start, MONTH.start + timedelta(days=1) - timedelta(microseconds=1), MONTH.start + timedelta(days=1)]
    with deps.db.worker_transaction() as tx:
        cost_usage(deps, tx, [usage(f"t{day}", tokens, occurred_at=day) for day in days])
    points = margins.trend(deps, ACME, Span(MONTH.start, MONTH.start + timedelta(days=3)), Granularity.DAY)
    assert [point.figures.cost for point in points] == [Decimal(5), Decimal("2.5"), Decimal(0)]
    assert len(margins.trend(deps, ACME, UNTIL_NOW, Granularity.HOUR)) == 30
