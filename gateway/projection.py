"""Structs from messages and messages from Structs, by one declaration.

A field of a Struct corresponds to the message's field of the same name, or of the name in `of("other_name")`:

    rate: Annotated[DecimalInput, of("rate_percent")] | UnsetType = UNSET

`project` fills a Struct from a message, `patch` fills a message from a Struct, `callers_names` says how the caller
calls each field of the message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, NoReturn, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import UNSET, Raw, Struct, UnsetType, inspect

from farebox.common.v1 import decimal_pb2
from gateway.schema import Part, bare, parts_of
from services.kernel.money import ZERO, plain

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NANOS_PER_MICROSECOND = 1_000
_TIMESTAMP, _DECIMAL = "google.protobuf.Timestamp", "farebox.common.v1.Decimal"

M = TypeVar("M", bound=Message)
V = TypeVar("V")
S = TypeVar("S", bound=Struct)


def json_number(value: Decimal) -> Raw:
    """A decimal as a JSON number, digit by digit."""
    return Raw(plain(value).encode())


def project(struct: type[S], message: Message, **overrides: object) -> S:
    """A Struct filled from a message, field by field.

    Args:
        struct: the Struct's type.
        message: the message.
        overrides: the fields that are more than a projection.

    Raises:
        TypeError: a field is not in the message, was not given and has no default.
    """
    values = {name: write(message) for name, write in _writers(struct, message.DESCRIPTOR) if name not in overrides}
    return struct(**values, **overrides)


@cache  # as many as there are pairs of a Struct and its message
def _writers(struct: type[Struct], message: Descriptor) -> tuple[tuple[str, Callable[[Message], object]], ...]:
    fields = message.fields_by_name
    return tuple(
        (part.attribute, _writer(part, fields[part.message_field]))
        for part in parts_of(struct)
        if part.message_field in fields
    )


def _writer(part: Part, field: FieldDescriptor) -> Callable[[Message], object]:
    name, one = field.name, _writer_of_one(part, field)
    if field.is_repeated:
        return lambda message: [one(value) for value in getattr(message, name)]
    if field.has_presence and part.is_nullable:
        return lambda message: one(getattr(message, name)) if message.HasField(name) else None
    if part.is_nullable:
        # A field that a message leaves empty is null in JSON.
        return lambda message: one(getattr(message, name)) if getattr(message, name) else None
    return lambda message: one(getattr(message, name))


def _writer_of_one(part: Part, field: FieldDescriptor) -> Callable[[Any], object]:
    kind = part.kinds[0]
    if isinstance(kind, inspect.ListType):
        kind = bare(kind.item_type)
    if part.words is not None:
        return part.words.word
    if field.message_type is None:
        return lambda value: value
    if field.message_type.full_name == _TIMESTAMP:
        return aware
    if field.message_type.full_name == _DECIMAL:
        return _exact_number if isinstance(kind, inspect.RawType) else _exact_text
    if not isinstance(kind, inspect.StructType):
        return lambda _: _refuse(part, field)
    inner = kind.cls
    return lambda value: project(inner, value)


def _refuse(part: Part, field: FieldDescriptor) -> NoReturn:
    """Raise because a field that only an override can fill was not given.

    Raises:
        TypeError: always.
    """
    raise TypeError(f"{part.name}: a {field.name} needs a Struct, or an override")


def exact(value: decimal_pb2.Decimal) -> Decimal:
    """An exact number from the wire; an empty one is 0."""
    return Decimal(value.value) if value.value else ZERO


def aware(value: Timestamp) -> datetime:
    """The same instant, in UTC, to the microsecond."""
    # What `ToDatetime` does, without its checks of a message that a service has checked.
    return _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // NANOS_PER_MICROSECOND)


def instant_or_none(message: Message, field: str) -> datetime | None:
    """An instant of a message; None if it is absent."""
    return aware(getattr(message, field)) if message.HasField(field) else None


def _exact_text(value: decimal_pb2.Decimal) -> str:
    return plain(exact(value))


def _exact_number(value: decimal_pb2.Decimal) -> Raw:
    return json_number(exact(value))


def patch(message: M, struct: Struct, *, skip: Iterable[str] = ()) -> tuple[M, list[str]]:
    """Fill a message from a Struct, and return the names of the fields that were given: an update mask.

    Fields that the Struct leaves unset stay as they are; null empties a field; lists and objects are replaced as a
    whole.

    Args:
        message: the message, which is changed.
        struct: the Struct.
        skip: fields of the Struct that the caller of this function handles itself.
    """
    paths, skipped = [], set(skip)
    for part in parts_of(type(struct)):
        value = getattr(struct, part.attribute)
        if value is UNSET or part.attribute in skipped:
            continue
        _put(message, part, value)
        paths.append(part.message_field)
    return message, paths


def _put(message: Message, part: Part, value: Any) -> None:
    name, field = part.message_field, message.DESCRIPTOR.fields_by_name[part.message_field]
    message.ClearField(name)
    if value is None:
        return
    if field.is_repeated:
        repeated = getattr(message, name)
        # The dialect has a single value where the message has a list.
        for item in value if isinstance(value, list | tuple) else (value,):
            if field.message_type is None:
                repeated.append(_scalar(part, item))
            else:
                _fill(repeated.add(), item)
    elif field.message_type is None:
        setattr(message, name, _scalar(part, value))
    else:
        getattr(message, name).SetInParent()
        _fill(getattr(message, name), value)


def _scalar(part: Part, value: object) -> object:
    if part.words is not None:
        return part.words.value(str(value))
    # Messages write days as text.
    return value.isoformat() if isinstance(value, date) else value


def _fill(inner: Any, value: Any) -> None:
    if isinstance(value, Decimal):
        inner.value = plain(value)
    elif isinstance(value, datetime):
        inner.FromDatetime(value)
    else:
        patch(inner, value)


def given(value: V | UnsetType | None) -> V | None:
    """The value of a field; None if it is absent or null."""
    return None if value is UNSET else value


def callers_names(struct: type[Struct], message: type[Message], prefix: str = "") -> dict[str, str]:
    """The caller's names for a message's fields: `tax.rate_percent` → `rate`, `metric.filters[].key` → `filters[].key`.

    Args:
        struct: what the caller writes.
        message: what it becomes.
        prefix: where the message stands in its request, e.g. `tax.`.
    """
    return {f"{prefix}{inner}": outer for inner, outer in _names(struct, cast("Descriptor", message.DESCRIPTOR))}


def _names(struct: type[Struct], message: Descriptor) -> Iterable[tuple[str, str]]:
    for part in parts_of(struct):
        field = message.fields_by_name.get(part.message_field)
        if field is None:
            continue
        mark = "[]" if field.is_repeated else ""
        yield f"{field.name}{mark}", f"{part.name}{mark}"
        if mark:
            yield field.name, part.name
        kind = part.kinds[0]
        kind = bare(kind.item_type) if isinstance(kind, inspect.ListType) else kind
        if isinstance(kind, inspect.StructType) and field.message_type is not None:
            for inner, outer in _names(kind.cls, field.message_type):
                yield f"{field.name}{mark}.{inner}", f"{part.name}{mark}.{outer}"
