"""Instants: which ones Farebox keeps, and how callers write them.

Every bound is checked before anything is computed: `1e999999999` seconds takes nine bytes to write and would become a
number of a billion digits.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from services.kernel.clock import as_utc
from services.kernel.money import decimal_or_none, is_within_limits

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Nothing was metered before 1970; beyond 9998 a time zone could push a day out of what a calendar can show.
EARLIEST = EPOCH
LATEST = datetime(9998, 12, 31, tzinfo=UTC)
# The same bounds in words, for error messages.
SPAN = "an instant from 1970 to 9998"
MICROSECOND = timedelta(microseconds=1)
# The longest text RFC 3339 needs: nine decimals of a second and a zone. Further decimals carry no information.
MAX_TEXT = 64

_MILLION = 1_000_000
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
# RFC 3339, not the whole of ISO 8601: a time without its zone would be a guess about money.
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)


def to_us(instant: datetime) -> int:
    """Whole microseconds since 1970 of an aware instant."""
    return (instant - EPOCH) // MICROSECOND


def from_us(microseconds: int) -> datetime:
    """The aware instant in UTC; exact both ways."""
    return EPOCH + microseconds * MICROSECOND


def is_kept(instant: datetime) -> bool:
    """Whether Farebox keeps this instant: it lies between 1970 and 9998."""
    return EARLIEST <= instant <= LATEST


def from_seconds(seconds: Decimal) -> datetime | None:
    """The instant of Unix seconds, cut to the microsecond; None if it is not a number or is out of range."""
    if not is_within_limits(seconds) or not 0 <= seconds <= to_us(LATEST) // _MILLION:
        return None
    return from_us(int(seconds * _MILLION))


def from_text(text: str) -> datetime | None:
    """The instant of an RFC 3339 text, or of Unix seconds as text; None if it is neither or is out of range."""
    if len(text) > MAX_TEXT:
        return None
    number = decimal_or_none(text)
    if number is not None:
        return from_seconds(number)
    if not _RFC3339.fullmatch(text):
        return None
    try:
        instant = as_utc(datetime.fromisoformat(text.upper().replace(",", ".")))
    except (ValueError, OverflowError):
        # A month 13, or a zone that pushes the year beyond 9999.
        return None
    return instant if is_kept(instant) else None


def from_date(text: str) -> date | None:
    """The day of a text such as `2024-02-01`; None if it is not a date or is out of range."""
    if not _DATE.fullmatch(text):
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        # The 30th of February, for example.
        return None
    return day if is_kept(midnight(day)) else None


def midnight(day: date) -> datetime:
    """The first instant of a day in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def to_text(instant: datetime) -> str:
    """RFC 3339 in UTC, with a fraction only if there is one: `2024-01-15T10:30:00Z`."""
    return as_utc(instant).isoformat().replace("+00:00", "Z")
