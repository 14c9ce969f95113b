"""One broken string in a batch costs only its own item, and finding it costs little."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from farebox.ingest.v1 import usage_event_pb2 as pb
from farebox.ingest.v1 import usage_event_service_pb2 as service_pb
from services.chassis.rpc.lenient import MAX_FIELDS, lenient

read = lenient(service_pb.StreamUsageEventsRequest)
GOOD = pb.UsageEvent(transaction_id="good", code="api_call", properties=b'{"a": 1}')
GOOD.occurred_at.seconds = 7


def _delimited(number: int, value: bytes) -> bytes:
    assert len(value) < 128
    return bytes((number << 3 | 2, len(value))) + value


def _request(*events: bytes) -> bytes:
    """A stream's request with sequence 5 and these events as bytes."""
    return b"\x08\x05" + b"".join(_delimited(2, event) for event in events)


def test_a_broken_string_reads_as_nul_and_its_neighbours_as_they_are() -> None:
    """The batch is read, and only the broken string is marked."""
    broken = _delimited(1, b"id") + _delimited(4, b"\xff\xfe") + _delimited(6, b"\xff is no text")
    request = read(_request(GOOD.SerializeToString(), broken, GOOD.SerializeToString()))
    assert request.sequence == 5
    assert [request.events[0], request.events[2]] == [GOOD, GOOD]
    assert request.events[1] == pb.UsageEvent(transaction_id="id", code="\0", properties=b"\xff is no text")


def test_a_broken_string_is_marked_however_deep_it_lies() -> None:
    """The item of a string is found with the message's descriptor."""
    broken = _delimited(1, b"id") + _delimited(7, _delimited(1, b"\xff"))
    [event] = read(_request(broken)).events
    assert (event.transaction_id, event.precise_total_amount_cents.value) == ("id", "\0")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    """There is no third outcome, and what protobuf can read is read in the same way."""
    try:
        plain = service_pb.StreamUsageEventsRequest.FromString(data)
    except DecodeError:
        try:
            read(data)
        except DecodeError:
            return
    else:
        assert read(data) == plain


def test_looking_for_broken_text_has_an_end() -> None:
    """A message of many tiny fields must not hold up the loop that reads it."""
    # The event and its broken field are two more.
    fields = b"\x08\x01" * (MAX_FIELDS - 2)
    assert read(fields + _request(_delimited(1, b"\xff"))[2:]).sequence == 1
    with pytest.raises(DecodeError, match="too many fields"):
        read(fields + b"\x08\x01" + _request(_delimited(1, b"\xff"))[2:])
