"""One organization never stops another: whatever is wrong with an announcement about one, its neighbours continue."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from farebox.common.v1 import decimal_pb2
from farebox.rating.v1 import domain_events_pb2, plan_pb2
from services.chassis.followed import Message
from services.chassis.wait import wait_until
from services.entitlements.consumers import HANDLERS, rating_log
from services.kernel.ids import OrganizationId, new_id
from tests.support.entitlements import NOW, PERIOD, PLAN, SUBSCRIPTION, Running
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rating.events import (
    MAY,
    clock_advanced,
    gate,
    limit,
    plan_changed,
    subscription_changed,
    usage_aggregated,
)

VICTIM = OrganizationId(new_id())


def poisoned_usage() -> tuple[str, bytes]:
    return usage_aggregated(VICTIM, new_id(), "1e99", 1, period=PERIOD)


def poisoned_plan() -> tuple[str, bytes]:
    subject, body = plan_changed(VICTIM, new_id(), [gate("sso")])
    message = domain_events_pb2.PlanChanged.FromString(body)
    message.plan.interval.unit = plan_pb2.BillingInterval.UNIT_UNSPECIFIED
    return subject, message.SerializeToString()


def poisoned_subscription() -> tuple[str, bytes]:
    return subscription_changed(VICTIM, new_id(), PLAN, period=PERIOD, timezone="Mars/Olympus")


def poisoned_clock() -> tuple[str, bytes]:
    subject, body = clock_advanced(VICTIM, NOW, 1)
    message = domain_events_pb2.TestClockAdvanced.FromString(body)
    message.now.seconds = 2**40
    return subject, message.SerializeToString()


POISON = {
    "rating.usage.aggregated": poisoned_usage,
    "rating.catalog.plan_changed": poisoned_plan,
    "rating.subscription.changed": poisoned_subscription,
    "rating.test_clock.advanced": poisoned_clock,
}


ANY_UNREADABLE = ("rating.usage.aggregated", "unreadable")


def test_there_is_a_poison_for_every_handler() -> None:
    """A subject that is followed without a poisoned neighbour in this file would be followed untested."""
    assert POISON.keys() == HANDLERS.keys()


@pytest.mark.parametrize(("subject", "kind"), [*((subject, "wrong") for subject in sorted(POISON)), ANY_UNREADABLE])
def test_a_poisoned_message_stops_nobody(running: Running, subject: str, kind: str) -> None:
    """It is set aside, and what others announced before and behind it, in one batch with it, has its effect."""
    running.sell()
    poison = POISON[subject]() if kind == "wrong" else (subject, b"\xff\xff\xff")
    totals = [usage_aggregated(running.organization, SUBSCRIPTION, str(n), n, period=PERIOD) for n in (1, 2, 3)]
    running.log.announce(totals[0], poison, totals[1], poison, totals[2])
    running.until_used("3")
    running.log.announce(
        plan_changed(running.organization, PLAN, [gate("later")]), clock_advanced(running.organization, NOW, 1)
    )
    wait_until(lambda: running.check("later").allowed, timeout=PATIENCE_SECONDS, what="the plan behind the poison")
    assert dead_letters(running) == 2


def test_a_poisoned_total_stops_none_of_its_message(world: Any) -> None:
    """One message carries totals of many organizations: only the one that cannot be counted is set aside."""
    neighbours = [OrganizationId(new_id()) for _ in range(6)]
    for neighbour in neighbours:
        world.apply(
            plan_changed(neighbour, PLAN, [limit("calls", "100")]), subscription_changed(neighbour, SUBSCRIPTION, PLAN)
        )
    totals = [total_of(neighbour, str(place)) for place, neighbour in enumerate(neighbours, 1)]
    totals.insert(3, total_of(VICTIM, "1e99"))
    totals.append(total_of(VICTIM, "no number"))
    subject, body = "rating.usage.aggregated", domain_events_pb2.UsageAggregated(totals=totals).SerializeToString()
    with world.deps.db.worker_transaction() as tx:
        rating_log(world.deps).apply(tx, [Message(subject, 100, 100, body, log="rating")])
    for place, neighbour in enumerate(neighbours, 1):
        world.organization = neighbour
        assert world.check("calls").used == place
    with world.deps.db.worker_transaction() as tx:
        rows = tx.exec_driver_sql("SELECT log, number, subject, body, error FROM dead_letters").all()
    parts = [domain_events_pb2.UsageAggregated.FromString(bytes(row.body)).totals for row in rows]
    assert sorted(part.units.value for (part,) in parts) == ["1e99", "no number"]
    assert {(row.log.partition("/")[0], row.number, row.subject) for row in rows} == {("rating", 100, subject)}
    assert all("totals.units" in row.error for row in rows)


def test_what_our_own_arithmetic_makes_is_counted(world: Any) -> None:
    """A weighted sum of 1e30 has more digits than a caller may send; it is used up, not set aside."""
    world.apply(
        plan_changed(world.organization, PLAN, [limit("calls", "100")]),
        subscription_changed(world.organization, SUBSCRIPTION, PLAN),
    )
    units = Decimal(10) ** 30 * Decimal(86_399) / Decimal(2_678_400)
    assert len(units.as_tuple().digits) == 50
    world.apply(usage_aggregated(world.organization, SUBSCRIPTION, f"{units:f}", 1))
    access = world.check("calls")
    assert (access.is_allowed, access.used, access.overage) == (False, units, units - 100)


def total_of(organization: OrganizationId, units: str) -> domain_events_pb2.UsageAggregated.Total:
    _, body = usage_aggregated(organization, SUBSCRIPTION, "0", 1, period=MAY)
    (total,) = domain_events_pb2.UsageAggregated.FromString(body).totals
    total.units.CopyFrom(decimal_pb2.Decimal(value=units))
    return total


def dead_letters(running: Running) -> int:
    with running.parts.deps.db.worker_transaction() as tx:
        return int(tx.exec_driver_sql("SELECT count(*) FROM dead_letters").scalar_one())
