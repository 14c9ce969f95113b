"""Exact numbers and instants on the wire."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from google.protobuf import timestamp_pb2

from farebox.common.v1 import decimal_pb2, period_pb2
from services.kernel.money import parse_decimal, plain
from services.kernel.period import Period


def decimal_to_pb(number: Decimal) -> decimal_pb2.Decimal:
    """An exact number as text."""
    return decimal_pb2.Decimal(value=plain(number))


def optional_decimal_to_pb(number: Decimal | None) -> decimal_pb2.Decimal | None:
    """As `decimal_to_pb`; absent for None."""
    return None if number is None else decimal_to_pb(number)


def decimal_from_pb(number: decimal_pb2.Decimal, *, field: str) -> Decimal:
    """The number, or an InvalidArgumentError that names the field."""
    return parse_decimal(number.value, field=field)


def instant_to_pb(instant: datetime | None) -> timestamp_pb2.Timestamp | None:
    """An instant; absent for None."""
    if instant is None:
        return None
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(instant)
    return stamp


def instant_from_pb(stamp: timestamp_pb2.Timestamp) -> datetime:
    """An aware instant in UTC."""
    return stamp.ToDatetime(tzinfo=UTC)


def period_from_pb(period: period_pb2.Period) -> Period:
    """A half-open span."""
    return Period(instant_from_pb(period.start), instant_from_pb(period.end))
