"""The billing calendar: which half-open period of a customer's local calendar an instant falls in.

Every boundary is a local date, computed from the cadence's origin and never from the previous boundary, so
that a month end clamps and recovers (31 Jan, 28 Feb, 31 Mar). A local date becomes the first instant of that
day in UTC, so that a day of 23 or 25 hours is still one day. Days are counted, not hours.

When a customer's zone changes, the local dates of its boundaries stay. One of them is a seam: it is where the last
period of the old zone ended, and where the first of the new zone begins, some hours before or after its own midnight.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from services.kernel.clock import as_utc
from services.kernel.errors import InvalidArgumentError
from services.kernel.period import Period

_DAYS_PER_WEEK = 7
_MONTHS_PER_YEAR = 12
_DAYS_PER_YEAR = 365
_WEEKS_PER_YEAR = 52
_MONTHS_PER_QUARTER = 3
_MONTHS_PER_HALF_YEAR = 6
# Ten years of days: a longer period is a typing mistake, and dates must stay within the calendar.
MAX_EVERY = 3660
# The longest IANA name has 32 characters; text beyond this is not a zone.
_MAX_TIMEZONE_TEXT = 64
# Files of the zone database that are not zones: the machine's own zone, which differs from machine to machine, and
# copies that count leap seconds.
_NO_ZONE = re.compile(r"(?:localtime|posixrules|Factory)$|(?:right|posix)/", re.ASCII)
_INSTANT = timedelta(microseconds=1)
_DAY = timedelta(days=1)


class CadenceUnit(StrEnum):
    """What an interval counts."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Alignment(StrEnum):
    """Where periods begin: on the calendar (Monday, the 1st) or on the subscription's own anniversary."""

    CALENDAR = "calendar"
    ANNIVERSARY = "anniversary"


@dataclass(frozen=True, slots=True)
class Interval:
    """The length of a period: a number of days, weeks or months.

    Attributes:
        unit: what is counted.
        every: how many of them, from 1 to `MAX_EVERY`.
    """

    unit: CadenceUnit
    every: int = 1

    def __post_init__(self) -> None:
        """Refuse a length that is not a period."""
        if not 1 <= self.every <= MAX_EVERY:
            raise InvalidArgumentError.of_field(
                "interval", "value_is_out_of_range", f"repeats every 1 to {MAX_EVERY} {self.unit}s"
            )

    @property
    def name(self) -> str:
        """`weekly`, `monthly`, `quarterly`, `semiannual`, `yearly`, or `custom` for any other length."""
        return next((name for name, interval in INTERVALS.items() if interval == self), "custom")

    @property
    def periods_per_year(self) -> Decimal:
        """How many such periods a year has, to compare prices of plans with different intervals."""
        per_year = {
            CadenceUnit.DAY: _DAYS_PER_YEAR,
            CadenceUnit.WEEK: _WEEKS_PER_YEAR,
            CadenceUnit.MONTH: _MONTHS_PER_YEAR,
        }
        return Decimal(per_year[self.unit]) / self.every


WEEKLY = Interval(CadenceUnit.WEEK)
MONTHLY = Interval(CadenceUnit.MONTH)
QUARTERLY = Interval(CadenceUnit.MONTH, _MONTHS_PER_QUARTER)
SEMIANNUAL = Interval(CadenceUnit.MONTH, _MONTHS_PER_HALF_YEAR)
YEARLY = Interval(CadenceUnit.MONTH, _MONTHS_PER_YEAR)
INTERVALS = {
    "weekly": WEEKLY,
    "monthly": MONTHLY,
    "quarterly": QUARTERLY,
    "semiannual": SEMIANNUAL,
    "yearly": YEARLY,
}


@dataclass(frozen=True, slots=True)
class Seam:
    """The boundary between the calendars of two zones.

    Attributes:
        day: its local date, in both zones.
        at: the instant that it has: the first one of that day in the old zone.
    """

    day: date
    at: datetime


@dataclass(frozen=True, slots=True)
class Cadence:
    """Everything that decides where billing periods begin.

    Attributes:
        interval: the length of a period.
        alignment: calendar or anniversary.
        anchor: the instant the anniversary is counted from; it survives changes of plan.
        timezone: IANA name of the customer's zone, in which days begin at local midnight.
        seam: where another zone's calendar passes into this one; None if there was no other. Only the periods from
            there on are meant.
    """

    interval: Interval
    alignment: Alignment
    anchor: datetime
    timezone: str = "UTC"
    seam: Seam | None = None

    def __post_init__(self) -> None:
        """Keep the anchor in UTC and refuse an unknown zone."""
        object.__setattr__(self, "anchor", as_utc(self.anchor))
        zone(self.timezone)


@lru_cache(maxsize=1024)
def zone(timezone: str) -> ZoneInfo:
    """The zone with this IANA name, or an InvalidArgumentError on `timezone`."""
    unknown = InvalidArgumentError.of_field("timezone", "value_is_invalid", f"{timezone[:40]!r} is not an IANA zone")
    if _NO_ZONE.match(timezone):
        raise unknown
    try:
        return ZoneInfo(timezone[:_MAX_TIMEZONE_TEXT])
    except (KeyError, ValueError, OSError) as error:
        raise unknown from error


def local_date(at: datetime, timezone: str) -> date:
    """The calendar day that a clock on the wall shows at this instant."""
    return at.astimezone(zone(timezone)).date()


def midnight(day: date, timezone: str) -> datetime:
    """The first instant of a local day, in UTC; where the clock skips midnight, the instant of the skip."""
    return datetime.combine(day, time(), zone(timezone)).astimezone(UTC)


def start_of_day(at: datetime, timezone: str) -> datetime:
    """The first instant of the local day that holds `at`."""
    return midnight(local_date(at, timezone), timezone)


def start_of_next_day(at: datetime, timezone: str) -> datetime:
    """The first instant of the local day after that of `at`: the end of a day that is billed whole."""
    return midnight(local_date(at, timezone) + _DAY, timezone)


def same_wall_time(at: datetime, before: str, after: str) -> datetime:
    """The instant at which clocks in the zone `after` show what those in the zone `before` show at `at`, in UTC."""
    return at.astimezone(zone(before)).replace(tzinfo=zone(after)).astimezone(UTC)


def days_between(period: Period, timezone: str) -> int:
    """How many local days a period touches: a day that has begun counts as a day, an empty period has none."""
    if period.start == period.end:
        return 0
    return (local_date(period.end - _INSTANT, timezone) - local_date(period.start, timezone)).days + 1


# A billing run asks the same question several times for each subscription; this many answers take a few MB.
@lru_cache(maxsize=4096)
def period_containing(cadence: Cadence, at: datetime) -> Period:
    """The full nominal period that holds `at`; it may begin before the anchor."""
    index = _index_near(cadence, local_date(at, cadence.timezone))
    start = _boundary(cadence, index)
    # The estimate can be one off around a clamped month end, or where a zone skipped a day.
    while start > at:
        index -= 1
        start = _boundary(cadence, index)
    end = _boundary(cadence, index + 1)
    while end <= at:
        index += 1
        start, end = end, _boundary(cadence, index + 1)
    return Period(start, end)


def previous_period(cadence: Cadence, period: Period) -> Period:
    """The nominal period before a nominal period of the same cadence."""
    return period_containing(cadence, period.start - _INSTANT)


def clip(period: Period, *, start: datetime | None = None, end: datetime | None = None) -> Period | None:
    """The part of a period between a subscription's `start` and `end`; None if nothing is left."""
    earliest = period.start if start is None else max(period.start, as_utc(start))
    latest = period.end if end is None else min(period.end, as_utc(end))
    return Period(earliest, latest) if earliest < latest else None


def monthly_charges(cadence: Cadence) -> Cadence:
    """The monthly cadence of charges under a longer plan; its periods nest in the plan's."""
    if cadence.interval.unit is not CadenceUnit.MONTH:
        raise InvalidArgumentError.of_field(
            "bill_charges_monthly", "value_is_invalid", "needs an interval of whole months"
        )
    return replace(cadence, interval=MONTHLY)


class ResetWindow(StrEnum):
    """When the used part of a usage limit returns to zero."""

    BILLING_PERIOD = "billing_period"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    NEVER = "never"


_RESET_INTERVALS = {
    ResetWindow.DAY: Interval(CadenceUnit.DAY),
    ResetWindow.WEEK: WEEKLY,
    ResetWindow.MONTH: MONTHLY,
}


def reset_period(window: ResetWindow, billing: Cadence, at: datetime) -> Period | None:
    """The window of a usage limit that holds `at`, in the customer's zone; None if it never resets."""
    if window is ResetWindow.NEVER:
        return None
    if window is ResetWindow.BILLING_PERIOD:
        return period_containing(billing, at)
    return period_containing(replace(billing, interval=_RESET_INTERVALS[window], alignment=Alignment.CALENDAR), at)


def _origin(cadence: Cadence) -> date:
    """The local date that begins period number zero."""
    day = local_date(cadence.anchor, cadence.timezone)
    unit, every = cadence.interval.unit, cadence.interval.every
    if cadence.alignment is Alignment.ANNIVERSARY or unit is CadenceUnit.DAY:
        return day
    if unit is CadenceUnit.WEEK:
        return day - timedelta(days=day.weekday())
    # A number of months that divides the year starts in January; any other is counted from the anchor's
    # month.
    skipped = (day.month - 1) % every if _MONTHS_PER_YEAR % every == 0 else 0
    return day.replace(month=day.month - skipped, day=1)


def _index_near(cadence: Cadence, day: date) -> int:
    """The number of the period that holds a local date, at most one off."""
    origin, every = _origin(cadence), cadence.interval.every
    if cadence.interval.unit is CadenceUnit.MONTH:
        months = (day.year - origin.year) * _MONTHS_PER_YEAR + day.month - origin.month
        return months // every
    days = every * (_DAYS_PER_WEEK if cadence.interval.unit is CadenceUnit.WEEK else 1)
    return (day - origin).days // days


def _boundary(cadence: Cadence, index: int) -> datetime:
    """The first instant of period number `index`."""
    origin, count = _origin(cadence), cadence.interval.every * index
    if cadence.interval.unit is CadenceUnit.MONTH:
        day = plus_months(origin, count)
    else:
        day = origin + count * _DAY * (_DAYS_PER_WEEK if cadence.interval.unit is CadenceUnit.WEEK else 1)
    if cadence.seam is None:
        return midnight(day, cadence.timezone)
    return _beside_seam(cadence.seam, day, cadence.timezone)


def _beside_seam(seam: Seam, day: date, timezone: str) -> datetime:
    """The first instant of a boundary's day. Zones differ by up to 26 hours, so a neighbour may lie beyond the seam."""
    if day == seam.day:
        return seam.at
    return (min if day < seam.day else max)(seam.at, midnight(day, timezone))


def plus_months(day: date, months: int) -> date:
    """The same day of another month, or that month's last day when it is shorter."""
    year, month0 = divmod(day.year * _MONTHS_PER_YEAR + day.month - 1 + months, _MONTHS_PER_YEAR)
    last = calendar.monthrange(year, month0 + 1)[1]
    return date(year, month0 + 1, min(day.day, last))
