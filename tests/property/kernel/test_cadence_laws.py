"""Laws of the billing calendar, over years, zones, clock changes, leap days and month ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.kernel.cadence import (
    MAX_EVERY,
    YEARLY,
    Alignment,
    Cadence,
    CadenceUnit,
    Interval,
    Seam,
    days_between,
    local_date,
    midnight,
    monthly_charges,
    period_containing,
    previous_period,
    same_wall_time,
)

ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Paris",
        "America/New_York",
        "America/Goose_Bay",
        "America/Havana",
        "America/Sao_Paulo",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "Pacific/Apia",
        "Asia/Beirut",
        "Pacific/Kiritimati",
    ]
)
INSTANTS = st.datetimes(datetime(2005, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
INTERVALS = st.one_of(
    st.builds(Interval, st.sampled_from(CadenceUnit), st.integers(1, 40)),
    st.builds(Interval, st.just(CadenceUnit.DAY), st.integers(1, MAX_EVERY)),
)
CADENCES = st.builds(Cadence, INTERVALS, st.sampled_from(Alignment), INSTANTS, ZONES)


@given(CADENCES, INSTANTS)
def test_every_instant_is_in_exactly_one_period(cadence: Cadence, at: datetime) -> None:
    """The period of an instant holds it, and is the period of both its ends."""
    period = period_containing(cadence, at)
    assert at in period
    assert period_containing(cadence, period.start) == period
    assert period_containing(cadence, period.end - timedelta(microseconds=1)) == period


@given(CADENCES, INSTANTS)
def test_periods_have_no_gap_and_no_overlap(cadence: Cadence, at: datetime) -> None:
    """Each period begins where the one before ends, for as long as one looks."""
    period = period_containing(cadence, at)
    for _ in range(14):
        following = period_containing(cadence, period.end)
        assert following.start == period.end
        assert previous_period(cadence, following) == period
        period = following


@given(CADENCES, INSTANTS)
def test_periods_begin_as_a_local_day_begins(cadence: Cadence, at: datetime) -> None:
    """A period never cuts a customer's day in two, so its days are those of its parts."""
    period = period_containing(cadence, at)
    assert midnight(local_date(period.start, cadence.timezone), cadence.timezone) == period.start
    following = period_containing(cadence, period.end)
    both = days_between(type(period)(period.start, following.end), cadence.timezone)
    parts = days_between(period, cadence.timezone) + days_between(following, cadence.timezone)
    # Samoa's calendar has no 30 December 2011: a span over it has a date more than it has days.
    skipped = cadence.timezone == "Pacific/Apia" and both - parts == 1
    assert both == parts or skipped


@given(INSTANTS, ZONES, st.sampled_from(Alignment), INSTANTS)
def test_months_of_charges_fill_a_year_exactly(
    anchor: datetime, timezone: str, alignment: Alignment, at: datetime
) -> None:
    """Twelve charge periods make a yearly one, whatever month end the anchor is on."""
    yearly = Cadence(YEARLY, alignment, anchor, timezone)
    year = period_containing(yearly, at)
    month = period_containing(monthly_charges(yearly), year.start)
    assert month.start == year.start
    for _ in range(11):
        month = period_containing(monthly_charges(yearly), month.end)
    assert month.end == year.end


@given(CADENCES, INSTANTS, st.lists(st.tuples(ZONES, st.integers(1, 4)), min_size=1, max_size=4))
def test_a_new_zone_leaves_no_gap_and_no_overlap(cadence: Cadence, at: datetime, moves: list[tuple[str, int]]) -> None:
    """However often the zone changes: each period begins where the one before ended, in the zone of that one."""
    period = period_containing(cadence, at)
    for timezone, count in moves:
        seam = Seam(local_date(period.end, cadence.timezone), period.end)
        anchor = same_wall_time(cadence.anchor, cadence.timezone, timezone)
        cadence = replace(cadence, anchor=anchor, timezone=timezone, seam=seam)
        for _ in range(count):
            following = period_containing(cadence, period.end)
            assert following.start == period.end < following.end
            assert period_containing(cadence, following.end - timedelta(microseconds=1)) == following
            period = following


# Zones in which every date exists.
WITHOUT_SKIPPED_DAYS = st.sampled_from(["UTC", "America/New_York", "Asia/Kathmandu", "America/Sao_Paulo", "Etc/GMT+12"])


@given(INTERVALS, st.sampled_from(Alignment), INSTANTS, INSTANTS, WITHOUT_SKIPPED_DAYS, WITHOUT_SKIPPED_DAYS)
def test_a_new_zone_keeps_the_dates_of_boundaries(
    interval: Interval, alignment: Alignment, anchor: datetime, at: datetime, before: str, after: str
) -> None:
    """Periods end on the dates on which they would have ended; none is left out, and there is none of a few hours."""
    cadence = Cadence(interval, alignment, anchor, before)
    old = period_containing(cadence, at)
    seam = Seam(local_date(old.end, before), old.end)
    moved = replace(cadence, anchor=same_wall_time(anchor, before, after), timezone=after, seam=seam)
    old, new = period_containing(cadence, old.end), period_containing(moved, old.end)
    for _ in range(3):
        assert local_date(new.end, after) == local_date(old.end, before)
        old, new = period_containing(cadence, old.end), period_containing(moved, new.end)
