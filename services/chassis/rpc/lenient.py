"""Reading requests that protobuf refuses, so that one item of a batch with broken text does not fail the others.

Protobuf refuses a whole message if one string in it is not UTF-8. In that case the message is read by hand, and each
broken string becomes one NUL character, which validation refuses by field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

M = TypeVar("M", bound=Message)

# How many fields may be read, since that blocks the loop: a full batch has 1,000 events of some ten fields; 20 ms.
MAX_FIELDS = 20_000
_LENGTH_DELIMITED = 2
# How many bytes follow the tag, by wire types of fixed size.
_FIXED = {1: 8, 5: 4}
# A tag or a length is at most a 64-bit number.
_MAX_VARINT_BYTES = 10
# Set in each byte of a number except the last.
_MORE = 0x80
_BROKEN = b"\0"


def lenient(message_type: type[M]) -> Callable[[bytes], M]:
    """A deserializer of messages that reads broken strings as one NUL character.

    Broken framing raises DecodeError, which gRPC answers by itself; so does a message with broken strings that has more
    than MAX_FIELDS fields in the parts that hold them.
    """

    def read(data: bytes) -> M:
        try:
            return message_type.FromString(data)
        except DecodeError:
            return message_type.FromString(_Walk().mend(data, message_type.DESCRIPTOR))

    return read


class _Walk:
    """One message that is being repaired; counts the fields that it reads."""

    def __init__(self) -> None:
        self._fields = 0

    def mend(self, data: bytes, descriptor: Any) -> bytes:
        """The message with its broken strings replaced."""
        return b"".join(self._mended(data, descriptor))

    def _mended(self, data: bytes, descriptor: Any) -> Iterator[bytes]:
        for number, raw, value in _fields(data):
            self._fields += 1
            if self._fields > MAX_FIELDS:
                raise DecodeError("too many fields to look for the broken one")
            field = descriptor.fields_by_number.get(number)
            if value is None or field is None:
                yield raw
            elif field.type == FieldDescriptor.TYPE_STRING and not _is_text(value):
                yield _delimited(number, _BROKEN)
            elif field.type == FieldDescriptor.TYPE_MESSAGE and not _is_message(value, field.message_type):
                yield _delimited(number, self.mend(value, field.message_type))
            else:
                yield raw


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_message(value: bytes, descriptor: Any) -> bool:
    try:
        GetMessageClass(descriptor).FromString(value)
    except DecodeError:
        return False
    return True


def _delimited(number: int, value: bytes) -> bytes:
    return _number(number << 3 | _LENGTH_DELIMITED) + _number(len(value)) + value


def _number(number: int) -> bytes:
    """A number in base 128, least significant group first."""
    groups = bytearray()
    while number >= _MORE:
        groups.append(number & ~_MORE & 0xFF | _MORE)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def _fields(data: bytes) -> Iterator[tuple[int, bytes, bytes | None]]:
    """Every field of a message: its number, all of its bytes, and its value if it is length-delimited."""
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
