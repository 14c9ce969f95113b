"""Decorators of servicer methods that have a thread for each call.

`@answers` wraps every servicer method (not an interceptor: grpcio-testing runs none). It runs the method, turns an
error into a status with google.rpc details, and writes one log line.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

from services.chassis.db import retrying
from services.chassis.rpc.calls import TOO_LATE, failure_of, is_too_late, note

F = TypeVar("F", bound=Callable[..., Any])


def answers(method: F) -> F:
    """Wrap a servicer method: repeat it after a lost race, translate errors, write one canonical line.

    The method must be repeatable: since a command is one transaction, a lost race leaves nothing behind.
    """

    @functools.wraps(method)
    def answer(self: Any, request: Any, context: Any) -> Any:
        started = time.perf_counter()
        try:
            _require_time(context)
            reply = retrying(lambda: method(self, request, context))
        except Exception as error:  # noqa: BLE001 - every error leaves through this one door
            _fail(method.__qualname__, context, error, started)
        note(method.__qualname__, "OK", started)
        return reply

    return answer  # type: ignore[return-value]


def streams(method: F) -> F:
    """Like `answers`, for a method that yields its answers.

    They cannot be taken back, so a lost race is not repeated.
    """

    @functools.wraps(method)
    def stream(self: Any, request: Any, context: Any) -> Iterator[Any]:
        started = time.perf_counter()
        try:
            _require_time(context)
            yield from method(self, request, context)
        except Exception as error:  # noqa: BLE001 - every error leaves through this one door
            _fail(method.__qualname__, context, error, started)
        note(method.__qualname__, "OK", started)

    return stream  # type: ignore[return-value]


def _require_time(context: Any) -> None:
    if is_too_late(context):
        context.abort(*TOO_LATE)


def _fail(method: str, context: Any, error: Exception, started: float) -> NoReturn:
    code, message, details = failure_of(method, error, started)
    context.set_trailing_metadata(details)
    context.abort(code, message)
    raise AssertionError("abort() raises")
