"""Servers on an event loop, at the loopback interface."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from farebox.ingest.v1 import usage_event_service_pb2_grpc as pb_grpc
from services.chassis.config import Settings
from services.chassis.rpc.server_async import AsyncServer, add_servicer
from tests.support.chassis.async_server import Log, MakeServer


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def make_server(log: Log) -> Iterator[MakeServer]:
    """Makes servers of `log`, not started; they are closed after the test, drained by it or not."""
    made: list[AsyncServer] = []

    def make(**changes: Any) -> AsyncServer:
        server = AsyncServer(
            Settings(**{"grpc_bind": "127.0.0.1:0", "drain_notice_seconds": 0, "drain_seconds": 5, **changes})
        )
        made.append(server)
        add_servicer(server.grpc, pb_grpc.add_UsageEventServiceServicer_to_server, log)
        return server

    yield make
    for server in made:
        if not server.draining.is_set():
            server.drain()
        server.close()
