"""Every stored event is counted in one aggregate, quarantined with a reason or voided: at every rest, in live time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, timedelta
from typing import Any

import pytest

from farebox.rating.v1 import subscription_service_pb2
from services.chassis.config import Settings
from services.rating.usage.counting import Counter
from tests.support.usage_flow import Flow, daily, event, now, running, stamp


@pytest.fixture(params=[1, 2], ids=["one replica", "two replicas"])
def flow(request: pytest.FixtureRequest, settings_for: Callable[[str], Settings]) -> Iterator[Flow]:
    """Both services, alone or each twice."""
    with running(settings_for, replicas=request.param) as house:
        yield house


def test_a_back_dated_subscription_counts_its_past(flow: Flow) -> None:
    """Every event is counted, in whatever order a batch is, and however many periods still have to be opened."""
    flow.sell(interval=daily())
    begun = now() - timedelta(days=60, hours=1)
    flow.subscribe("acme", started_at=stamp(begun))
    flow.until_known("subscriptions", 1)
    # Every period six times, backwards and forwards.
    for step in range(6):
        days = range(60) if step % 2 else reversed(range(60))
        batch = [event("acme", begun + timedelta(days=day, hours=step + 1)) for day in days]
        assert set(flow.send(batch)) == {"accepted"}
    flow.settle()
    assert (flow.drift(), flow.reasons(), flow.counted()) == ({}, {}, 360)


def test_events_flow_while_a_subscription_starts(flow: Flow) -> None:
    """An event with the server's time is counted once its subscription has begun, and quarantined before."""
    flow.sell()
    starts_at = now() + timedelta(seconds=3)
    customers = [f"customer-{number}" for number in range(5)]
    for customer in customers:
        flow.subscribe(customer, started_at=stamp(starts_at))
    flow.until_known("subscriptions", len(customers))
    outcomes: list[str] = []
    while now() < starts_at + timedelta(seconds=4):
        outcomes += flow.send([event(customer) for customer in customers])
    flow.settle()
    assert flow.drift() == {}
    # Accepted events are counted in the end, because they came after the start.
    assert outcomes.count("accepted") == flow.counted()
    assert flow.reasons() == {"SUBSCRIPTION_NOT_ACTIVE": outcomes.count("quarantined")}


def test_an_absurd_property_harms_no_neighbour(settings_for: Callable[[str], Settings]) -> None:
    """A number that no metric sums may have any size: its event and all others of the batch are counted."""
    with running(settings_for) as flow:
        flow.sell()
        flow.subscribe("acme")
        flow.until_known("subscriptions", 1)
        absurd = [b"1e99999999999999999999", b"1e999999999", b"9" * 60_000, b"0." + b"9" * 60_000]
        poison = [event("acme", properties=b'{"x": ' + number + b"}") for number in absurd]
        assert set(flow.send([event("acme"), *poison, event("acme")])) == {"accepted"}
        flow.settle()
        assert (flow.drift(), flow.counted(), flow.reasons()) == ({}, 6, {})


def test_an_event_that_cannot_be_counted_harms_no_neighbour(
    settings_for: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever counting it raises, it alone is quarantined, and voiding it takes nothing out of any aggregate."""
    measure = Counter.measure

    def fail(counter: Counter, entry: Any) -> Any:
        if entry.transaction_id.startswith("poison"):
            raise ArithmeticError(entry.transaction_id)
        return measure(counter, entry)

    monkeypatch.setattr(Counter, "measure", fail)
    with running(settings_for) as flow:
        flow.sell()
        flow.subscribe("acme")
        flow.until_known("subscriptions", 1)
        poison = [event("acme", transaction_id=f"poison-{number}") for number in range(3)]
        batch = [event("acme"), poison[0], event("acme"), event("acme"), *poison[1:], event("acme")]
        assert set(flow.send(batch)) == {"accepted"}
        flow.settle()
        assert (flow.drift(), flow.counted(), flow.reasons()) == ({}, 4, {"USAGE_NOT_COUNTABLE": 3})
        assert flow.refused() == 0


def test_usage_of_the_first_second_is_billed(settings_for: Callable[[str], Settings]) -> None:
    """A subscription that starts now takes usage that is stamped with this whole second, and none of the one before."""
    with running(settings_for) as flow:
        flow.sell()
        customers = [f"customer-{number}" for number in range(10)]
        for customer in customers:
            begun = flow.subscribe(customer).started_at.ToDatetime(UTC)
            assert begun.microsecond == 0
            flow.send([event(customer, begun), event(customer, begun - timedelta(seconds=1))])
        flow.settle()
        assert (flow.drift(), flow.counted()) == ({}, len(customers))
        assert flow.reasons() == {"SUBSCRIPTION_NOT_ACTIVE": len(customers)}


def test_usage_after_the_last_invoice_is_seen(settings_for: Callable[[str], Settings]) -> None:
    """What no invoice will ever take is quarantined, and counted once the customer has a subscription again."""
    with running(settings_for) as flow:
        flow.sell()
        begun = now() - timedelta(days=3)
        flow.subscribe("acme", external_id="sub-acme", started_at=stamp(begun))
        flow.until_known("subscriptions", 1)
        flow.send([event("acme", begun + timedelta(days=1))])
        flow.settle()
        flow.change("CancelSubscription", "sub-acme", timing=subscription_service_pb2.CHANGE_TIMING_NOW)
        flow.settle()
        flow.send([event("acme", begun + timedelta(days=2))])
        flow.settle()
        assert (flow.drift(), flow.counted(), flow.reasons()) == ({}, 1, {"SUBSCRIPTION_BILLED": 1})
        flow.subscribe("acme", external_id="sub-again")
        flow.settle()
        assert (flow.drift(), flow.counted(), flow.reasons(), flow.refused()) == ({}, 2, {}, 0)
