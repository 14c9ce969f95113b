"""Decorators of servicer methods on an event loop (chassis.rpc.server_async)."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from services.chassis.rpc.calls import TOO_LATE, failure_of, is_too_late, note

F = TypeVar("F", bound=Callable[..., Any])


def answers_async(method: F) -> F:
    """Wrap a coroutine method: translate errors and write one canonical line. See chassis.rpc.answers."""
    name = method.__qualname__

    @functools.wraps(method)
    async def answer(self: Any, request: Any, context: Any) -> Any:
        started = time.perf_counter()
        try:
            if is_too_late(context):
                await context.abort(*TOO_LATE)
            reply = await method(self, request, context)
        except asyncio.CancelledError:
            note(name, "CANCELLED", started)
            raise
        except Exception as error:  # noqa: BLE001 - every error leaves through this one door
            await context.abort(*failure_of(name, error, started))
        note(name, "OK", started)
        return reply

    return answer  # type: ignore[return-value]


def streams_async(method: F) -> F:
    """Like `answers_async`, for an async generator."""
    name = method.__qualname__

    @functools.wraps(method)
    async def stream(self: Any, request: Any, context: Any) -> AsyncIterator[Any]:
        started = time.perf_counter()
        try:
            if is_too_late(context):
                await context.abort(*TOO_LATE)
            async for reply in method(self, request, context):
                yield reply
        except (asyncio.CancelledError, GeneratorExit):
            note(name, "CANCELLED", started)
            raise
        except Exception as error:  # noqa: BLE001 - every error leaves through this one door
            await context.abort(*failure_of(name, error, started))
        note(name, "OK", started)

    return stream  # type: ignore[return-value]


def streams_in_threads(method: F) -> F:
    """Like `streams_async`, for a plain generator: each step runs in the server's pool.

    Without it, grpc would run the generator in a thread that waits for ever once its caller has left.
    """

    @functools.wraps(method)
    async def stream(self: Any, request: Any, context: Any) -> AsyncIterator[Any]:
        loop, steps = asyncio.get_running_loop(), method(self, request, context)
        while (step := await loop.run_in_executor(None, next, steps, None)) is not None:
            yield step

    return streams_async(stream)  # type: ignore[return-value]
