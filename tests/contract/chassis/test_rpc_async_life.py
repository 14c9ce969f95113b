"""The life of the server on an event loop: what it refuses, what it says of itself, and how it ends."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from farebox.ingest.v1 import usage_event_service_pb2 as pb
from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.server_async import AsyncServer
from services.chassis.wait import wait_until
from tests.support.chassis.async_server import SERVICE, Gate, Log, MakeServer, Stub
from tests.support.patience import PATIENCE_SECONDS

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def test_beyond_its_queue_a_server_refuses(log: Log, make_server: MakeServer) -> None:
    """The calls that fit are answered; the others get RESOURCE_EXHAUSTED at once."""
    server = make_server(grpc_workers=1, grpc_queue=1)
    gate = Gate(server)
    log.coroutine = gate.hold
    server.start([])
    # A channel that watches the server's health would hold one of the two places.
    with ThreadPoolExecutor(8) as callers, grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        refused: list[grpc.StatusCode] = []

        def call(_: int) -> str:
            try:
                Stub(channel).IngestUsageEvents(pb.IngestUsageEventsRequest(), timeout=2 * PATIENCE_SECONDS)
            except grpc.RpcError as error:
                refused.append(error.code())
                return error.code().name
            return "OK"

        outcomes = callers.map(call, range(8))
        wait_until(lambda: len(refused) == 6, timeout=PATIENCE_SECONDS, what="six refusals")
        gate.open()
        assert sorted(outcomes) == ["OK"] * 2 + ["RESOURCE_EXHAUSTED"] * 6
        wait_until(lambda: call(0) == "OK", timeout=PATIENCE_SECONDS, what="room to be free again")


def _health(server: AsyncServer, name: str) -> int:
    """What the server would say of its health, whether it takes calls yet or not."""
    context: Any = None
    check = server._health.Check(health_pb2.HealthCheckRequest(service=name), context)
    return int(asyncio.run_coroutine_threadsafe(check, server.loop).result(PATIENCE_SECONDS).status)


def test_health_follows_the_life_of_the_server(make_server: MakeServer) -> None:
    """A watcher sees it serve and then drain; it lives all the time."""
    server = make_server()
    assert [_health(server, name) for name in ("", "readiness", "liveness")] == [NOT_SERVING, NOT_SERVING, SERVING]
    server.start([])
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel, ThreadPoolExecutor(1) as drainer:
        health: Any = health_pb2_grpc.HealthStub(channel)
        for name in ("", "readiness", "liveness"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=PATIENCE_SECONDS)
            assert answer.status == SERVING
        seen = health.Watch(health_pb2.HealthCheckRequest(service=""), timeout=2 * PATIENCE_SECONDS)
        assert next(seen).status == SERVING
        drained = drainer.submit(server.drain)
        assert next(seen).status == NOT_SERVING
        # A watch has no end of its own.
        seen.cancel()
        drained.result(PATIENCE_SECONDS)


@pytest.mark.parametrize("described", [True, False])
def test_reflection_lists_the_service(make_server: MakeServer, *, described: bool) -> None:
    """Unless the settings say that the server does not describe itself."""
    server = make_server(reflection=described)
    server.start([SERVICE])
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        if described:
            assert {SERVICE, "grpc.health.v1.Health"} <= set(database.get_services())
            found = descriptor_pool.DescriptorPool(database).FindServiceByName(SERVICE)
            assert "IngestUsageEvents" in found.methods_by_name
        else:
            with pytest.raises(grpc.RpcError) as caught:
                database.get_services()
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


# A connection that the kernel took just before the server closed its door is never served: that try ends, and whoever
# waits tries again.
ONE_TRY_SECONDS = 1.0


def _refuses_calls(port: int) -> bool:
    options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        call = Stub(channel).GetUsageEvent.future(pb.GetUsageEventRequest(), timeout=ONE_TRY_SECONDS)
        return bool(call.code() is grpc.StatusCode.UNAVAILABLE)


def test_a_drain_lets_running_calls_finish(log: Log, make_server: MakeServer) -> None:
    """Coroutines and plain methods alike, while new calls are refused."""
    server = make_server(drain_seconds=2 * int(PATIENCE_SECONDS))
    gate, plain_begun, plain_may_end = Gate(server), threading.Event(), threading.Event()

    def plain(_: Any) -> Any:
        plain_begun.set()
        assert plain_may_end.wait(PATIENCE_SECONDS)
        return pb.GetUsageEventResponse()

    log.coroutine, log.plain = gate.hold, plain
    server.start([])
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel, ThreadPoolExecutor(1) as drainer:
        held = Stub(channel).IngestUsageEvents.future(pb.IngestUsageEventsRequest(), timeout=2 * PATIENCE_SECONDS)
        held_too = Stub(channel).GetUsageEvent.future(pb.GetUsageEventRequest(), timeout=2 * PATIENCE_SECONDS)
        assert gate.entered.acquire(timeout=PATIENCE_SECONDS)
        assert plain_begun.wait(PATIENCE_SECONDS)
        log.plain = lambda _: pb.GetUsageEventResponse()
        drained = drainer.submit(server.drain)
        wait_until(lambda: _refuses_calls(server.port), timeout=PATIENCE_SECONDS, what="new calls to be refused")
        assert server.draining.is_set()
        assert not any(call.done() for call in (drained, held, held_too))
        gate.open()
        plain_may_end.set()
        assert held.result(PATIENCE_SECONDS) == pb.IngestUsageEventsResponse()
        assert held_too.result(PATIENCE_SECONDS) == pb.GetUsageEventResponse()
        drained.result(PATIENCE_SECONDS)


def test_a_drain_ends_what_does_not_end_itself(log: Log, make_server: MakeServer) -> None:
    """After its time a call is cancelled, and its caller is told."""
    server = make_server(drain_seconds=0)
    gate = Gate(server)
    log.coroutine = gate.hold
    server.start([])
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        held = Stub(channel).IngestUsageEvents.future(pb.IngestUsageEventsRequest(), timeout=PATIENCE_SECONDS)
        assert gate.entered.acquire(timeout=PATIENCE_SECONDS)
        server.drain()
        assert gate.cancelled.wait(PATIENCE_SECONDS)
        assert held.code() in {grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE}


def test_a_plain_stream_whose_caller_leaves_gives_its_thread_back(log: Log, make_server: MakeServer) -> None:
    """Otherwise, as many callers as there are threads would stop every plain method, and the drain would never end."""
    server = make_server(grpc_workers=1, drain_seconds=0)
    log.plain_stream = lambda _: (pb.ReplayUsageEventsResponse() for _ in range(1000))
    server.start([])
    with open_channel(f"127.0.0.1:{server.port}") as channel:
        answers = Stub(channel).ReplayUsageEvents(pb.ReplayUsageEventsRequest(), timeout=PATIENCE_SECONDS)
        next(answers)
        answers.cancel()
        Stub(channel).GetUsageEvent(pb.GetUsageEventRequest(), timeout=PATIENCE_SECONDS)
