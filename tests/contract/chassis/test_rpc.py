"""How errors look on the wire: a status, a stable reason, the wrong fields, how long to wait."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from farebox.rating.v1 import test_clock_service_pb2 as pb
from farebox.rating.v1 import test_clock_service_pb2_grpc as pb_grpc
from services.chassis.config import Settings
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import ORGANIZATION_KEY, organization_of
from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.errors import error_info, field_violations, retry_after_seconds
from services.chassis.rpc.server import Server
from services.kernel import errors
from tests.support.patience import PATIENCE_SECONDS

ORGANIZATION = str(uuid.uuid4())
METADATA = ((ORGANIZATION_KEY, ORGANIZATION),)


class Clock(pb_grpc.TestClockServiceServicer):
    """A servicer whose one method does what the test says."""

    def __init__(self) -> None:
        self.body: Callable[[Any], pb.GetTestClockResponse] = lambda _: pb.GetTestClockResponse()

    @answers
    def GetTestClock(self, request: pb.GetTestClockRequest, context: Any) -> pb.GetTestClockResponse:  # noqa: ARG002
        return self.body(context)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stub(clock: Clock) -> Iterator[pb_grpc.TestClockServiceStub]:
    """A client of a real server on the loopback interface."""
    server = Server(Settings(grpc_bind="127.0.0.1:0", drain_notice_seconds=0, drain_seconds=1))
    pb_grpc.add_TestClockServiceServicer_to_server(clock, server.grpc)
    server.start([])
    with open_channel(f"127.0.0.1:{server.port}") as channel:
        yield pb_grpc.TestClockServiceStub(channel)
    server.drain()


def _error(stub: pb_grpc.TestClockServiceStub, **options: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetTestClock(pb.GetTestClockRequest(), **{"metadata": METADATA, "timeout": 5, **options})
    return caught.value


def _raise(error: Exception) -> Callable[[Any], Any]:
    def body(_: Any) -> Any:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidArgumentError("R", "m"), grpc.StatusCode.INVALID_ARGUMENT),
        (errors.UnauthenticatedError("R", "m"), grpc.StatusCode.UNAUTHENTICATED),
        (errors.PermissionDeniedError("R", "m"), grpc.StatusCode.PERMISSION_DENIED),
        (errors.NotFoundError("R", "m"), grpc.StatusCode.NOT_FOUND),
        (errors.AlreadyExistsError("R", "m"), grpc.StatusCode.ALREADY_EXISTS),
        (errors.FailedPreconditionError("R", "m"), grpc.StatusCode.FAILED_PRECONDITION),
        (errors.AbortedError("R", "m"), grpc.StatusCode.ABORTED),
        (errors.ResourceExhaustedError("R", "m"), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
def test_an_error_keeps_its_reason(
    clock: Clock, stub: pb_grpc.TestClockServiceStub, error: errors.FareboxError, code: grpc.StatusCode
) -> None:
    """Each kind of error has one status, and its reason and message reach the caller."""
    clock.body = _raise(error)
    answered = _error(stub)
    assert (answered.code(), answered.details()) == (code, "m")
    assert error_info(answered)[0] == "R"


def test_a_wrong_field_is_named(clock: Clock, stub: pb_grpc.TestClockServiceStub) -> None:
    """BadRequest lists field, reason and description."""
    clock.body = _raise(errors.InvalidArgumentError.of_field("plan.code", "value_is_mandatory", "is missing"))
    assert field_violations(_error(stub)) == [errors.FieldViolation("plan.code", "value_is_mandatory", "is missing")]


def test_overload_says_how_long_to_wait(clock: Clock, stub: pb_grpc.TestClockServiceStub) -> None:
    """RESOURCE_EXHAUSTED carries RetryInfo."""
    clock.body = _raise(errors.ResourceExhaustedError("QUEUE_FULL", "later", retry_after_seconds=7))
    assert retry_after_seconds(_error(stub)) == 7


def test_an_unforeseen_error_tells_nothing_of_the_inside(clock: Clock, stub: pb_grpc.TestClockServiceStub) -> None:
    """Its text may hold data; the caller learns only that it happened."""
    clock.body = _raise(ValueError("secret detail"))
    answered = _error(stub)
    assert answered.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(answered.details())
    assert error_info(answered)[0] == "INTERNAL"


def test_a_call_names_its_organization(clock: Clock, stub: pb_grpc.TestClockServiceStub) -> None:
    """Without it, or with something that is no id, the call is refused before anything is read."""
    clock.body = lambda context: pb.GetTestClockResponse(test_clock=organization_of(context) == ORGANIZATION)
    assert stub.GetTestClock(pb.GetTestClockRequest(), metadata=METADATA).test_clock
    for metadata in ((), ((ORGANIZATION_KEY, "1' OR '1'='1"),)):
        answered = _error(stub, metadata=metadata)
        assert answered.code() is grpc.StatusCode.UNAUTHENTICATED
        assert error_info(answered)[0] == "ORGANIZATION_REQUIRED"


def test_beyond_its_queue_a_server_refuses(clock: Clock) -> None:
    """The calls that fit are answered; the others get RESOURCE_EXHAUSTED at once."""
    server = Server(Settings(grpc_bind="127.0.0.1:0", grpc_workers=1, grpc_queue=1, drain_notice_seconds=0))
    pb_grpc.add_TestClockServiceServicer_to_server(clock, server.grpc)
    # A channel of ours watches the server's health, which may hold one of the two places for a moment.
    with ThreadPoolExecutor(8) as callers, grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        refused: list[grpc.StatusCode] = []

        def wait_for_refusals(_: Any) -> pb.GetTestClockResponse:
            from services.chassis.wait import wait_until

            wait_until(lambda: len(refused) >= 6, timeout=PATIENCE_SECONDS, what="six refusals")
            return pb.GetTestClockResponse()

        clock.body = wait_for_refusals
        server.start([])
        stub = pb_grpc.TestClockServiceStub(channel)

        def call(_: int) -> str:
            try:
                stub.GetTestClock(pb.GetTestClockRequest(), metadata=METADATA, timeout=PATIENCE_SECONDS)
            except grpc.RpcError as error:
                refused.append(error.code())
                return error.code().name
            return "OK"

        outcomes = sorted(callers.map(call, range(8)))
    server.drain()
    assert outcomes == ["OK"] * 2 + ["RESOURCE_EXHAUSTED"] * 6
