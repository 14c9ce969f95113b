"""What a servicer method knows of its call, and what is recorded of each call: one measurement, one canonical line."""

from __future__ import annotations

import functools
import time
from typing import Any, NoReturn, Protocol

import grpc
from prometheus_client import Histogram

from services.chassis import metrics
from services.chassis.log import logger
from services.chassis.rpc.errors import DETAILS_KEY, code_of, known, status_of
from services.kernel import errors
from services.kernel.ids import OrganizationId, uuid_or_none

log = logger(__name__)
Details = tuple[tuple[str, bytes], ...]

ORGANIZATION_KEY = "farebox-organization-id"
# With less time than this the answer would not reach the caller: it is better to say so before the work than after it.
MIN_TIME_LEFT_SECONDS = 0.02
TOO_LATE = (grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline was reached before the work began")


class Context(Protocol):
    """The part of grpc.ServicerContext that our servicers use; grpcio-testing's context has it as well."""

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """The caller's metadata."""

    def set_trailing_metadata(self, trailing_metadata: tuple[tuple[str, str | bytes], ...], /) -> None:
        """Metadata to send with the status."""

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        """End the call with an error."""

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline."""


# A process sees the same organizations all day.
@functools.lru_cache(maxsize=4096)
def _is_id(text: str) -> bool:
    return uuid_or_none(text) is not None


def organization_of(context: Context) -> OrganizationId:
    """The organization for which a call is made; a call that names none is refused."""
    for key, value in context.invocation_metadata() or ():
        if key == ORGANIZATION_KEY and isinstance(value, str) and _is_id(value):
            # One spelling for each id, since ids are the keys of what is kept in memory.
            return OrganizationId(value.lower())
    raise errors.UnauthenticatedError(
        "ORGANIZATION_REQUIRED", f"the metadata {ORGANIZATION_KEY!r} must name an organization by its id"
    )


def is_too_late(context: Any) -> bool:
    """Whether the caller will have given up before an answer can reach it."""
    left = context.time_remaining()
    return left is not None and left < MIN_TIME_LEFT_SECONDS


# There are few methods and few codes; looking up a child by its labels would cost each call 1 µs.
@functools.cache
def _seconds(method: str, code: str) -> Histogram:
    return metrics.RPC_SECONDS.labels(method, code)


def note(method: str, code: str, started: float, **details: Any) -> None:
    """Measure a call and write its line; `started` is a reading of time.perf_counter()."""
    seconds = time.perf_counter() - started
    _seconds(method, code).observe(seconds)
    log.info("call", method=method, code=code, ms=round(seconds * 1000, 2), **details)


def failure_of(method: str, error: Exception, started: float) -> tuple[grpc.StatusCode, str, Details]:
    """What a caller gets for an error: code, message, trailing metadata. Also writes the call's line.

    Raises:
        Exception: `error` itself, if it is gRPC's own sign that the call was already aborted.
    """
    # The sync server signals abort() by a bare Exception, the asyncio server by a class of its own.
    if type(error) in {Exception, grpc.aio.AbortError}:
        note(method, "ABORTED_BY_METHOD", started)
        raise error
    told = known(error)
    code = code_of(told)
    if told is not error and not isinstance(told, errors.UnavailableError):
        log.error("call_failed", method=method, exc_info=error)
    note(method, code.name, started, reason=told.reason)
    return code, told.message, ((DETAILS_KEY, status_of(told).SerializeToString()),)
