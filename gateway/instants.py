"""Instants between the wire's Timestamp, aware datetimes and the text that callers write."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from google.protobuf.timestamp_pb2 import Timestamp

from services.kernel.clock import as_utc
from services.kernel.money import decimal_or_none, is_within_limits

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = Decimal("0.000001")
# RFC 3339, not the whole of ISO 8601: a time without its zone would be a guess about money.
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def to_datetime(instant: Timestamp) -> datetime:
    """The same instant, aware, in UTC, to the microsecond."""
    return instant.ToDatetime(tzinfo=UTC)


def to_timestamp(instant: datetime) -> Timestamp:
    """The same instant for the wire."""
    stamp = Timestamp()
    stamp.FromDatetime(as_utc(instant))
    return stamp


def from_text(text: str) -> datetime | None:
    """The instant of an RFC 3339 text, or of Unix seconds as text; None where it is neither, or out of range."""
    number = decimal_or_none(text)
    if number is not None:
        return from_seconds(number)
    if not _RFC3339.fullmatch(text):
        return None
    try:
        return as_utc(datetime.fromisoformat(text.upper().replace(",", ".")))
    except (ValueError, OverflowError):
        # A month 13, or a zone that pushes the year beyond 9999: not an instant.
        return None


def from_seconds(seconds: Decimal) -> datetime | None:
    """The instant of Unix seconds, cut to the microsecond; None beyond the years 1 to 9999."""
    if not is_within_limits(seconds):
        return None
    try:
        return _EPOCH + timedelta(microseconds=int(seconds / _MICROSECOND))
    except OverflowError:
        return None


def from_date(text: str) -> date | None:
    """The day of a text such as `2024-02-01`, or None."""
    try:
        return date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        # The 30th of February.
        return None


def midnight(day: date) -> datetime:
    """The first instant of a day in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def text(instant: datetime) -> str:
    """RFC 3339 in UTC, with a fraction only where there is one: `2024-01-15T10:30:00Z`."""
    return as_utc(instant).isoformat().replace("+00:00", "Z")
