"""One organization never stops another: whatever is wrong with one's messages, its neighbours are costed."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from google.protobuf.message import Message as Proto
from google.protobuf.timestamp_pb2 import Timestamp

from farebox.rating.v1 import domain_events_pb2 as rating
from farebox.rating.v1 import organization_pb2
from services.chassis.bus import Bus
from services.chassis.wait import wait_until
from services.kernel.ids import OrganizationId
from services.kernel.period import Period
from services.margin.commands.projection import reach_waiting_clocks
from services.margin.consumers import HANDLERS
from services.margin.deps import Deps
from services.margin.main import Parts
from services.margin.store import projection as projection_store
from tests.support.margin import (
    ACME,
    NOW,
    OTHER,
    accrued,
    accrued_entry,
    batch,
    clock_advanced,
    metric_changed,
    subscription_changed,
    subscription_id,
    usage_entry,
)
from tests.support.margin_process import TOKENS, Client, publish_rating, publish_usage, reached
from tests.support.patience import PATIENCE_SECONDS

NO_INSTANT = Timestamp(seconds=2**40)
MONTH = Period(NOW - timedelta(days=1), NOW + timedelta(days=29))


def poisoned_metric() -> Proto:
    message = metric_changed("tokens\0")
    message.organization_id = OTHER
    return message


def poisoned_organization() -> Proto:
    return rating.OrganizationChanged(organization=organization_pb2.Organization(id=OTHER, default_currency="XXX"))


def poisoned_subscription() -> Proto:
    message = subscription_changed("s", "cust_1", "pro", NOW)
    message.organization_id = "nobody"
    return message


def poisoned_revenue() -> Proto:
    return accrued(MONTH, accrued_entry("usage", "1" + "0" * 42, MONTH, "llm_tokens"), organization=OTHER)


def poisoned_clock() -> Proto:
    message = clock_advanced(NOW, 1)
    message.organization_id = OTHER
    message.now.CopyFrom(NO_INSTANT)
    return message


POISON = {
    "rating.organization.changed": poisoned_organization,
    "rating.catalog.metric_changed": poisoned_metric,
    "rating.subscription.changed": poisoned_subscription,
    "rating.revenue.accrued": poisoned_revenue,
    "rating.test_clock.advanced": poisoned_clock,
}


def test_there_is_a_poison_for_every_handler() -> None:
    """A subject that is followed without a poisoned neighbour in this file would be followed untested."""
    assert POISON.keys() == HANDLERS.keys()


def test_poisoned_announcements_stop_nobody(margin: Parts, client: Client, bus: Bus) -> None:
    """Each is set aside, one of every kind in a row, and what rating announces behind them has its effect."""
    revenue = accrued(MONTH, accrued_entry("usage", "40", MONTH, "llm_tokens"))
    poison = [(subject, make()) for subject, make in POISON.items()]
    publish_rating(bus, [*poison, ("rating.revenue.accrued", revenue)])
    wait_until(lambda: client.summary()[0] == "40", timeout=PATIENCE_SECONDS, what="the revenue behind the poison")
    set_aside = [(log.partition("/")[0], number) for log, number in dead_letters(margin)]
    assert set_aside == [("rating", number) for number in range(1, 1 + len(POISON))]


def test_a_poisoned_accrual_stops_none_of_its_message(margin: Parts, client: Client, bus: Bus) -> None:
    """One message tells of many subscriptions: only the one that cannot be stored is set aside."""
    revenue = accrued(MONTH, accrued_entry("usage", "1", MONTH, "llm_tokens"))
    revenue.others.append(poisoned_revenue())
    revenue.others.append(
        accrued(MONTH, accrued_entry("usage", "40", MONTH, "llm_tokens"), subscription=subscription_id("other"))
    )
    publish_rating(bus, [("rating.revenue.accrued", revenue)])
    wait_until(lambda: client.summary()[0] == "41", timeout=PATIENCE_SECONDS, what="the revenue around the poison")
    ((log, number),) = dead_letters(margin)
    assert (log.partition("/")[0], number) == ("rating", 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"subscription_id": "no uuid"},
        {"occurred_at": NO_INSTANT},
        {"organization_id": "nobody"},
        {"properties": b"{"},
        {"external_customer_id": "nul\0"},
    ],
)
def test_a_poisoned_event_stops_none_of_its_batch(
    margin: Parts, client: Client, bus: Bus, fields: dict[str, object]
) -> None:
    """A batch of the log carries events of many organizations: only the one that cannot be costed is set aside."""
    client.create_cost_model(per_model={})
    good = [usage_entry(f"t{number}", TOKENS) for number in range(7)]
    poison = usage_entry("poison", TOKENS, **fields if "properties" not in fields else {})
    if "properties" in fields:
        poison.properties = b"{"
    publish_usage(bus, [batch(3, 1, *good[:3], poison, *good[3:]), batch(3, 2, usage_entry("behind", TOKENS))])
    wait_until(
        lambda: client.summary()[1] == "20", timeout=PATIENCE_SECONDS, what="the neighbours and the batch behind"
    )
    ((log, number),) = dead_letters(margin)
    assert (log.partition("/")[0], number) == ("usage.3", 1)


@pytest.mark.parametrize(
    "properties",
    [
        {"model": "gpt-4o", "type": "input", "tokens": "1e30"},
        {"model": "m" * 100_000, "type": "input", "tokens": 5},
        {"model": "gpt-4o\0", "type": "input", "tokens": 5},
        {"model": ["gpt-4o"], "type": {}, "tokens": "many"},
    ],
)
def test_an_absurd_event_is_shown_and_unpriced(
    margin: Parts, client: Client, bus: Bus, properties: dict[str, object]
) -> None:
    """Nothing in an event's properties makes costing fail: it lowers the coverage, and costs nobody anything."""
    client.create_cost_model(per_model={})
    publish_usage(bus, [batch(3, 1, usage_entry("absurd", properties), usage_entry("t", TOKENS))])
    wait_until(lambda: client.summary()[1] == "2.5", timeout=PATIENCE_SECONDS, what="the neighbour")
    (found,) = client.margins_of_all()
    assert (found.unpriced_count, found.coverage_ratio.value) == (1, "0.5")
    assert dead_letters(margin) == []


def test_a_clock_that_waits_holds_up_nobody(margin: Parts, client: Client, bus: Bus) -> None:
    """A clock whose usage has not come waits by itself; the revenue and the clock of others behind it go on."""
    waits = clock_advanced(NOW + timedelta(days=1), 1, {2: 7})
    waits.organization_id = OTHER
    revenue = accrued(MONTH, accrued_entry("usage", "40", MONTH, "llm_tokens"))
    ready = clock_advanced(NOW + timedelta(days=2), 9)
    publish_rating(
        bus,
        [
            ("rating.test_clock.advanced", waits),
            ("rating.revenue.accrued", revenue),
            ("rating.test_clock.advanced", ready),
        ],
    )
    wait_until(lambda: reached(margin) == [9], timeout=PATIENCE_SECONDS, what="the clock behind the one that waits")
    assert client.summary()[0] == "40"


def test_clocks_are_reached_by_their_own_usage(deps: Deps) -> None:
    """Of two clocks that wait, the one whose usage was costed is reached, once, and the other goes on waiting."""
    for organization, shard in ((ACME, 1), (OTHER, 2)):
        with deps.db.worker_transaction() as tx:
            advance = rating.TestClockAdvanced.FromString(clock_advanced(NOW, 1, {shard: 5}).SerializeToString())
            advance.organization_id = organization
            handler = HANDLERS["rating.test_clock.advanced"]
            handler.apply(deps, tx, handler.read(advance.SerializeToString()))
    with deps.db.worker_transaction() as tx:
        assert reach_waiting_clocks(deps, tx) == 0
        tx.exec_driver_sql("INSERT INTO inbox (log, last_number) VALUES ('usage.2', 5)")
    with deps.db.worker_transaction() as tx:
        assert [reach_waiting_clocks(deps, tx) for _ in range(2)] == [1, 0]
    with deps.db.transaction(OrganizationId(OTHER)) as tx:
        assert projection_store.clock_of(tx, OTHER) == NOW
    with deps.db.transaction(ACME) as tx:
        assert projection_store.clock_of(tx, ACME) is None


def dead_letters(parts: Parts) -> list[tuple[str, int]]:
    with parts.deps.db.worker_transaction() as tx:
        rows = tx.exec_driver_sql("SELECT log, number FROM dead_letters ORDER BY number").all()
    return [(row.log, row.number) for row in rows]


def test_margins_of_the_largest_amounts_can_be_told(deps: Deps) -> None:
    """At the bounds of what is accepted, sums and percents still have all their decimals."""
    largest = Decimal(10) ** 18
    handler = HANDLERS["rating.revenue.accrued"]
    for number, amount in enumerate((f"{largest}", "-0.000000000001", f"{largest}")):
        message = accrued(
            MONTH,
            accrued_entry("usage", amount, MONTH, "m"),
            subscription=f"0197a000-0000-7000-8000-00000000000{number}",
        )
        with deps.db.worker_transaction() as tx:
            handler.apply(deps, tx, handler.read(message.SerializeToString()))
    with deps.db.transaction(ACME) as tx:
        (total,) = tx.exec_driver_sql("SELECT sum(amount) FROM accrual_entries").one()
    assert total == 2 * largest - Decimal("0.000000000001")
