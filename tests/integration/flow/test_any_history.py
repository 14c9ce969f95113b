"""Whatever happens to subscriptions and metrics while usage flows, in live time and with two replicas, the sums hold.

A history is drawn from a seed: starts now, in a moment and long ago, ends, changes of plan, metrics that go and come
back, events of any time, retries, voids, a lost NATS store. Whenever nothing is in progress any more, each event has
one disposition, and no event that could be counted waits in quarantine.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest

from farebox.rating.v1 import subscription_service_pb2 as pb
from services.chassis.config import Settings
from services.local.nats_server import NatsServer
from tests.support.servers import empty_streams
from tests.support.usage_flow import METRIC, Flow, daily, event, now, running, stamp

CUSTOMERS = [f"customer-{number}" for number in range(4)]
PLANS = ["pro", "max"]
# No plan charges for it, so that it can be removed and made again.
EXTRA = "extra"
STEPS = 30
RESTS = 3
# A history may ask for what the state of things forbids; the suite must say so in one of these words.
REFUSALS = {
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.ABORTED,
}


class History:
    """Draws what happens next."""

    def __init__(self, flow: Flow, chance: random.Random, lose_streams: Callable[[], None]) -> None:
        self._flow = flow
        self._chance = chance
        self._lose_streams = lose_streams
        self._sent: list[Any] = []
        self._steps: list[tuple[int, Callable[[], None]]] = [
            (40, self._send),
            (14, self._subscribe),
            (6, self._end),
            (6, self._move),
            (3, self._withdraw),
            (4, self._remove_metric),
            (4, self._make_metric),
            (8, self._void),
            (6, self._repeat),
            (1, self._lose_streams),
        ]

    def step(self) -> None:
        """Let one thing happen, or be refused."""
        weights, steps = zip(*self._steps, strict=True)
        [happen] = self._chance.choices(steps, weights)
        try:
            happen()
        except grpc.RpcError as error:
            if error.code() not in REFUSALS:
                raise

    def _customer(self) -> str:
        return self._chance.choice(CUSTOMERS)

    def _subscribe(self) -> None:
        customer, fields = self._customer(), {}
        kind = self._chance.randrange(4)
        starts_at = now()
        if kind == 1:
            starts_at += timedelta(seconds=self._chance.uniform(0.5, 3))
        elif kind >= 2:
            starts_at -= timedelta(days=self._chance.uniform(0, 20))
        if kind:
            fields["started_at"] = stamp(starts_at)
        if self._chance.random() < 0.3:
            ahead = timedelta(days=self._chance.uniform(0, 20)) if kind >= 2 else timedelta(seconds=3)
            fields["ending_at"] = stamp(starts_at + ahead)
        plan = self._chance.choice(PLANS)
        self._flow.subscribe(customer, plan, external_id=f"sub-{customer}", **fields)

    def _end(self) -> None:
        timing = self._chance.choice([pb.CHANGE_TIMING_NOW, pb.CHANGE_TIMING_PERIOD_END])
        self._flow.change("CancelSubscription", f"sub-{self._customer()}", timing=timing)

    def _move(self) -> None:
        timing = self._chance.choice([pb.CHANGE_TIMING_NOW, pb.CHANGE_TIMING_PERIOD_END])
        plan = self._chance.choice(PLANS)
        self._flow.change("ChangeSubscriptionPlan", f"sub-{self._customer()}", plan_code=plan, timing=timing)

    def _withdraw(self) -> None:
        self._flow.change("WithdrawSubscriptionChange", f"sub-{self._customer()}")

    def _remove_metric(self) -> None:
        self._flow.remove_metric(EXTRA)

    def _make_metric(self) -> None:
        self._flow.metric(EXTRA)

    def _send(self) -> None:
        events = [self._event() for _ in range(self._chance.randint(1, 40))]
        self._sent += events
        self._flow.send(events)

    def _event(self) -> Any:
        customer = self._customer()
        code = self._chance.choice([METRIC, METRIC, METRIC, EXTRA])
        kind = self._chance.randrange(5)
        at = None
        if kind == 1:
            at = now() + timedelta(seconds=self._chance.uniform(-2, 4))
        elif kind == 2:
            at = now() + timedelta(hours=self._chance.uniform(0, 20))
        elif kind >= 3:
            at = now() - timedelta(days=self._chance.uniform(0, 22))
        if self._chance.random() < 0.2:
            return event("", at, code=code, external_subscription_id=f"sub-{customer}")
        return event(customer, at, code=code)

    def _void(self) -> None:
        if self._sent:
            self._flow.void(self._chance.choice(self._sent).transaction_id)

    def _repeat(self) -> None:
        if self._sent:
            self._flow.send(self._chance.sample(self._sent, min(10, len(self._sent))))


@pytest.mark.parametrize("seed", range(4))
def test_the_sums_hold_at_every_rest(
    seed: int, settings_for: Callable[[str], Settings], nats_server: NatsServer
) -> None:
    """Σ stored = Σ aggregates + Σ quarantined + Σ voided, by subscription and metric, and nothing waits for nothing."""
    chance = random.Random(seed)
    with running(settings_for, replicas=2) as flow:
        flow.sell("pro", metrics=[METRIC], interval=daily())
        flow.sell("max", metrics=[], interval=daily(), amount_cents=9000)
        flow.metric(EXTRA)
        history = History(flow, chance, lambda: empty_streams(nats_server))
        for _ in range(RESTS):
            for _ in range(STEPS):
                history.step()
            flow.settle()
            waiting = flow.quarantined()
            assert (flow.drift(), flow.refused()) == ({}, 0)
            flow.look_again()
            flow.settle()
            assert (flow.drift(), flow.refused(), flow.quarantined()) == ({}, 0, waiting)
        stored = flow.stored()
        assert stored["stored"] == flow.counted() + stored["quarantined"] + stored["voided"]
        assert flow.counted()
