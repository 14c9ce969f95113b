"""Decimals, instants, periods and pages: from messages to values, which may be refused, and back, which never is.

`…_from_pb` reads a message that is present, `…_of` a field that is required, `…_or_none_of` a field that may be absent.
A refusal names the field by the path it is given.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol, overload

from google.protobuf.timestamp_pb2 import Timestamp

from farebox.common.v1 import decimal_pb2, page_pb2, period_pb2
from services.chassis.page import Listed, Page, read_page
from services.kernel.errors import InvalidArgumentError
from services.kernel.instant import EPOCH, LATEST, SPAN, is_kept
from services.kernel.money import computed_decimal_or_none, parse_decimal, plain
from services.kernel.period import Period

_NANOS_PER_SECOND = 1_000_000_000
_SECONDS_PER_DAY = 86_400
# A larger number of seconds does not fit into a timedelta.
_MOST_SECONDS = (LATEST - EPOCH).days * _SECONDS_PER_DAY


class HasFields(Protocol):
    """A message that can be asked which of its fields are present."""

    def HasField(self, name: Any) -> bool:  # noqa: N802 - protobuf's name
        """Whether the field is there."""


def decimal_from_pb(message: decimal_pb2.Decimal, field: str) -> Decimal:
    """The number, of at most 38 digits and with an exponent within 30; otherwise the field is refused."""
    return parse_decimal(message.value, field=field)


def decimal_of(message: HasFields, name: str, path: str = "") -> Decimal:
    """A required number."""
    return decimal_from_pb(getattr(message, name), _present(message, name, path))


def decimal_or_none_of(message: HasFields, name: str, path: str = "") -> Decimal | None:
    """A number that may be absent."""
    return decimal_of(message, name, path) if message.HasField(name) else None


def computed_of(message: HasFields, name: str, path: str = "") -> Decimal:
    """A required number that one of our services computed: it may be wider than what a caller may send."""
    field = _present(message, name, path)
    number = computed_decimal_or_none(getattr(message, name).value)
    if number is None:
        raise InvalidArgumentError.of_field(field, "invalid_number", "is not a number that a service announces")
    return number


def optional_int_of(message: HasFields, name: str) -> int | None:
    """A whole number that may be absent."""
    number: int = getattr(message, name)
    return number if message.HasField(name) else None


@overload
def decimal_to_pb(number: Decimal) -> decimal_pb2.Decimal: ...


@overload
def decimal_to_pb(number: Decimal | None) -> decimal_pb2.Decimal | None: ...


def decimal_to_pb(number: Decimal | None) -> decimal_pb2.Decimal | None:
    """The number as text without exponent; absent for None."""
    return None if number is None else decimal_pb2.Decimal(value=plain(number))


def instant_from_pb(message: Timestamp, field: str) -> datetime:
    """The instant in UTC, cut to the microsecond; an instant out of range is refused."""
    if 0 <= message.seconds <= _MOST_SECONDS and 0 <= message.nanos < _NANOS_PER_SECOND:
        instant = EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)
        if is_kept(instant):
            return instant
    raise InvalidArgumentError.of_field(field, "value_is_invalid", f"is not {SPAN}")


def instant_of(message: HasFields, name: str, path: str = "") -> datetime:
    """A required instant."""
    return instant_from_pb(getattr(message, name), _present(message, name, path))


def instant_or_none_of(message: HasFields, name: str, path: str = "") -> datetime | None:
    """An instant that may be absent."""
    return instant_of(message, name, path) if message.HasField(name) else None


@overload
def instant_to_pb(instant: datetime) -> Timestamp: ...


@overload
def instant_to_pb(instant: datetime | None) -> Timestamp | None: ...


def instant_to_pb(instant: datetime | None) -> Timestamp | None:
    """The instant; absent for None."""
    if instant is None:
        return None
    since = instant - EPOCH
    return Timestamp(seconds=since.days * _SECONDS_PER_DAY + since.seconds, nanos=since.microseconds * 1000)


def period_from_pb(message: period_pb2.Period, field: str) -> Period:
    """The half-open span, whose ends must both be present and in order; otherwise the field is refused."""
    start, end = instant_of(message, "start", field), instant_of(message, "end", field)
    if end < start:
        raise InvalidArgumentError.of_field(field, "value_is_invalid", "ends before it starts")
    return Period(start, end)


@overload
def period_to_pb(period: Period) -> period_pb2.Period: ...


@overload
def period_to_pb(period: Period | None) -> period_pb2.Period | None: ...


def period_to_pb(period: Period | None) -> period_pb2.Period | None:
    """The half-open span; absent for None."""
    if period is None:
        return None
    return period_pb2.Period(start=instant_to_pb(period.start), end=instant_to_pb(period.end))


def page_from_pb(message: page_pb2.PageRequest) -> Page:
    """Which part of a list to return; a bad page size or token is refused."""
    return read_page(message.page_size, message.page_token, message.skip, with_total=message.with_total)


def page_to_pb(listed: Listed[Any]) -> page_pb2.PageResponse:
    """Where a page stands in its list; the total only where it is known."""
    return page_pb2.PageResponse(next_page_token=listed.next_token, total_size=listed.total)


def _present(message: HasFields, name: str, path: str) -> str:
    """The path of a field that is there."""
    field = f"{path}.{name}" if path else name
    if not message.HasField(name):
        raise InvalidArgumentError.of_field(field, "value_is_mandatory", "is required")
    return field
