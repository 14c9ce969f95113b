"""Totals that rating announced, and their growth by window. Written by the one follower of rating's log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy.engine import Connection

from services.entitlements.domain.usage import CALENDAR_WINDOWS, Growth, UsageKey, UsageTotal
from services.kernel.cadence import ResetWindow
from services.kernel.ids import OrganizationId

_KEY = "organization_id, subscription_id, metric_code"
_TEXT_KEY = "organization_id::text, subscription_id::text, metric_code"


def known(
    tx: Connection, places: Sequence[tuple[UsageKey, datetime]]
) -> dict[tuple[UsageKey, datetime], tuple[Decimal, int]]:
    """Units and revision of stored totals, by key and start of the period."""
    rows = tx.exec_driver_sql(
        f"SELECT {_TEXT_KEY}, period_start, units, revision FROM usage_totals "
        "JOIN unnest(%s::uuid[], %s::uuid[], %s::text[], %s::timestamptz[]) "
        f"AS wanted ({_KEY}, period_start) USING ({_KEY}, period_start)",
        (*_columns([key for key, _ in places]), [start for _, start in places]),
    )
    return {(UsageKey(*row[:3]), row[3]): (row[4], row[5]) for row in rows}


def save(tx: Connection, totals: Sequence[UsageTotal]) -> None:
    """Store totals; a newer revision stays."""
    tx.exec_driver_sql(
        f"INSERT INTO usage_totals ({_KEY}, period_start, period_end, units, revision) "
        "SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::timestamptz[], %s::timestamptz[], "
        "%s::numeric[], %s::bigint[]) "
        f"ON CONFLICT ({_KEY}, period_start) DO UPDATE SET period_end = excluded.period_end, "
        "units = excluded.units, revision = excluded.revision WHERE usage_totals.revision < excluded.revision",
        (
            *_columns([total.key for total in totals]),
            [total.period.start for total in totals],
            [total.period.end for total in totals],
            [total.units for total in totals],
            [total.revision for total in totals],
        ),
    )


# A window that begins later starts its count anew; an earlier one (a clock that is behind) adds to the later.
_ADD = ", ".join(
    f"{reset}_units = excluded.{reset}_units + "
    f"CASE WHEN excluded.{reset}_start > c.{reset}_start THEN 0 ELSE c.{reset}_units END, "
    f"{reset}_start = GREATEST(excluded.{reset}_start, c.{reset}_start)"
    for reset in CALENDAR_WINDOWS
)


def add(tx: Connection, growths: Sequence[Growth]) -> None:
    """Add growth to the counts of its windows."""
    windows = [[growth.windows[reset] for growth in growths] for reset in CALENDAR_WINDOWS]
    tx.exec_driver_sql(
        f"INSERT INTO usage_counts AS c ({_KEY}, ever_units, day_start, day_units, week_start, week_units, "
        "month_start, month_units) SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::numeric[], "
        "%s::timestamptz[], %s::numeric[], %s::timestamptz[], %s::numeric[], %s::timestamptz[], %s::numeric[]) "
        f"ON CONFLICT ({_KEY}) DO UPDATE SET ever_units = c.ever_units + excluded.ever_units, {_ADD}",
        (
            *_columns([growth.key for growth in growths]),
            [growth.ever for growth in growths],
            *(column for window in windows for column in ([p.start for p, _ in window], [u for _, u in window])),
        ),
    )


def counting(tx: Connection, growths: Sequence[Growth]) -> list[tuple[OrganizationId, str, str]]:
    """Organization, subscription and feature of the usage limits whose answers the growth alters."""
    rows = tx.exec_driver_sql(
        "SELECT e.organization_id::text, e.subscription_id::text, e.feature_code FROM entitlements e "
        "JOIN unnest(%s::uuid[], %s::uuid[], %s::text[], %s::boolean[]) "
        f"AS grown ({_KEY}, current) USING ({_KEY}) "
        "WHERE NOT e.removed AND e.type = 'usage_limit' AND (grown.current OR e.reset <> %s)",
        (
            *_columns([growth.key for growth in growths]),
            [growth.is_current for growth in growths],
            ResetWindow.BILLING_PERIOD,
        ),
    )
    return [(OrganizationId(row[0]), row[1], row[2]) for row in rows]


def _columns(keys: Sequence[UsageKey]) -> tuple[list[str], list[str], list[str]]:
    return (
        [key.organization_id for key in keys],
        [key.subscription_id for key in keys],
        [key.metric_code for key in keys],
    )
