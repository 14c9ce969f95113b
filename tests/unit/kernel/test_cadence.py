"""The billing calendar: boundaries, clamping, zones, clock changes, clipping."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.kernel import cadence as calendar
from services.kernel.cadence import (
    MONTHLY,
    QUARTERLY,
    SEMIANNUAL,
    WEEKLY,
    YEARLY,
    Alignment,
    Cadence,
    CadenceUnit,
    Interval,
    ResetWindow,
    period_containing,
)
from services.kernel.errors import InvalidArgumentError
from services.kernel.period import Period


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def dates(
    interval: Interval, alignment: str, anchor: datetime, at: datetime, timezone: str = "UTC"
) -> tuple[date, date]:
    """The local dates on which the period that holds `at` begins and ends."""
    period = period_containing(Cadence(interval, Alignment(alignment), anchor, timezone), at)
    return calendar.local_date(period.start, timezone), calendar.local_date(period.end, timezone)


@pytest.mark.parametrize(
    ("interval", "start", "end"),
    [
        (WEEKLY, date(2024, 2, 26), date(2024, 3, 4)),
        (MONTHLY, date(2024, 2, 1), date(2024, 3, 1)),
        (QUARTERLY, date(2024, 1, 1), date(2024, 4, 1)),
        (SEMIANNUAL, date(2024, 1, 1), date(2024, 7, 1)),
        (YEARLY, date(2024, 1, 1), date(2025, 1, 1)),
        (Interval(CadenceUnit.MONTH, 2), date(2024, 1, 1), date(2024, 3, 1)),
        (Interval(CadenceUnit.MONTH, 5), date(2023, 10, 1), date(2024, 3, 1)),
        (Interval(CadenceUnit.WEEK, 2), date(2024, 2, 19), date(2024, 3, 4)),
        (Interval(CadenceUnit.DAY, 10), date(2024, 2, 21), date(2024, 3, 2)),
    ],
)
def test_calendar_periods(interval: Interval, start: date, end: date) -> None:
    """Weeks start on Monday, months that divide the year in January, other lengths at the anchor."""
    assert dates(interval, "calendar", utc(2023, 5, 17, 10), utc(2024, 2, 29, 12)) == (start, end)


@pytest.mark.parametrize(
    ("at", "start", "end"),
    [
        (utc(2023, 2, 15), date(2023, 1, 31), date(2023, 2, 28)),
        (utc(2023, 2, 28), date(2023, 2, 28), date(2023, 3, 31)),
        (utc(2024, 2, 29), date(2024, 2, 29), date(2024, 3, 31)),
        (utc(2024, 4, 30), date(2024, 4, 30), date(2024, 5, 31)),
        (utc(2022, 12, 1), date(2022, 11, 30), date(2022, 12, 31)),
    ],
)
def test_month_ends_clamp_from_the_anchor(at: datetime, start: date, end: date) -> None:
    """A short month does not shorten the months after it, nor those before the anchor."""
    assert dates(MONTHLY, "anniversary", utc(2023, 1, 31), at) == (start, end)


def test_leap_day_anniversary() -> None:
    """A yearly anniversary on 29 February falls on the 28th in other years and returns."""
    anchor = utc(2024, 2, 29)
    assert dates(YEARLY, "anniversary", anchor, utc(2025, 3, 1)) == (date(2025, 2, 28), date(2026, 2, 28))
    assert dates(YEARLY, "anniversary", anchor, utc(2028, 3, 1)) == (date(2028, 2, 29), date(2029, 2, 28))


def test_days_follow_the_customers_zone() -> None:
    """The same instant is another day elsewhere."""
    at = utc(2023, 6, 16, 5)
    assert dates(WEEKLY, "calendar", at, at, "America/Denver") == (date(2023, 6, 12), date(2023, 6, 19))
    assert calendar.local_date(at, "America/Denver") == date(2023, 6, 15)


@pytest.mark.parametrize(("day", "hours"), [(date(2024, 3, 31), 23), (date(2024, 10, 27), 25), (date(2024, 6, 1), 24)])
def test_a_day_of_any_length_is_one_day(day: date, hours: int) -> None:
    """Clock changes lengthen and shorten days, not their number."""
    zone = "Europe/Paris"
    period = Period(calendar.midnight(day, zone), calendar.midnight(day + timedelta(days=1), zone))
    assert period.length == timedelta(hours=hours)
    assert calendar.days_between(period, zone) == 1


def test_a_midnight_that_the_clock_skips() -> None:
    """Cuba moves its clock from 0:00 to 1:00: the day begins at 1:00, an instant that exists."""
    start = calendar.midnight(date(2024, 3, 10), "America/Havana")
    assert start.astimezone(ZoneInfo("America/Havana")).hour == 1
    assert calendar.local_date(start, "America/Havana") == date(2024, 3, 10)
    assert calendar.local_date(start - timedelta(microseconds=1), "America/Havana") == date(2024, 3, 9)


def test_a_clock_that_turns_back_over_midnight() -> None:
    """Goose Bay went from 0:01 back to 23:01 the day before: the day that had begun goes on, and periods stay whole."""
    zone = "America/Goose_Bay"
    daily = Cadence(Interval(CadenceUnit.DAY), Alignment.CALENDAR, utc(2010, 11, 1), zone)
    seventh = period_containing(daily, utc(2010, 11, 7, 12))
    assert seventh.start == calendar.midnight(date(2010, 11, 7), zone) == utc(2010, 11, 7, 3)
    assert period_containing(daily, utc(2010, 11, 7, 3, 30)) == seventh


def test_a_day_that_a_zone_skipped() -> None:
    """Samoa had no 30 December 2011; daily periods go from the 29th to the 31st."""
    daily = Cadence(Interval(CadenceUnit.DAY), Alignment.CALENDAR, utc(2011, 12, 20), "Pacific/Apia")
    before = period_containing(daily, utc(2011, 12, 30, 9))
    after = period_containing(daily, before.end)
    assert calendar.local_date(before.start, "Pacific/Apia") == date(2011, 12, 29)
    assert calendar.local_date(after.start, "Pacific/Apia") == date(2011, 12, 31)
    assert before.end == after.start


def test_neighbours_meet() -> None:
    """The period before the one that begins at an end is the one that ends there, also around a clamped month."""
    monthly = Cadence(MONTHLY, Alignment.ANNIVERSARY, utc(2023, 1, 31, 18), "Asia/Tokyo")
    period = period_containing(monthly, utc(2023, 2, 10))
    following = period_containing(monthly, period.end)
    assert following.start == period.end
    assert calendar.previous_period(monthly, following) == period


def test_days_between_counts_days_begun() -> None:
    """A day that is touched counts; an empty period has none."""
    assert calendar.days_between(Period(utc(2024, 3, 5, 12), utc(2024, 3, 7, 1)), "UTC") == 3
    assert calendar.days_between(Period(utc(2024, 3, 5, 12), utc(2024, 3, 7)), "UTC") == 2
    assert calendar.days_between(Period(utc(2024, 3, 5), utc(2024, 3, 5)), "UTC") == 0


def test_clip() -> None:
    """The first period begins with the subscription, the last ends with it, and outside there is none."""
    march = Period(utc(2024, 3, 1), utc(2024, 4, 1))
    assert calendar.clip(march, start=utc(2024, 3, 5, 12)) == Period(utc(2024, 3, 5, 12), utc(2024, 4, 1))
    assert calendar.clip(march, end=utc(2024, 3, 9)) == Period(utc(2024, 3, 1), utc(2024, 3, 9))
    assert calendar.clip(march) == march
    assert calendar.clip(march, start=utc(2024, 4, 1)) is None
    assert calendar.clip(march, end=utc(2024, 3, 1)) is None


def test_monthly_charges_nest_in_years() -> None:
    """A yearly plan's months begin and end with its years, also from a 29 February."""
    yearly = Cadence(YEARLY, Alignment.ANNIVERSARY, utc(2024, 2, 29), "Europe/Paris")
    year = period_containing(yearly, utc(2025, 6, 1))
    month = period_containing(calendar.monthly_charges(yearly), year.start)
    assert month.start == year.start
    for _ in range(11):
        month = period_containing(calendar.monthly_charges(yearly), month.end)
    assert month.end == year.end
    with pytest.raises(InvalidArgumentError):
        calendar.monthly_charges(Cadence(WEEKLY, Alignment.CALENDAR, utc(2024, 1, 1)))


@pytest.mark.parametrize(
    ("window", "start", "end"),
    [
        (ResetWindow.DAY, utc(2024, 5, 14, 22), utc(2024, 5, 15, 22)),
        (ResetWindow.WEEK, utc(2024, 5, 12, 22), utc(2024, 5, 19, 22)),
        (ResetWindow.MONTH, utc(2024, 4, 30, 22), utc(2024, 5, 31, 22)),
        (ResetWindow.BILLING_PERIOD, utc(2024, 5, 8, 22), utc(2024, 6, 8, 22)),
    ],
)
def test_reset_windows(window: ResetWindow, start: datetime, end: datetime) -> None:
    """Limits reset at local midnight on the calendar, or with the subscription's own period."""
    billing = Cadence(MONTHLY, Alignment.ANNIVERSARY, utc(2024, 1, 9, 9), "Europe/Paris")
    assert calendar.reset_period(window, billing, utc(2024, 5, 15, 12)) == Period(start, end)


def test_a_limit_that_never_resets_has_no_window() -> None:
    """None, not a very long period."""
    billing = Cadence(MONTHLY, Alignment.CALENDAR, utc(2024, 1, 9))
    assert calendar.reset_period(ResetWindow.NEVER, billing, utc(2024, 5, 15)) is None


def test_names_of_intervals() -> None:
    """Named lengths have one name whichever way they were made; the rest are custom."""
    assert Interval(CadenceUnit.MONTH, 3).name == "quarterly"
    assert SEMIANNUAL.name == "semiannual"
    assert Interval(CadenceUnit.DAY, 7).name == "custom"
    assert WEEKLY.periods_per_year == 52
    assert Interval(CadenceUnit.DAY, 73).periods_per_year == 5


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Interval(CadenceUnit.DAY, 0), "interval"),
        (lambda: calendar.zone("Mars/Olympus"), "timezone"),
        (lambda: calendar.zone("../../etc/passwd"), "timezone"),
        (lambda: calendar.zone("A" * 10_000), "timezone"),
        (lambda: Cadence(MONTHLY, Alignment.CALENDAR, utc(2024, 1, 1), ""), "timezone"),
    ],
)
def test_refusals_name_their_field(make: Callable[[], object], field: str) -> None:
    """What cannot be a cadence is refused, not guessed."""
    with pytest.raises(InvalidArgumentError) as refused:
        make()
    assert refused.value.violations[0].field == field


def test_a_naive_anchor_is_a_programming_error() -> None:
    """Every instant names its zone."""
    with pytest.raises(ValueError, match="naive"):
        Cadence(MONTHLY, Alignment.CALENDAR, datetime(2024, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    "name",
    [
        "localtime",
        "posixrules",
        "Factory",
        "right/UTC",
        "posix/Europe/Paris",
        "",
        "Mars/Phobos",
        "../UTC",
        "Europe",
        "a" * 99,
    ],
)
def test_what_is_no_zone_of_its_own_is_refused(name: str) -> None:
    """`localtime` is whatever the machine says, and invoices must not depend on the machine."""
    with pytest.raises(InvalidArgumentError):
        calendar.zone(name)


@pytest.mark.parametrize("name", ["UTC", "Europe/Paris", "America/Argentina/Buenos_Aires", "EST", "Etc/GMT+12"])
def test_a_zone_is_known_by_its_iana_name(name: str) -> None:
    """The zone that is named, and no other."""
    assert calendar.zone(name).key == name
