"""Decimals, instants, spans and pages."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from google.protobuf.timestamp_pb2 import Timestamp

from farebox.common.v1 import decimal_pb2, page_pb2, period_pb2
from services.chassis.page import Page, read_page
from services.kernel.errors import InvalidArgumentError
from services.kernel.money import parse_decimal, plain
from services.kernel.period import Period
from services.margin.queries.margin import Span


def decimal_from_pb(message: decimal_pb2.Decimal, *, field: str) -> Decimal:
    """The exact number of a message, or an error that names the field."""
    return parse_decimal(message.value, field=field)


def decimal_to_pb(number: Decimal) -> decimal_pb2.Decimal:
    """An exact number as plain text."""
    return decimal_pb2.Decimal(value=plain(number))


def time_from_pb(message: Timestamp, *, field: str) -> datetime:
    """The instant of a message in UTC, or an error that names the field."""
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidArgumentError.of_field(field, "value_is_invalid", "is not an instant") from error


def time_to_pb(instant: datetime) -> Timestamp:
    """An instant as a message."""
    stamp = Timestamp()
    stamp.FromDatetime(instant)
    return stamp


def period_from_pb(message: period_pb2.Period) -> Period:
    """A span between services; both ends are there."""
    return Period(time_from_pb(message.start, field="period.start"), time_from_pb(message.end, field="period.end"))


def period_to_pb(period: Period) -> period_pb2.Period:
    """A span as a message."""
    return period_pb2.Period(start=time_to_pb(period.start), end=time_to_pb(period.end))


def span_from_pb(message: period_pb2.Period) -> Span:
    """The span a caller asks for; either end may be missing."""
    return Span(
        time_from_pb(message.start, field="period.start") if message.HasField("start") else None,
        time_from_pb(message.end, field="period.end") if message.HasField("end") else None,
    )


def page_from_pb(message: page_pb2.PageRequest) -> Page:
    """The page a caller asks for."""
    return read_page(message.page_size, message.page_token, message.skip)
