"""The body of a usage event: read once, without touching the numbers it holds."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from farebox.common.v1.decimal_pb2 import Decimal as DecimalMessage
from farebox.ingest.v1.usage_event_pb2 import UsageEvent
from gateway.dialects.nozle.read import Reader, read_instant
from gateway.problem import Problem, invalid
from services.kernel.instant import from_date
from services.kernel.money import decimal_or_none

_OBJECT_BEGINS = ord("{")
_NOTHING = (b"", b"null")


class EventBody(msgspec.Struct):
    """One event as it is sent; numbers stay the text that they were written as."""

    transaction_id: Any = None
    external_customer_id: Any = None
    external_subscription_id: Any = None
    code: Any = None
    timestamp: msgspec.Raw = msgspec.Raw(b"")
    properties: msgspec.Raw = msgspec.Raw(b"")
    precise_total_amount_cents: msgspec.Raw = msgspec.Raw(b"")


class _One(msgspec.Struct):
    event: EventBody | None = None


class _Many(msgspec.Struct):
    events: list[EventBody] | None = None


_ONE = msgspec.json.Decoder(_One)
_MANY = msgspec.json.Decoder(_Many)
_VALUE = msgspec.json.Decoder(float_hook=Decimal)


def read_one(body: bytes) -> UsageEvent:
    """The event of a body `{"event": …}`.

    Raises:
        Problem: 400, there is none; 422, a field is missing or cannot be read.
    """
    event = _decode(_ONE, body).event
    if event is None:
        raise Problem(400, "bad_request", "param is missing or the value is empty: event")
    return read_event(event)


def read_many(body: bytes) -> list[EventBody]:
    """The events of a body `{"events": […]}`, still as they were sent.

    Raises:
        Problem: 400, the body cannot be read.
    """
    return _decode(_MANY, body).events or []


def read_event(body: EventBody) -> UsageEvent:
    """The event for the wire.

    Raises:
        Problem: 422, a field is missing or cannot be read.
    """
    reader = Reader({name: getattr(body, name) for name in ("transaction_id", "code")})
    ids = Reader({name: getattr(body, name) for name in ("external_customer_id", "external_subscription_id")})
    event = UsageEvent(
        transaction_id=reader.required("transaction_id"),
        code=reader.required("code"),
        external_customer_id=ids.text("external_customer_id"),
        external_subscription_id=ids.text("external_subscription_id"),
        properties=_properties(bytes(body.properties)),
    )
    occurred_at = _timestamp(bytes(body.timestamp))
    if occurred_at is not None:
        event.occurred_at.FromDatetime(occurred_at)
    amount = _amount(bytes(body.precise_total_amount_cents))
    if amount is not None:
        event.precise_total_amount_cents.CopyFrom(amount)
    return event


def _decode(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as error:
        raise Problem(400, "bad_request", f"the body cannot be read: {error}") from error


def _properties(raw: bytes) -> bytes:
    if raw in _NOTHING:
        return b""
    if raw[0] != _OBJECT_BEGINS:
        raise invalid("properties", "invalid_format", "must be an object")
    return raw


def _timestamp(raw: bytes) -> datetime | None:
    if raw in _NOTHING:
        return None
    value = _value(raw)
    found = None if isinstance(value, str) and from_date(value) else read_instant(value)
    if found is None:
        raise invalid("timestamp", "invalid_format", "must be an RFC 3339 time or Unix seconds")
    return found


def _amount(raw: bytes) -> DecimalMessage | None:
    if raw in _NOTHING:
        return None
    text = str(_value(raw))
    if decimal_or_none(text) is None:
        raise invalid("precise_total_amount_cents", "invalid_format", "must be a decimal number")
    return DecimalMessage(value=text)


def _value(raw: bytes) -> Any:
    try:
        return _VALUE.decode(raw)
    except ArithmeticError:
        # Digits beyond any number that means something; the caller is told which field by what follows.
        return None
