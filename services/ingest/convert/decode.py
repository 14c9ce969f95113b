"""Reading requests that protobuf refuses, so that one event with broken text does not take its neighbours down.

Protobuf refuses a whole message for one string that is not UTF-8. Where that happens the message is split by hand, and
each event is read alone; a broken string of it becomes one NUL character, which validation refuses by field.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError

from farebox.ingest.v1 import usage_event_pb2 as pb
from farebox.ingest.v1 import usage_event_service_pb2 as service_pb

_LENGTH_DELIMITED = 2
# Bytes that follow the tag, by wire type of fixed size.
_FIXED = {1: 8, 5: 4}
# A tag or a length is at most a 64-bit number.
_MAX_VARINT_BYTES = 10
# Set in each byte of a number but the last.
_MORE = 0x80
# Fields 1 to 4 of UsageEvent are text.
_TEXT_FIELDS = range(1, 5)
_BROKEN = b"\0"


def read_ingest_request(data: bytes) -> Any:
    """An IngestUsageEventsRequest; broken text in its events is marked, broken framing is refused.

    Raises:
        DecodeError: not a message at all; gRPC answers that by itself.
    """
    try:
        return service_pb.IngestUsageEventsRequest.FromString(data)
    except DecodeError:
        return service_pb.IngestUsageEventsRequest(events=_events(data, field=1))


def read_stream_request(data: bytes) -> Any:
    """A StreamUsageEventsRequest, as `read_ingest_request`."""
    try:
        return service_pb.StreamUsageEventsRequest.FromString(data)
    except DecodeError:
        sequence = b"".join(raw for number, raw, _ in _fields(data) if number == 1)
        message = service_pb.StreamUsageEventsRequest.FromString(sequence)
        message.events.extend(_events(data, field=2))
        return message


def _events(data: bytes, *, field: int) -> list[Any]:
    return [_event(value) for number, _, value in _fields(data) if number == field and value is not None]


def _event(data: bytes) -> Any:
    try:
        return pb.UsageEvent.FromString(data)
    except DecodeError:
        return pb.UsageEvent.FromString(b"".join(_mended(data)))


def _mended(data: bytes) -> Iterator[bytes]:
    for number, raw, value in _fields(data):
        if number in _TEXT_FIELDS and value is not None and not _is_text(value):
            yield bytes((number << 3 | _LENGTH_DELIMITED, len(_BROKEN))) + _BROKEN
        else:
            yield raw


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _fields(data: bytes) -> Iterator[tuple[int, bytes, bytes | None]]:
    """Every field of a message: its number, all of its bytes, and its value where it is length-delimited."""
    at = 0
    while at < len(data):
        start = at
        tag, at = _varint(data, at)
        value: bytes | None = None
        kind = tag & 7
        if kind == 0:
            _, at = _varint(data, at)
        elif kind == _LENGTH_DELIMITED:
            size, at = _varint(data, at)
            value = data[at : at + size]
            at += size
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            raise DecodeError("unknown wire type")
        if at > len(data):
            raise DecodeError("the message ends too early")
        yield tag >> 3, data[start:at], value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for place in range(_MAX_VARINT_BYTES):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        number |= (byte & ~_MORE) << (7 * place)
        if byte < _MORE:
            return number, at
    raise DecodeError("a number has no end")
