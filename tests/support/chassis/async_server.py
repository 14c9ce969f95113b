"""A servicer on an AsyncServer whose methods, one of each kind, do what the test says."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from farebox.ingest.v1 import usage_event_service_pb2 as pb
from farebox.ingest.v1 import usage_event_service_pb2_grpc as pb_grpc
from services.chassis.rpc.answers import answers
from services.chassis.rpc.answers_async import answers_async, streams_async, streams_in_threads
from services.chassis.rpc.server_async import AsyncServer

SERVICE = "farebox.ingest.v1.UsageEventService"

Stub = pb_grpc.UsageEventServiceStub
MakeServer = Callable[..., AsyncServer]


class Log(pb_grpc.UsageEventServiceServicer):
    """A servicer with a method of each kind; each does what the test says."""

    def __init__(self) -> None:
        self.coroutine: Callable[[Any], Awaitable[Any]] = _answer_nothing
        self.plain: Callable[[Any], Any] = lambda _: pb.GetUsageEventResponse()
        self.stream: Callable[[Any], AsyncIterator[Any]] = _answer_each
        self.plain_stream: Callable[[Any], Iterator[Any]] = lambda _: iter(())

    @answers_async
    async def IngestUsageEvents(self, request: Any, context: Any) -> Any:  # noqa: ARG002
        return await self.coroutine(context)

    @answers
    def GetUsageEvent(self, request: Any, context: Any) -> Any:  # noqa: ARG002
        return self.plain(context)

    @streams_async
    async def StreamUsageEvents(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:  # noqa: ARG002
        async for answer in self.stream(request_iterator):
            yield answer

    @streams_in_threads
    def ReplayUsageEvents(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: ARG002
        yield from self.plain_stream(context)


async def _answer_nothing(_: Any) -> Any:
    return pb.IngestUsageEventsResponse()


async def _answer_each(requests: Any) -> AsyncIterator[Any]:
    async for request in requests:
        yield pb.StreamUsageEventsResponse(sequence=request.sequence)


class Gate:
    """Holds coroutine calls up until the test lets them go."""

    def __init__(self, server: AsyncServer) -> None:
        self._server = server
        self._open = asyncio.Event()
        self.entered = threading.Semaphore(0)
        self.cancelled = threading.Event()

    async def hold(self, _: Any) -> Any:
        """A body of `Log.coroutine`."""
        self.entered.release()
        try:
            await self._open.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return pb.IngestUsageEventsResponse()

    def open(self) -> None:
        """Let every call go, from any thread."""
        self._server.loop.call_soon_threadsafe(self._open.set)
