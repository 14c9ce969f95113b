"""Counting usage: any order and split of the log's entries gives the same aggregates, through the real tables."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from farebox.ingest.v1 import domain_events_pb2 as ingest_pb
from farebox.rating.v1 import billable_metric_pb2, charge_pb2, domain_events_pb2, usage_service_pb2
from services.chassis.bus import Bus
from services.chassis.config import Settings
from services.chassis.followed import Message
from services.chassis.follower import Follower
from services.chassis.outbox import numbered
from services.chassis.wait import wait_until
from services.rating.consumers import usage_logs
from services.rating.shared.usage_log import UsageEntry
from services.rating.usage.commands.count import Memory
from services.wire.streams import USAGE, shard_subject
from services.wire.usage_log import UsageLogClient
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rating.billing import SHARD, Billing, count, running_billing, split
from tests.support.rating.server import decimal, standard_charge, timestamp

JANUARY = datetime(2024, 1, 1, tzinfo=UTC)
KINDS = billable_metric_pb2.BillableMetric
MODEL = charge_pb2.ChargeModel
MODELS = ("gpt", "claude", "other")


def filtered_and_grouped() -> charge_pb2.Charge:
    """A price of its own for one model, and one fee a region."""
    filter_values = {"model": charge_pb2.Charge.PropertyValues(values=["gpt"])}
    own = MODEL(standard=MODEL.Standard(unit_amount=decimal("3")))
    priced = charge_pb2.Charge.FilteredPrice(values=filter_values, model=own, invoice_display_name="GPT")
    return standard_charge("tokens", "1", filters=[priced], group_by=["region"], code="split")


def percentage() -> charge_pb2.Charge:
    """The first five events free, at least one a transaction."""
    model = MODEL.Percentage(
        rate_percent=decimal("10"), fixed_amount=decimal("0.5"), free_event_count=5, per_event_min_amount=decimal("1")
    )
    return charge_pb2.Charge(metric_code="tokens", model=MODEL(percentage=model), code="share")


@pytest.fixture
def billing(settings_for: Callable[[str], Settings]) -> Iterator[Billing]:
    with running_billing(settings_for("rating")) as running:
        running.clock(JANUARY)
        filters = [KINDS.Filter(key="model", values=MODELS)]
        running.tenant.metric("calls")
        running.tenant.metric("tokens", aggregation=KINDS.AGGREGATION_SUM, field_name="tokens", filters=filters)
        running.tenant.metric("peak", aggregation=KINDS.AGGREGATION_MAX, field_name="tokens")
        running.tenant.metric("users", aggregation=KINDS.AGGREGATION_UNIQUE_COUNT, field_name="user")
        running.tenant.metric("level", aggregation=KINDS.AGGREGATION_LATEST, field_name="tokens")
        running.tenant.metric("held", aggregation=KINDS.AGGREGATION_WEIGHTED_SUM, field_name="tokens")
        plain = [standard_charge(code, "1") for code in ("calls", "peak", "users", "level", "held")]
        running.tenant.plan(charges=[*plain, filtered_and_grouped(), percentage()])
        yield running


def scramble(billing: Billing, subscription: str, seed: int) -> list[UsageEntry]:
    """Events of every metric, some of them voided; the same for every subscription but for their ids."""
    dice = random.Random(seed)
    entries = []
    for number in range(60):
        code = dice.choice(("calls", "tokens", "peak", "users", "level", "held"))
        properties = {
            "tokens": dice.randrange(1, 50),
            "user": f"u{dice.randrange(8)}",
            "model": dice.choice(MODELS),
            "region": dice.choice(("eu", "us")),
        }
        at = JANUARY + timedelta(minutes=dice.randrange(20_000))
        name = f"{seed}-{number}-{subscription[-12:]}"
        accepted = billing.log.accept(
            billing.tenant.organization_id, subscription, code, at, properties, transaction_id=name
        )
        entries.append(accepted)
        if dice.random() < 0.15:
            entries.append(billing.log.void(accepted))
    return entries


def shuffled(entries: list[UsageEntry], dice: random.Random) -> list[UsageEntry]:
    """Another order in which a void still follows its event, as in the log."""
    accepted = [entry for entry in entries if not entry.is_void]
    voids = [entry for entry in entries if entry.is_void]
    dice.shuffle(accepted)
    for void in voids:
        place = next(index for index, entry in enumerate(accepted) if entry.transaction_id == void.transaction_id)
        accepted.insert(dice.randrange(place + 1, len(accepted) + 1), void)
    return accepted


def figures(usage: usage_service_pb2.UsageSummary) -> list[tuple[Any, ...]]:
    """What must be the same."""
    return [
        (fee.name, fee.filter_name, dict(fee.group), fee.units.value, fee.event_count, fee.amount_cents)
        for fee in usage.fees
    ]


@pytest.mark.parametrize("seed", range(3))
def test_any_order_and_any_split_give_the_same_usage(billing: Billing, seed: int) -> None:
    """One batch in the log's order, single entries in another, and random batches in a third."""
    expected = None
    for variant in range(3):
        dice = random.Random(1000 * seed + variant)
        subscription = billing.subscribe(customer=f"c{variant}")
        entries = scramble(billing, subscription.id, seed)
        ordered = entries if variant == 0 else shuffled(entries, dice)
        sizes = ([], [1] * len(entries), [dice.randrange(1, 15) for _ in entries])[variant]
        memory = Memory()
        for batch in split(ordered, sizes):
            count(billing.rating, batch, memory=memory)
        found = figures(billing.current(f"c{variant}"))
        expected = expected or found
        assert found == expected


def test_a_total_is_announced_with_a_rising_revision(billing: Billing) -> None:
    subscription = billing.subscribe()
    for _ in range(2):
        billing.event(subscription, "calls", JANUARY + timedelta(hours=1))
    bodies = billing.rating.announced("rating.usage.aggregated")
    totals = [domain_events_pb2.UsageAggregated.FromString(body).totals for body in bodies]
    assert [(total.units.value, total.event_count, total.revision) for (total,) in totals] == [
        ("1", 1, 1),
        ("2", 2, 2),
    ]
    assert totals[0][0].external_customer_id == "acme"


def test_units_are_announced_by_the_day_of_their_events(billing: Billing) -> None:
    """Limits by the calendar count usage on its own day: late events, voids, and days of metrics that do not add up."""
    subscription = billing.subscribe()
    late = billing.event(subscription, "tokens", JANUARY + timedelta(days=2), tokens="2.5", model="gpt", region="eu")
    billing.event(subscription, "tokens", JANUARY + timedelta(days=1, hours=23), tokens=4, model="gpt", region="eu")
    billing.event(subscription, "peak", JANUARY + timedelta(days=3), tokens=9)
    billing.void(late)
    bodies = billing.rating.announced("rating.usage.aggregated")
    totals = [domain_events_pb2.UsageAggregated.FromString(body).totals for body in bodies]
    days = [[(day.day, day.units.value) for day in total.days] for (total,) in totals]
    assert days == [
        [("2024-01-03", "2.5")],
        [("2024-01-02", "4")],
        [("2024-01-04", "")],
        [("2024-01-03", "-2.5")],
    ]
    assert [total.days[0].HasField("units") for (total,) in totals] == [True, True, False, True]


def test_an_event_that_no_period_takes_is_refused(billing: Billing) -> None:
    subscription = billing.subscribe()
    billing.event(subscription, "calls", JANUARY - timedelta(days=3))
    (body,) = billing.rating.announced("rating.usage.refused")
    (refusal,) = domain_events_pb2.UsageRefused.FromString(body).refusals
    assert refusal.reason == "SUBSCRIPTION_NOT_ACTIVE"
    assert refusal.event_key == billing.log.entries[0].event_key


def test_an_event_ahead_of_its_period_waits_in_the_next_one(billing: Billing) -> None:
    subscription = billing.subscribe()
    billing.event(subscription, "calls", JANUARY.replace(day=31, hour=23))
    billing.event(subscription, "calls", datetime(2024, 2, 1, 3, tzinfo=UTC))
    billing.advance(datetime(2024, 2, 2, tzinfo=UTC))
    (invoice,) = billing.invoices()
    assert {fee.metric_code: fee.units.value for fee in invoice.fees}["calls"] == "1"
    assert {fee.metric_code: fee.units.value for fee in billing.current().fees}["calls"] == "1"


class _NoReplay(UsageLogClient):
    """Ingest is away; nothing is missing on the bus in this test."""

    def __init__(self) -> None:
        super().__init__(grpc.insecure_channel("127.0.0.1:1"))

    def replay(self, shard: int, first: int, last: int) -> Iterator[Message]:  # noqa: ARG002 - as its base's
        raise AssertionError("nothing is missing")

    def _positions(self) -> list[ingest_pb.ShardPosition]:
        return []


def test_messages_that_come_twice_and_out_of_order_count_once(billing: Billing, bus: Bus) -> None:
    """The real follower on the real bus: batches 1 to 20 of a shard, shuffled, each published three times."""
    subscription = billing.subscribe()
    messages = [_accepted(billing, subscription.id, number) for number in range(1, 21)]
    bus.ensure_stream(USAGE.name, USAGE.subjects)
    dice = random.Random(7)
    for attempt in range(3):
        dice.shuffle(messages)
        for message in messages:
            body, number = message.SerializeToString(), message.first_number
            outgoing = numbered(shard_subject(SHARD), f"attempt-{attempt}", body, number, number)
            bus.publish([outgoing])
    follower = Follower(billing.rating.deps.db, bus, usage_logs(billing.rating.deps, _NoReplay()))
    follower.start()
    try:
        wait_until(lambda: _calls(billing) == "40", timeout=PATIENCE_SECONDS, what="all batches to be counted")
    finally:
        follower.stop()
    assert _calls(billing) == "40"


def _accepted(billing: Billing, subscription: str, number: int) -> ingest_pb.UsageEventsAccepted:
    entries = [
        ingest_pb.UsageEventEntry(
            organization_id=billing.tenant.organization_id,
            kind=ingest_pb.UsageEventEntry.KIND_ACCEPTED,
            event_key=f"{number}-{index}".encode().rjust(16),
            transaction_id=f"{number}-{index}",
            subscription_id=subscription,
            code="calls",
            occurred_at=timestamp(JANUARY + timedelta(hours=number)),
            properties=b'{"price": 0.1}',
        )
        for index in range(2)
    ]
    return ingest_pb.UsageEventsAccepted(shard=SHARD, first_number=number, last_number=number, entries=entries)


def _calls(billing: Billing) -> str:
    return {fee.metric_code: fee.units.value for fee in billing.current().fees}["calls"]
