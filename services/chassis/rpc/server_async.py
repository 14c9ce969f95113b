"""A gRPC server on one event loop, for a service many of whose calls wait for the same thing.

With a thread for each call, sixty-four callers that share one commit are sixty-four threads that wake up for it; here
one loop wakes up (docs/adr/0007). Methods that are plain functions still run in threads, as in chassis.rpc.server.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from services.chassis.config import Settings
from services.chassis.rpc.server import server_options

S = TypeVar("S")
T = TypeVar("T")

# What the loop itself has to do for a start or a stop, besides the drain.
LOOP_SECONDS = 10.0


class _HandlerCapture:
    """A fake `grpc.aio.Server` that captures the handlers which generated code adds, and adds them as generic ones.

    The asyncio server waits for the next call of each registered method separately, so every call costs more the more
    methods there are; for generic handlers it waits once.
    """

    def __init__(self, server: grpc.aio.Server, deserializers: Mapping[str, Callable[[bytes], Any]]) -> None:
        self._server = server
        self._deserializers = deserializers

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """Do nothing: generated code also registers the same handlers by name."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Add the handlers, with deserializers of their own if they have some."""
        chosen = {
            name: handler._replace(
                request_deserializer=self._deserializers.get(name, handler.request_deserializer),
            )
            for name, handler in handlers.items()
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, chosen),))


def add_servicer(
    server: grpc.aio.Server,
    add: Callable[[S, Any], None],
    servicer: S,
    deserializers: Mapping[str, Callable[[bytes], Any]] | None = None,
) -> None:
    """Register a servicer with a server, with its own deserializers for some methods.

    Args:
        server: the server.
        add: the generated `add_…_to_server` function.
        servicer: the servicer.
        deserializers: by method name, the function that reads its requests instead of protobuf (see
            chassis.rpc.lenient).
    """
    # Generated code requires a server of this class.
    capture: Any = _HandlerCapture(server, deserializers or {})
    add(servicer, capture)


class AsyncServer:
    """Like chassis.rpc.server.Server, on an event loop in a thread of its own; add servicers before the start.

    Attributes:
        draining: set when the server begins to drain, so that streams without an end of their own end.
        pool: runs methods that are plain functions, and everything else that must not block the loop; also the loop's
            own executor. Plain generators need `streams_in_threads`.
        loop: the event loop; it runs until `close`.
        grpc: the server that `add_servicer` takes.
        port: the port on which it listens.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.draining = threading.Event()
        self.pool = ThreadPoolExecutor(settings.grpc_workers, thread_name_prefix="rpc")
        self.loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self.loop.set_default_executor(self.pool)
        self._thread = threading.Thread(target=self.loop.run_forever, name="rpc-loop", daemon=True)
        self._thread.start()
        self._health = health.aio.HealthServicer()
        self.grpc: grpc.aio.Server = self._call(self._make(), LOOP_SECONDS)
        self.port: int = self.grpc.add_insecure_port(settings.grpc_bind)

    async def _make(self) -> grpc.aio.Server:
        server = grpc.aio.server(
            self.pool,
            maximum_concurrent_rpcs=self._settings.grpc_workers + self._settings.grpc_queue,
            options=server_options(),
        )
        add_servicer(server, health_pb2_grpc.add_HealthServicer_to_server, self._health)
        await self._say(health_pb2.HealthCheckResponse.NOT_SERVING)
        return server

    def _call(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    async def _say(self, state: int) -> None:
        for name in ("", "readiness"):
            await self._health.set(name, state)
        await self._health.set("liveness", health_pb2.HealthCheckResponse.SERVING)

    def start(self, service_names: Sequence[str]) -> None:
        """Accept calls, and report SERVING."""
        self._call(self._start(service_names), LOOP_SECONDS)

    async def _start(self, service_names: Sequence[str]) -> None:
        if self._settings.reflection:
            names = [*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME]
            servicer = reflection.aio.ReflectionServicer(names)
            add_servicer(self.grpc, reflection_pb2_grpc.add_ServerReflectionServicer_to_server, servicer)
        await self.grpc.start()
        await self._say(health_pb2.HealthCheckResponse.SERVING)

    def drain(self) -> None:
        """Report NOT_SERVING, let callers notice, finish running calls, stop."""
        self.draining.set()
        self._call(self._health.enter_graceful_shutdown(), LOOP_SECONDS)
        time.sleep(self._settings.drain_notice_seconds)
        self._call(self.grpc.stop(self._settings.drain_seconds), self._settings.drain_seconds + LOOP_SECONDS)
        self.pool.shutdown()

    def close(self) -> None:
        """Stop the loop, after its last caller."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
