"""Units that rating announced, counted by the windows limits reset in.

Rating announces totals of billing periods, not single events. So a day, a week, a month and "ever" are counted here by
the growth of those totals: what a total grew by is counted in the windows that hold the organization's time when it
arrives. A correction lowers the window it arrives in. Growth of a billing period that lies wholly before a window (a
late event for a closed period) is not counted in it. For metrics that do not add up (max, unique count) a window shows
by how much the period's total rose within it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from services.entitlements.domain.subscription import calendar_windows
from services.kernel.cadence import ResetWindow
from services.kernel.ids import OrganizationId
from services.kernel.money import ZERO
from services.kernel.period import Period

CALENDAR_WINDOWS = (ResetWindow.DAY, ResetWindow.WEEK, ResetWindow.MONTH)


class UsageKey(NamedTuple):
    """Whose units: one metric of one subscription."""

    organization_id: OrganizationId
    subscription_id: str
    metric_code: str


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """Units of one metric in one billing period, as rating announced them.

    Attributes:
        key: whose units.
        period: the billing period.
        units: all of them so far.
        revision: the newest is the truth.
    """

    key: UsageKey
    period: Period
    units: Decimal
    revision: int


@dataclass(frozen=True, slots=True)
class Growth:
    """What new totals add to the counts of one key, which may be less than nothing.

    Attributes:
        key: whose units.
        ever: added to what never resets.
        windows: window and added units by reset.
        is_current: whether the total of the billing period that holds the present changed.
    """

    key: UsageKey
    ever: Decimal
    windows: Mapping[ResetWindow, tuple[Period, Decimal]]
    is_current: bool


def newest(totals: Iterable[UsageTotal]) -> dict[tuple[UsageKey, datetime], UsageTotal]:
    """The newest revision of each total, by key and start of its period."""
    found: dict[tuple[UsageKey, datetime], UsageTotal] = {}
    for total in totals:
        place = total.key, total.period.start
        if place not in found or total.revision > found[place].revision:
            found[place] = total
    return found


def growth(
    key: UsageKey, changes: Iterable[tuple[UsageTotal, Decimal]], *, timezone: str, at: datetime
) -> Growth | None:
    """What changed totals of one key add to its counts; None where their units stayed the same.

    Args:
        key: whose units.
        changes: each new total with the units that were known of its period before.
        timezone: IANA zone the customer's days are counted in.
        at: the organization's time.
    """
    grown = [(total.period, total.units - before) for total, before in changes if total.units != before]
    if not grown:
        return None
    windows = calendar_windows(timezone, at)
    return Growth(
        key,
        sum((units for _, units in grown), ZERO),
        {reset: (window, _within(window, grown)) for reset, window in windows.items()},
        any(at in period for period, _ in grown),
    )


def _within(window: Period, grown: Iterable[tuple[Period, Decimal]]) -> Decimal:
    return sum((units for period, units in grown if window.overlap(period) is not None), ZERO)
