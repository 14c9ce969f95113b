"""Decimals, instants, periods and pages: messages to values and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from farebox.common.v1 import decimal_pb2, page_pb2, period_pb2
from services.chassis.page import Page, read_page
from services.kernel.errors import InvalidArgumentError
from services.kernel.money import parse_decimal, plain
from services.kernel.period import Period

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Time zones shift an instant by up to a day, which must stay within what a calendar can show.
EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)
LATEST = datetime(9998, 12, 31, tzinfo=UTC)
_NANOS_PER_SECOND = 1_000_000_000
_LONGEST = (LATEST - _EPOCH).total_seconds()


class _HasFields(Protocol):
    def HasField(self, name: Any) -> bool: ...  # noqa: N802 - protobuf's name


M = TypeVar("M", bound=_HasFields)


def decimal_from_pb(message: decimal_pb2.Decimal, field: str) -> Decimal:
    """The number, or a refusal of the field."""
    return parse_decimal(message.value, field=field)


def decimal_of(message: _HasFields, name: str, path: str) -> Decimal:
    """A number that must be there."""
    if not message.HasField(name):
        raise InvalidArgumentError.of_field(f"{path}.{name}", "value_is_mandatory", "is required")
    return decimal_from_pb(getattr(message, name), f"{path}.{name}")


def decimal_or_none_of(message: _HasFields, name: str, path: str) -> Decimal | None:
    """A number that may be absent."""
    return decimal_from_pb(getattr(message, name), f"{path}.{name}") if message.HasField(name) else None


def decimal_to_pb(number: Decimal) -> decimal_pb2.Decimal:
    """The number as text without exponent."""
    return decimal_pb2.Decimal(value=plain(number))


def decimal_or_none_to_pb(number: Decimal | None) -> decimal_pb2.Decimal | None:
    """As `decimal_to_pb`; absent for None."""
    return None if number is None else decimal_to_pb(number)


def instant_from_pb(message: Timestamp, field: str) -> datetime:
    """The instant to the microsecond, or a refusal of the field."""
    if not 0 <= message.seconds <= _LONGEST or not 0 <= message.nanos < _NANOS_PER_SECOND:
        raise InvalidArgumentError.of_field(field, "value_is_invalid", "is not an instant from 1970 to 9998")
    instant = _EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)
    if not EARLIEST <= instant <= LATEST:
        raise InvalidArgumentError.of_field(field, "value_is_invalid", "is not an instant from 1970 to 9998")
    return instant


def instant_of(message: _HasFields, name: str, path: str = "") -> datetime:
    """An instant that must be there."""
    field = f"{path}.{name}" if path else name
    if not message.HasField(name):
        raise InvalidArgumentError.of_field(field, "value_is_mandatory", "is required")
    return instant_from_pb(getattr(message, name), field)


def instant_or_none_of(message: _HasFields, name: str, path: str = "") -> datetime | None:
    """An instant that may be absent."""
    return instant_of(message, name, path) if message.HasField(name) else None


def instant_to_pb(instant: datetime | None) -> Timestamp | None:
    """The instant; absent for None."""
    if instant is None:
        return None
    since = instant - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def period_to_pb(period: Period | None) -> period_pb2.Period | None:
    """The half-open span; absent for None."""
    if period is None:
        return None
    return period_pb2.Period(start=instant_to_pb(period.start), end=instant_to_pb(period.end))


def page_from_pb(message: page_pb2.PageRequest) -> Page:
    """The part of a list that is wanted, or a refusal of the field."""
    return read_page(message.page_size, message.page_token, message.skip)


def page_to_pb(next_token: str) -> page_pb2.PageResponse:
    """Where a page stands; totals are left out, since counting costs more than the page."""
    return page_pb2.PageResponse(next_page_token=next_token)
