"""Whoever watches a server's health and hangs up never stops it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from services.chassis.rpc.health import Health
from services.chassis.wait import wait_until
from tests.support.patience import PATIENCE_SECONDS


class Call:
    """The context of a watch: remembers what is to be done at its end."""

    def __init__(self) -> None:
        self.ends: list[Callable[[], Any]] = []

    def add_callback(self, callback: Callable[[], Any]) -> bool:
        self.ends.append(callback)
        return True

    def hang_up(self) -> None:
        for end in self.ends:
            end()


def test_a_watcher_that_hangs_up_while_others_are_told_holds_up_nobody() -> None:
    """As in grpcio's server: a message counts as sent only once the thread that hears of ends is free again."""
    health, leaving, staying = Health(), Call(), Call()
    told: list[int] = []

    def send_once_the_other_has_left(response: Any) -> None:
        if response is not None and staying.ends:
            serving = threading.Thread(target=leaving.hang_up)
            serving.start()
            serving.join(PATIENCE_SECONDS)
            assert not serving.is_alive()
        if response is not None:
            told.append(response.status)

    health.Watch(HealthCheckRequest(), leaving, lambda _: None)
    health.Watch(HealthCheckRequest(), staying, send_once_the_other_has_left)
    health.set("", HealthCheckResponse.NOT_SERVING)
    assert told == [HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING]


def test_whoever_hung_up_is_told_nothing_more() -> None:
    health, call = Health(), Call()
    told: list[Any] = []
    health.Watch(HealthCheckRequest(), call, told.append)
    call.hang_up()
    # The library tells a watcher last that there is nothing more.
    wait_until(lambda: told[-1] is None, timeout=PATIENCE_SECONDS, what="the end of the watch")
    health.set("", HealthCheckResponse.NOT_SERVING)
    assert told[-1] is None
