"""What was changed a moment ago counts for the next event; where the bus stands still, the answer is late and true."""

from __future__ import annotations

import threading
from collections.abc import Callable

from services.chassis.config import Settings
from services.chassis.wait import wait_until
from services.local.nats_server import NatsServer
from tests.support.patience import PATIENCE_SECONDS
from tests.support.usage_flow import event, running

SHORT_SECONDS = 0.3


def waiting(settings_for: Callable[[str], Settings], seconds: float) -> Callable[[str], Settings]:
    """Settings of processes that wait so long for a change."""
    return lambda service: settings_for(service).model_copy(update={"freshness_seconds": seconds})


def test_an_event_after_a_subscription_is_accepted(settings_for: Callable[[str], Settings]) -> None:
    """Its sender names no change, and the log asks for it before it sets anything aside."""
    with running(waiting(settings_for, PATIENCE_SECONDS), replicas=2) as flow:
        flow.sell()
        for number in range(20):
            flow.subscribe(f"customer-{number}")
            assert flow.send([event(f"customer-{number}")]) == ["accepted"], number
        flow.metric("tokens")
        assert flow.send([event("customer-0", code="tokens"), event("nobody")]) == ["accepted", "quarantined"]


def test_while_one_waits_the_others_are_answered(
    settings_for: Callable[[str], Settings], nats_server: NatsServer
) -> None:
    """A bus that stands still holds up those who changed something, and nobody else; then they are accepted, too."""
    with running(waiting(settings_for, PATIENCE_SECONDS)) as flow:
        flow.sell()
        flow.subscribe("known")
        assert flow.send([event("known")]) == ["accepted"]
        nats_server.stop()
        flow.subscribe("new")
        outcomes: list[str] = []
        sender = threading.Thread(target=lambda: outcomes.extend(flow.send([event("new")])))
        sender.start()
        for _ in range(20):
            assert flow.send([event("known")]) == ["accepted"]
        assert outcomes == []
        nats_server.start()
        sender.join(PATIENCE_SECONDS)
        assert outcomes == ["accepted"]


def test_a_bus_that_stands_still_is_waited_for_once(
    settings_for: Callable[[str], Settings], nats_server: NatsServer
) -> None:
    """What is said then is true: set aside for now, and counted when the change has come."""
    with running(waiting(settings_for, SHORT_SECONDS)) as flow:
        flow.sell()
        flow.subscribe("known")
        flow.until_known("subscriptions", 1)
        nats_server.stop()
        flow.subscribe("new")
        assert [flow.send([event("new"), event("known")]) for _ in range(5)] == 5 * [["quarantined", "accepted"]]
        nats_server.start()
        wait_until(lambda: not flow.reasons(), timeout=PATIENCE_SECONDS, what="the release of what was set aside")
        flow.settle()
        assert (flow.drift(), flow.counted()) == ({}, 10)
