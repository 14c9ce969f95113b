"""Totals that rating announced, and what was added on each day. Written only by the follower of rating's log."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy.engine import Connection

from services.entitlements.domain.usage import Growth, UsageKey, UsageTotal
from services.entitlements.store.subscription import IS_PAST
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
    """Store totals, except where a newer revision is stored."""
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


def add(tx: Connection, growths: Sequence[Growth]) -> None:
    """Add growth to the days on which it occurred."""
    rows = [(*growth.key, day, units) for growth in growths for day, units in sorted(growth.days.items())]
    if rows:
        tx.exec_driver_sql(
            f"INSERT INTO usage_days AS d ({_KEY}, day, units) SELECT * FROM unnest(%s::uuid[], %s::uuid[], "
            f"%s::text[], %s::date[], %s::numeric[]) ON CONFLICT ({_KEY}, day) DO UPDATE SET "
            "units = d.units + excluded.units",
            tuple(list(column) for column in zip(*rows, strict=True)),
        )


def counting(
    tx: Connection, growths: Sequence[Growth], touched: Sequence[Collection[ResetWindow]]
) -> list[tuple[OrganizationId, str, str]]:
    """Organization, subscription and feature of the usage limits whose answers the growth changes.

    These are the limits of the subscription itself, and of every subscription that continues it.

    Args:
        tx: the transaction.
        growths: what has grown.
        touched: for each growth, the calendar windows that contain both the present and a day that grew.
    """
    rows = tx.exec_driver_sql(
        "SELECT DISTINCT e.organization_id::text, e.subscription_id::text, e.feature_code "
        "FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::boolean[], %s::text[]) "
        f"AS grown ({_KEY}, current, touched) "
        "JOIN subscriptions p ON p.organization_id = grown.organization_id "
        "AND p.subscription_id = grown.subscription_id "
        "JOIN subscriptions s ON s.organization_id = p.organization_id "
        "AND s.external_customer_id = p.external_customer_id "
        f"AND (s.subscription_id = p.subscription_id OR ({IS_PAST})) "
        "JOIN entitlements e ON e.organization_id = s.organization_id AND e.subscription_id = s.subscription_id "
        "AND e.metric_code = grown.metric_code "
        "WHERE NOT e.removed AND e.type = 'usage_limit' AND CASE e.reset WHEN 'never' THEN true "
        "WHEN 'billing_period' THEN grown.current OR s.subscription_id <> p.subscription_id "
        "ELSE e.reset = ANY(string_to_array(grown.touched, ' ')) END",
        (
            *_columns([growth.key for growth in growths]),
            [growth.is_current for growth in growths],
            [" ".join(sorted(windows)) for windows in touched],
        ),
    )
    return [(OrganizationId(row[0]), row[1], row[2]) for row in rows]


def _columns(keys: Sequence[UsageKey]) -> tuple[list[str], list[str], list[str]]:
    return (
        [key.organization_id for key in keys],
        [key.subscription_id for key in keys],
        [key.metric_code for key in keys],
    )
