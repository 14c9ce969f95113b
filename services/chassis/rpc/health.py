"""Health of a server with a thread for each call."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health


class Health(health.HealthServicer):
    """The library's servicer, without its deadlock.

    The library tells watchers a new status under its lock, and waits until each was sent. The one thread of a server
    that knows that something was sent also runs what is to be done when a watcher hangs up, which takes the same lock.
    So a watcher that hangs up while others are told would stop the server for ever. Here, watchers who hang up are
    forgotten in another thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self._forgetting = ThreadPoolExecutor(1, thread_name_prefix="health")

    def Watch(
        self, request: Any, context: grpc.ServicerContext, send_response_callback: Callable[..., Any] | None = None
    ) -> Any:
        """Send the status of a service, and then each that it gets."""
        watched: Any = _Watched(context, self._forgetting)
        return super().Watch(request, watched, send_response_callback)


class _Watched:
    """The part of a call's context that the library's `Watch` uses."""

    def __init__(self, context: grpc.ServicerContext, elsewhere: Executor) -> None:
        self._context = context
        self._elsewhere = elsewhere

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Run a function elsewhere when the call has ended; False if it has ended before."""

        def call_elsewhere() -> None:
            self._elsewhere.submit(callback)

        return bool(self._context.add_callback(call_elsewhere))
