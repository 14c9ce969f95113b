"""gRPC: building servers and channels, and translating errors at the one place where they leave a service.

`@answers` wraps every servicer method (not an interceptor: grpcio-testing runs none). It finds the caller's
organization, runs the method, turns an error into a status with google.rpc details, and writes one log line.
"""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, Protocol, TypeVar

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import Histogram

from services.chassis import metrics
from services.chassis.config import Settings
from services.chassis.db import is_unavailable, retrying
from services.chassis.log import logger
from services.kernel import errors
from services.kernel.ids import OrganizationId, uuid_or_none

log = logger(__name__)
F = TypeVar("F", bound=Callable[..., Any])
Details = tuple[tuple[str, bytes], ...]

DOMAIN = "farebox"
ORGANIZATION_KEY = "farebox-organization-id"
DETAILS_KEY = "grpc-status-details-bin"
# A batch of 1,000 events may be 4 MiB; its envelope and details need a little more.
MAX_MESSAGE_BYTES = 5 * 1024 * 1024
# With less than this left the caller will not hear the answer: better say so before the work than after it.
MIN_TIME_LEFT_SECONDS = 0.02
# Callers ping idle connections this often to notice a dead peer; the server must allow it, or it hangs up on them.
KEEPALIVE_MS = 30_000
MIN_PING_INTERVAL_MS = 10_000
# Keep a channel's list of replicas fresh: connections are closed after this and resolved again.
MAX_CONNECTION_AGE_MS = 5 * 60 * 1000

_STATUS: dict[type[errors.FareboxError], grpc.StatusCode] = {
    errors.InvalidArgumentError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.AbortedError: grpc.StatusCode.ABORTED,
    errors.ResourceExhaustedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.UnavailableError: grpc.StatusCode.UNAVAILABLE,
}

# Retried by every channel: what certainly did not run, or runs again without harm (all our calls carry an identity).
SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": ""},
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.5},
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.05s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
    }
)


class Context(Protocol):
    """What our servicers use of grpc.ServicerContext; grpcio-testing's has the same."""

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """The caller's metadata."""

    def set_trailing_metadata(self, trailing_metadata: tuple[tuple[str, str | bytes], ...], /) -> None:
        """Metadata to send with the status."""

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        """End the call with an error."""

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline."""


# A process meets the same organizations all day.
@functools.lru_cache(maxsize=4096)
def _is_id(text: str) -> bool:
    return uuid_or_none(text) is not None


def organization_of(context: Context) -> OrganizationId:
    """The organization a call is for; a call that names none is refused."""
    for key, value in context.invocation_metadata() or ():
        if key == ORGANIZATION_KEY and isinstance(value, str) and _is_id(value):
            return OrganizationId(value)
    raise errors.UnauthenticatedError(
        "ORGANIZATION_REQUIRED", f"the metadata {ORGANIZATION_KEY!r} must name an organization by its id"
    )


def answers(method: F) -> F:
    """Wrap a servicer method: a lost race is tried again, errors are translated, one canonical line is written.

    The method must be repeatable: a command is one transaction, so that a lost race has left nothing behind.
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
    """As `answers`, for a method that yields its answers; what was yielded stays, so a lost race is not tried again."""

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
    left = context.time_remaining()
    if left is not None and left < MIN_TIME_LEFT_SECONDS:
        context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline was reached before the work began")


# Few methods, few codes: finding a child by its labels anew costs each call 1 µs.
@functools.cache
def _seconds(method: str, code: str) -> Histogram:
    return metrics.RPC_SECONDS.labels(method, code)


def note(method: str, code: str, started: float, **details: Any) -> None:
    """Measure a call and write its line; `started` as time.perf_counter() told it."""
    seconds = time.perf_counter() - started
    _seconds(method, code).observe(seconds)
    log.info("call", method=method, code=code, ms=round(seconds * 1000, 2), **details)


def _fail(method: str, context: Any, error: Exception, started: float) -> NoReturn:
    code, message, details = failure_of(method, error, started)
    context.set_trailing_metadata(details)
    context.abort(code, message)
    raise AssertionError("abort() raises")


def failure_of(method: str, error: Exception, started: float) -> tuple[grpc.StatusCode, str, Details]:
    """What a caller hears of an error: code, message, trailing metadata; writes the call's line.

    Raises:
        Exception: `error` itself where it is gRPC's own sign that the call was aborted and all is said.
    """
    # The sync server signals abort() by a bare Exception, the asyncio one by a class of its own.
    if type(error) in {Exception, grpc.aio.AbortError}:
        note(method, "ABORTED_BY_METHOD", started)
        raise error
    known = _known(error)
    code = _STATUS[type(known)]
    if known is not error and not isinstance(known, errors.UnavailableError):
        log.error("call_failed", method=method, exc_info=error)
    note(method, code.name, started, reason=known.reason)
    return code, known.message, ((DETAILS_KEY, _status(code, known).SerializeToString()),)


class _InternalError(errors.FareboxError):
    """Something that we did not foresee; the caller learns nothing of it but that it happened."""


_STATUS[_InternalError] = grpc.StatusCode.INTERNAL


def _known(error: Exception) -> errors.FareboxError:
    if isinstance(error, errors.FareboxError):
        return error
    if is_unavailable(error):
        return errors.UnavailableError("DATABASE_UNAVAILABLE", "the service cannot reach its database")
    return _InternalError("INTERNAL", "an unexpected error; it was logged")


def _status(code: grpc.StatusCode, error: errors.FareboxError) -> status_pb2.Status:
    details: list[Any] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)]
    if isinstance(error, errors.InvalidArgumentError) and error.violations:
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(
                        field=v.field, description=v.description, reason=v.reason
                    )
                    for v in error.violations
                ]
            )
        )
    if isinstance(error, errors.ResourceExhaustedError):
        wait = duration_pb2.Duration(seconds=error.retry_after_seconds)
        details.append(error_details_pb2.RetryInfo(retry_delay=wait))
    status = status_pb2.Status(code=getattr(code_pb2, code.name), message=error.message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def server_options(settings: Settings) -> list[tuple[str, int]]:
    """What every server is made with, sync or aio."""
    return [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_connection_age_ms", MAX_CONNECTION_AGE_MS),
        ("grpc.max_connection_age_grace_ms", settings.drain_seconds * 1000),
        ("grpc.so_reuseport", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


class Server:
    """A gRPC server with health and reflection; add servicers with the generated `add_…_to_server` functions."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.draining = threading.Event()
        """Set when the server begins to drain, so that streams without an end of their own end."""
        self._pool = ThreadPoolExecutor(settings.grpc_workers, thread_name_prefix="rpc")
        self.grpc = grpc.server(
            self._pool,
            maximum_concurrent_rpcs=settings.grpc_workers + settings.grpc_queue,
            options=server_options(settings),
        )
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        self.port = self.grpc.add_insecure_port(settings.grpc_bind)
        self._say(health_pb2.HealthCheckResponse.NOT_SERVING)

    def _say(self, state: int) -> None:
        for name in ("", "readiness"):
            self._health.set(name, state)
        self._health.set("liveness", health_pb2.HealthCheckResponse.SERVING)

    def start(self, service_names: Sequence[str]) -> None:
        """Take calls, and say so."""
        if self._settings.reflection:
            names = [*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME]
            reflection.enable_server_reflection(names, self.grpc)
        self.grpc.start()
        self._say(health_pb2.HealthCheckResponse.SERVING)

    def drain(self) -> None:
        """Say NOT_SERVING, let callers notice, finish what runs, stop."""
        self.draining.set()
        self._health.enter_graceful_shutdown()
        time.sleep(self._settings.drain_notice_seconds)
        self.grpc.stop(self._settings.drain_seconds).wait()
        self._pool.shutdown()


def channel(target: str) -> grpc.Channel:
    """A channel to a service: balanced over its replicas, health-checked, retried on UNAVAILABLE."""
    return grpc.insecure_channel(target, options=channel_options())


def channel_options() -> list[tuple[str, Any]]:
    """What every channel to a service is made with, sync or aio."""
    return [
        ("grpc.service_config", SERVICE_CONFIG),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 1000),
        # Two processes may listen on one port in turn (a restart); a shared subchannel pool remembers the dead one.
        ("grpc.use_local_subchannel_pool", 1),
    ]


def error_info(error: grpc.RpcError) -> tuple[str, Mapping[str, str]]:
    """Reason and metadata of an error that came over the wire; an empty reason where it carries none."""
    for detail in _details(error):
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info.reason, dict(info.metadata)
    return "", {}


def field_violations(error: grpc.RpcError) -> list[errors.FieldViolation]:
    """The wrong fields that an error from the wire names."""
    for detail in _details(error):
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            return [errors.FieldViolation(v.field, v.reason, v.description) for v in bad.field_violations]
    return []


def retry_after_seconds(error: grpc.RpcError) -> int | None:
    """How long an error from the wire asks to wait; None where it does not say."""
    for detail in _details(error):
        info = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            return max(1, int(info.retry_delay.seconds))
    return None


def _details(error: grpc.RpcError) -> Sequence[any_pb2.Any]:
    metadata: Any = error.trailing_metadata() if hasattr(error, "trailing_metadata") else None
    for key, value in metadata or ():
        if key == DETAILS_KEY:
            return list(status_pb2.Status.FromString(value).details)
    return []
