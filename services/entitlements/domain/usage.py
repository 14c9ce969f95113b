"""Units that rating announced: totals of billing periods, and what was added to each day.

A billing period, and a limit that never resets, are counted by totals, which are exact and absolute. A day, a week and
a month are counted by the days on which usage occurred, whenever it arrives: late usage counts in the window of its
time, and a correction lowers the window of what it corrects. Days count before the metric's rounding. For metrics that
do not add up (max, unique count, latest), a day counts by how much its events raised the period's total.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from services.kernel.ids import OrganizationId
from services.kernel.money import ZERO
from services.kernel.period import Period


class UsageKey(NamedTuple):
    """Whose units they are: one metric of one subscription."""

    organization_id: OrganizationId
    subscription_id: str
    metric_code: str


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """Units of one metric in one billing period, as rating announced them.

    Attributes:
        key: whose units they are.
        period: the billing period.
        units: all units so far.
        revision: the newest revision is the valid one.
        days: what the announcement adds to each local day; None if units of the metric do not add up.
    """

    key: UsageKey
    period: Period
    units: Decimal
    revision: int
    days: Mapping[date, Decimal | None] = field(default_factory=dict)

    @property
    def place(self) -> tuple[UsageKey, datetime]:
        """The place in which totals replace one another: whose units they are, and the start of their period."""
        return self.key, self.period.start


@dataclass(frozen=True, slots=True)
class Growth:
    """What new totals add to the days of one key.

    Attributes:
        key: whose units they are.
        days: the units added to each local day, which may be negative.
        is_current: whether the total of the current billing period changed.
    """

    key: UsageKey
    days: Mapping[date, Decimal]
    is_current: bool


def newest(totals: Iterable[UsageTotal]) -> dict[tuple[UsageKey, datetime], UsageTotal]:
    """The newest revision of each total, by key and start of its period."""
    found: dict[tuple[UsageKey, datetime], UsageTotal] = {}
    for total in totals:
        if total.place not in found or total.revision > found[total.place].revision:
            found[total.place] = total
    return found


def growths(
    totals: Sequence[UsageTotal],
    known: Mapping[tuple[UsageKey, datetime], tuple[Decimal, int]],
    times: Mapping[OrganizationId, datetime],
) -> list[Growth]:
    """What announced totals add to the days of each key, in order of the keys; unchanged keys are left out.

    Args:
        totals: the totals in the order of their announcement; a revision that is known already adds nothing.
        known: the units and revision known so far for each place.
        times: the organizations' times.
    """
    seen = dict(known)
    days: dict[UsageKey, dict[date, Decimal]] = {}
    current: set[UsageKey] = set()
    for total in totals:
        units, revision = seen.get(total.place, (ZERO, -1))
        if total.revision <= revision:
            continue
        seen[total.place] = total.units, total.revision
        added = days.setdefault(total.key, {})
        for day, difference in _differences(total, total.units - units):
            added[day] = added.get(day, ZERO) + difference
        if total.units != units and times[total.key.organization_id] in total.period:
            current.add(total.key)
    grown = (
        Growth(key, {day: units for day, units in added.items() if units}, key in current)
        for key, added in days.items()
    )
    return sorted((growth for growth in grown if growth.days or growth.is_current), key=lambda growth: growth.key)


def _differences(total: UsageTotal, growth: Decimal) -> Iterable[tuple[date, Decimal]]:
    """What a total adds to each day; units that do not add up go to the last day that was announced."""
    if any(units is None for units in total.days.values()):
        return [(max(total.days), growth)]
    return [(day, units) for day, units in total.days.items() if units is not None]
