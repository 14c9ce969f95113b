"""Taking events in over a real server on the loopback interface: what callers and streams are answered."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from farebox.ingest.v1 import usage_event_pb2 as event_pb
from farebox.ingest.v1 import usage_event_service_pb2 as pb
from farebox.ingest.v1 import usage_event_service_pb2_grpc as pb_grpc
from services.chassis.config import Settings
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.errors import error_info, field_violations, retry_after_seconds
from services.chassis.rpc.server_async import AsyncServer, add_servicer
from services.chassis.wait import wait_until
from services.ingest.main import DESERIALIZERS
from services.ingest.pipeline import intake as intake_module
from services.ingest.rpc.usage_event import SERVICE_NAME, UsageEventServicer
from services.kernel.errors import ResourceExhaustedError
from services.kernel.ids import new_id
from tests.support.ingest.intake import FakeLog, batch
from tests.support.patience import PATIENCE_SECONDS

FULL = ResourceExhaustedError("INGEST_QUEUE_FULL", "the log cannot keep up; nothing was stored", retry_after_seconds=3)
ACCEPTED, REJECTED = event_pb.INGEST_OUTCOME_ACCEPTED, event_pb.INGEST_OUTCOME_REJECTED


class Wire:
    """A served intake and a client of it.

    Attributes:
        log: what is behind the server; it commits at once.
        stub: the client.
        channel: what the client calls through.
        metadata: who calls.
    """

    def __init__(self, log: FakeLog, channel: grpc.Channel) -> None:
        log.committer.commits_at_once = True
        self.log = log
        self.stub = pb_grpc.UsageEventServiceStub(channel)
        self.channel = channel
        self.metadata = ((ORGANIZATION_KEY, new_id()),)

    def send(self, request: Any, **options: Any) -> Any:
        """Send a batch."""
        return self.stub.IngestUsageEvents(
            request, **{"metadata": self.metadata, "timeout": PATIENCE_SECONDS, **options}
        )

    def refusal(self, request: Any, **options: Any) -> grpc.RpcError:
        """Send a batch that is refused; returns the error."""
        with pytest.raises(grpc.RpcError) as caught:
            self.send(request, **options)
        return caught.value

    @contextmanager
    def stream(self, **options: Any) -> Iterator[Stream]:
        """A stream that the test feeds; it ends with the block."""
        fed: queue.SimpleQueue[Any] = queue.SimpleQueue()
        requests = iter(fed.get, None)
        answers = self.stub.StreamUsageEvents(
            requests, **{"metadata": self.metadata, "timeout": PATIENCE_SECONDS, **options}
        )
        try:
            yield Stream(fed, answers)
        finally:
            fed.put(None)
            answers.cancel()


class Stream:
    """One stream: a batch in, an answer out."""

    def __init__(self, fed: queue.SimpleQueue[Any], answers: Any) -> None:
        self._fed = fed
        self.answers = answers

    def send(self, sequence: int, *transaction_ids: str) -> Any:
        """Send a batch and wait for its answer."""
        self._fed.put(pb.StreamUsageEventsRequest(sequence=sequence, events=batch(*transaction_ids).events))
        return next(self.answers)

    def refusal(self, sequence: int, *transaction_ids: str) -> grpc.RpcError:
        """Send a batch that ends the stream; returns the error."""
        with pytest.raises(grpc.RpcError) as caught:
            self.send(sequence, *transaction_ids)
        return caught.value

    def end(self) -> grpc.StatusCode:
        """Send nothing more; returns how the stream ends."""
        self._fed.put(None)
        assert list(self.answers) == []
        code: grpc.StatusCode = self.answers.code()
        return code


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A server as the process makes it, but for what is behind the intake."""
    server = AsyncServer(Settings(grpc_bind="127.0.0.1:0", drain_notice_seconds=0, drain_seconds=1))
    log = FakeLog(server.loop, server.pool)
    deps: Any = SimpleNamespace(db=None)
    servicer = UsageEventServicer(deps, log.intake, log.freshness)  # type: ignore[arg-type]
    add_servicer(server.grpc, pb_grpc.add_UsageEventServiceServicer_to_server, servicer, DESERIALIZERS)
    server.start([SERVICE_NAME])
    with open_channel(f"127.0.0.1:{server.port}") as channel:
        yield Wire(log, channel)
    server.drain()
    server.close()


def test_every_event_is_answered_in_its_place(wire: Wire) -> None:
    answer = wire.send(batch("a", "", "b"))
    assert list(answer.outcomes) == [ACCEPTED, REJECTED, ACCEPTED]
    [detail] = answer.details
    assert (detail.index, detail.outcome, detail.field) == (1, REJECTED, "transaction_id")
    assert wire.log.committer.ids() == [["a", "b"]]


def test_full_queue_asks_to_come_again(wire: Wire) -> None:
    wire.log.committer.refusal = FULL
    refusal = wire.refusal(batch("a"))
    assert (refusal.code(), refusal.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, FULL.message)
    assert error_info(refusal)[0] == "INGEST_QUEUE_FULL"
    assert retry_after_seconds(refusal) == 3
    # It is not remembered against anybody.
    wire.log.committer.refusal = None
    assert list(wire.send(batch("a")).outcomes) == [ACCEPTED]


def test_a_batch_of_a_wrong_size_names_the_field(wire: Wire) -> None:
    refusal = wire.refusal(batch())
    assert refusal.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in field_violations(refusal)] == ["events"]


@pytest.mark.parametrize("metadata", [(), ((ORGANIZATION_KEY, "acme"),)])
def test_call_without_organization_is_refused(wire: Wire, metadata: Any) -> None:
    """This holds for every kind of method: a coroutine, a stream, or a plain function in a thread."""
    refusals = [wire.refusal(batch("a"), metadata=metadata)]
    with wire.stream(metadata=metadata) as stream:
        refusals.append(stream.refusal(1, "a"))
    with pytest.raises(grpc.RpcError) as caught:
        wire.stub.GetUsageEvent(
            pb.GetUsageEventRequest(transaction_id="a"), metadata=metadata, timeout=PATIENCE_SECONDS
        )
    refusals.append(caught.value)
    assert [refusal.code() for refusal in refusals] == [grpc.StatusCode.UNAUTHENTICATED] * 3
    assert [error_info(refusal)[0] for refusal in refusals] == ["ORGANIZATION_REQUIRED"] * 3
    assert wire.log.committer.submitted == []


def test_a_stream_acknowledges_each_batch(wire: Wire) -> None:
    with wire.stream() as stream:
        for sequence in (7, 8, 9):
            answer = stream.send(sequence, f"{sequence}", "")
            assert (answer.sequence, list(answer.outcomes)) == (sequence, [ACCEPTED, REJECTED])
            assert [detail.index for detail in answer.details] == [1]
        assert stream.end() is grpc.StatusCode.OK
    assert wire.log.committer.ids() == [["7"], ["8"], ["9"]]


def test_an_error_ends_a_stream_after_what_was_acknowledged(wire: Wire) -> None:
    with wire.stream() as stream:
        assert stream.send(1, "a").sequence == 1
        wire.log.committer.refusal = FULL
        refusal = stream.refusal(2, "b")
    assert refusal.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error_info(refusal)[0] == "INGEST_QUEUE_FULL"
    assert retry_after_seconds(refusal) == 3
    assert wire.log.committer.ids() == [["a"]]


def test_streams_are_bounded_and_give_their_place_back(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not matter whether a stream ends well, with an error, or because its caller leaves."""
    monkeypatch.setattr(intake_module, "MAX_STREAMS", 1)
    with wire.stream() as first:
        first.send(1, "a")
        with wire.stream() as second:
            refusal = second.refusal(1, "b")
        assert error_info(refusal)[0] == "TOO_MANY_STREAMS"
        assert retry_after_seconds(refusal) == intake_module.RETRY_AFTER_SECONDS
        assert first.end() is grpc.StatusCode.OK
    with wire.stream() as after_an_end:
        after_an_end.send(1, "c")
        wire.log.committer.refusal = FULL
        after_an_end.refusal(2, "d")
    wire.log.committer.refusal = None
    with wire.stream() as after_an_error:
        after_an_error.send(1, "e")
    # The caller has left; the server hears of it a little later.
    wait_until(lambda: wire.log.intake._streams == 0, timeout=PATIENCE_SECONDS, what="the place to be given back")
    with wire.stream() as after_a_cancellation:
        assert after_a_cancellation.send(1, "f").sequence == 1


def test_a_caller_that_leaves_does_not_disturb_its_neighbours(wire: Wire) -> None:
    committer = wire.log.committer
    committer.commits_at_once = False
    first = wire.stub.IngestUsageEvents.future(batch("a"), metadata=wire.metadata, timeout=PATIENCE_SECONDS)
    wait_until(lambda: committer.submitted, timeout=PATIENCE_SECONDS, what="the first batch")
    leaving = wire.stub.IngestUsageEvents.future(batch("b"), metadata=wire.metadata, timeout=PATIENCE_SECONDS)
    wait_until(lambda: wire.log.intake._gathered_calls == 1, timeout=PATIENCE_SECONDS, what="the call that leaves")
    staying = wire.stub.IngestUsageEvents.future(batch("c", ""), metadata=wire.metadata, timeout=PATIENCE_SECONDS)
    wait_until(lambda: wire.log.intake._gathered_calls == 2, timeout=PATIENCE_SECONDS, what="the call that stays")
    leaving.cancel()
    committer.commits_at_once = True
    committer.commit(committer.submitted[0])
    assert list(first.result().outcomes) == [ACCEPTED]
    assert list(staying.result().outcomes) == [ACCEPTED, REJECTED]
    assert leaving.cancelled()


def test_broken_text_harms_nobody_else(wire: Wire) -> None:
    """Protobuf itself would refuse the whole message."""
    good = batch("a", "b", "c").SerializeToString()
    broken = good.replace(b"\x0a\x01b", b"\x0a\x01\xff")
    assert broken != good
    method = f"/{SERVICE_NAME}/IngestUsageEvents"
    send: Any = wire.channel.unary_unary(method, response_deserializer=pb.IngestUsageEventsResponse.FromString)
    answer = send(broken, metadata=wire.metadata, timeout=PATIENCE_SECONDS)
    assert list(answer.outcomes) == [ACCEPTED, REJECTED, ACCEPTED]
    assert wire.log.committer.ids() == [["a", "c"]]
