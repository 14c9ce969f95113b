"""Methods on the server on an event loop, coroutines and plain ones: their answers, and how their errors look."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import grpc
import pytest
from prometheus_client import REGISTRY

from farebox.ingest.v1 import usage_event_pb2
from farebox.ingest.v1 import usage_event_service_pb2 as pb
from services.chassis.rpc import calls
from services.chassis.rpc.calls import ORGANIZATION_KEY, organization_of
from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.errors import error_info, field_violations, retry_after_seconds
from services.chassis.wait import wait_until
from services.kernel import errors
from tests.support.chassis.async_server import SERVICE, Gate, Log, MakeServer, Stub
from tests.support.patience import PATIENCE_SECONDS


@pytest.fixture
def stub(make_server: MakeServer) -> Iterator[Stub]:
    """A client of a started server on the loopback interface."""
    server = make_server()
    server.start([SERVICE])
    with open_channel(f"127.0.0.1:{server.port}") as channel:
        yield Stub(channel)


def _call_coroutine(stub: Stub) -> None:
    stub.IngestUsageEvents(pb.IngestUsageEventsRequest(), timeout=PATIENCE_SECONDS)


def _call_plain(stub: Stub) -> None:
    stub.GetUsageEvent(pb.GetUsageEventRequest(), timeout=PATIENCE_SECONDS)


def _call_stream(stub: Stub) -> None:
    list(stub.StreamUsageEvents(iter(()), timeout=PATIENCE_SECONDS))


def _call_plain_stream(stub: Stub) -> None:
    list(stub.ReplayUsageEvents(pb.ReplayUsageEventsRequest(), timeout=PATIENCE_SECONDS))


CALLS = {
    "coroutine": _call_coroutine,
    "plain": _call_plain,
    "stream": _call_stream,
    "plain_stream": _call_plain_stream,
}
# An error leaves a method of any kind in the same way.
every_kind = pytest.mark.parametrize("kind", CALLS)


def _error(stub: Stub, kind: str) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        CALLS[kind](stub)
    return caught.value


def _raised(log: Log, stub: Stub, kind: str, error: Exception) -> grpc.RpcError:
    """What a caller hears of an error that a method of that kind raises."""

    def plain(_: Any) -> Any:
        raise error

    async def coroutine(_: Any) -> Any:
        raise error

    async def stream(requests: Any) -> AsyncIterator[Any]:
        async for request in requests:
            yield request
        raise error

    bodies: dict[str, Any] = {"coroutine": coroutine, "plain": plain, "stream": stream, "plain_stream": plain}
    setattr(log, kind, bodies[kind])
    return _error(stub, kind)


def test_a_coroutine_answers(log: Log, stub: Stub) -> None:
    """On the loop, and with the caller's metadata at hand."""
    threads: list[str] = []
    organizations: list[str] = []

    async def body(context: Any) -> Any:
        threads.append(threading.current_thread().name)
        organizations.append(organization_of(context))
        return pb.IngestUsageEventsResponse(details=[usage_event_pb2.IngestDetail()])

    organization = "01890a5d-ac96-774b-bcce-b302099a8057"
    log.coroutine = body
    metadata = ((ORGANIZATION_KEY, organization),)
    answer = stub.IngestUsageEvents(pb.IngestUsageEventsRequest(), metadata=metadata, timeout=PATIENCE_SECONDS)
    assert len(answer.details) == 1
    assert (threads, organizations) == (["rpc-loop"], [organization])


def test_a_plain_method_runs_in_the_pool(log: Log, stub: Stub) -> None:
    """It may wait for the database without holding the loop up: meanwhile a coroutine is answered."""
    threads: list[str] = []
    answered = threading.Event()

    def body(_: Any) -> Any:
        threads.append(threading.current_thread().name)
        assert answered.wait(PATIENCE_SECONDS)
        return pb.GetUsageEventResponse()

    log.plain = body
    waiting = stub.GetUsageEvent.future(pb.GetUsageEventRequest(), timeout=PATIENCE_SECONDS)
    wait_until(lambda: threads, timeout=PATIENCE_SECONDS, what="the plain method to begin")
    stub.IngestUsageEvents(pb.IngestUsageEventsRequest(), timeout=PATIENCE_SECONDS)
    answered.set()
    assert waiting.result() == pb.GetUsageEventResponse()
    assert threads[0].startswith("rpc_")


@every_kind
def test_an_error_keeps_its_code_message_and_reason(log: Log, stub: Stub, kind: str) -> None:
    """ErrorInfo carries reason and metadata."""
    answered = _raised(
        log, stub, kind, errors.FailedPreconditionError("PERIOD_CLOSED", "the period is closed", period="7")
    )
    assert (answered.code(), answered.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "the period is closed")
    assert error_info(answered) == ("PERIOD_CLOSED", {"period": "7"})


@every_kind
def test_a_wrong_field_is_named(log: Log, stub: Stub, kind: str) -> None:
    """BadRequest lists field, reason and description."""
    error = errors.InvalidArgumentError.of_field("events[3].code", "value_is_mandatory", "is missing")
    answered = _raised(log, stub, kind, error)
    assert answered.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert field_violations(answered) == list(error.violations)


@every_kind
def test_overload_says_how_long_to_wait(log: Log, stub: Stub, kind: str) -> None:
    """RESOURCE_EXHAUSTED carries RetryInfo."""
    answered = _raised(log, stub, kind, errors.ResourceExhaustedError("QUEUE_FULL", "later", retry_after_seconds=7))
    assert answered.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert retry_after_seconds(answered) == 7


@every_kind
def test_an_unforeseen_error_tells_nothing_of_the_inside(log: Log, stub: Stub, kind: str) -> None:
    """Its text may hold data; the caller learns only that it happened."""
    answered = _raised(log, stub, kind, ValueError("secret detail"))
    assert answered.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in f"{answered.details()} {answered.trailing_metadata()}"
    assert error_info(answered)[0] == "INTERNAL"


@every_kind
def test_a_call_that_comes_too_late_is_not_begun(
    log: Log, stub: Stub, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The server says so itself."""
    begun: list[str] = []
    monkeypatch.setattr(log, kind, lambda _: begun.append(kind))
    monkeypatch.setattr(calls, "MIN_TIME_LEFT_SECONDS", 2 * PATIENCE_SECONDS)
    answered = _error(stub, kind)
    assert answered.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    # The words are the server's; a deadline that passes at the caller has others.
    assert "before the work began" in str(answered.details())
    assert begun == []


def test_a_stream_answers_until_it_fails(log: Log, stub: Stub) -> None:
    """What was answered before the error arrives before it."""

    async def fail_after_two(requests: Any) -> AsyncIterator[Any]:
        async for request in requests:
            if request.sequence == 3:
                raise errors.FailedPreconditionError("ENOUGH", "two is enough")
            yield pb.StreamUsageEventsResponse(sequence=request.sequence)

    log.stream = fail_after_two
    answers = stub.StreamUsageEvents(
        (pb.StreamUsageEventsRequest(sequence=number) for number in (1, 2, 3, 4)), timeout=PATIENCE_SECONDS
    )
    arrived: list[int] = []
    with pytest.raises(grpc.RpcError) as caught:
        arrived.extend(answer.sequence for answer in answers)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "two is enough")
    assert error_info(caught.value)[0] == "ENOUGH"


def test_a_stream_answers_everything(stub: Stub) -> None:
    """In order, and ends when the caller ends."""
    requests = (pb.StreamUsageEventsRequest(sequence=number) for number in range(100))
    answers = stub.StreamUsageEvents(requests, timeout=PATIENCE_SECONDS)
    assert [answer.sequence for answer in answers] == list(range(100))
    assert answers.code() is grpc.StatusCode.OK


def _noted(method: str, code: str) -> float:
    """How many calls were measured."""
    return REGISTRY.get_sample_value("farebox_rpc_seconds_count", {"method": method, "code": code}) or 0.0


def test_a_coroutine_whose_caller_leaves_is_ended(log: Log, make_server: MakeServer) -> None:
    """It does not hold its place in the server for an answer that nobody waits for, and is measured like any other."""
    server, before = make_server(), _noted("Log.IngestUsageEvents", "CANCELLED")
    gate = Gate(server)
    log.coroutine = gate.hold
    server.start([])
    with open_channel(f"127.0.0.1:{server.port}") as channel:
        held = Stub(channel).IngestUsageEvents.future(pb.IngestUsageEventsRequest(), timeout=PATIENCE_SECONDS)
        assert gate.entered.acquire(timeout=PATIENCE_SECONDS)
        held.cancel()
        assert gate.cancelled.wait(PATIENCE_SECONDS)
        noted = partial(_noted, "Log.IngestUsageEvents", "CANCELLED")
        wait_until(lambda: noted() == before + 1, timeout=PATIENCE_SECONDS, what="the call to be measured")


def test_a_stream_whose_caller_leaves_is_ended(log: Log, stub: Stub) -> None:
    """What it holds is given back."""
    given_back = threading.Event()

    async def hold(requests: Any) -> AsyncIterator[Any]:
        try:
            async for request in requests:
                yield pb.StreamUsageEventsResponse(sequence=request.sequence)
            await asyncio.Event().wait()
        finally:
            given_back.set()

    log.stream, before = hold, _noted("Log.StreamUsageEvents", "CANCELLED")
    answers = stub.StreamUsageEvents(iter([pb.StreamUsageEventsRequest(sequence=1)]), timeout=PATIENCE_SECONDS)
    assert next(answers).sequence == 1
    answers.cancel()
    assert given_back.wait(PATIENCE_SECONDS)
    noted = partial(_noted, "Log.StreamUsageEvents", "CANCELLED")
    wait_until(lambda: noted() == before + 1, timeout=PATIENCE_SECONDS, what="the call to be measured")
