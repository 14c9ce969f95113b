"""Sums of cost and of revenue, from the ledger with its hourly sums and from the accruals.

**Revenue of a window.** An accrual is an absolute amount over a span, spread evenly by seconds: `earned(t)` grows from
0 at the start of the span to the whole amount at its end, and a window earns `earned(end) - earned(start)`. `earned` is
rounded to 12 decimals, never the difference, so adjacent windows sum to the window around them exactly.

- A base price is spread over its whole period.
- Usage is only known as the amount so far, F(now). It is spread over the part of the period that has passed,
  [start, now), since nothing of it was earned later. When more usage arrives the amount grows and the spread is made
  anew, so a past window may move until its period is closed; the period's sum is the invoice's at any time.
- An amount that belongs to an instant (a span of no length) is earned at that instant.

Amounts are scaled before they are divided, because PostgreSQL keeps only 16 digits of a quotient of short numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from sqlalchemy.engine import Connection

from services.kernel.period import Period

_HOUR = timedelta(hours=1)


class GroupBy(StrEnum):
    """How figures are grouped."""

    NOTHING = "nothing"
    CUSTOMER = "customer"
    METRIC = "metric"
    PLAN = "plan"
    MODEL = "model"
    PROVIDER = "provider"


@dataclass(frozen=True)
class Window:
    """The spans over which figures are summed.

    Attributes:
        organization_id: UUID as text.
        steps: adjacent spans in order of time; one for a plain sum.
        now: the organization's time.
        is_open: whether the last step has no end; it then includes `now` itself and everything with a later time.
        external_customer_id: only this customer's figures; empty means all.
    """

    organization_id: str
    steps: Sequence[Period]
    now: datetime
    is_open: bool = False
    external_customer_id: str = ""


@dataclass(frozen=True)
class CostSum:
    """The cost of a group in a step; `step` counts from 0."""

    step: int
    group: str
    currency: str
    cost: Decimal
    units: Decimal
    entry_count: int
    unpriced_count: int


@dataclass(frozen=True)
class RevenueSum:
    """The revenue of a group in a step; `model` and `provider` are empty if the charge is not grouped by them."""

    step: int
    external_customer_id: str
    metric_code: str
    plan_code: str
    provider: str
    model: str
    currency: str
    revenue: Decimal


@dataclass(frozen=True)
class UnitSum:
    """How many units of a metric a customer's events of one provider and model had."""

    external_customer_id: str
    metric_code: str
    provider: str
    model: str
    units: Decimal


_COST_GROUP = {
    GroupBy.NOTHING: "''",
    GroupBy.CUSTOMER: "e.external_customer_id",
    GroupBy.METRIC: "e.code",
    GroupBy.PLAN: "coalesce(s.plan_code, '')",
    GroupBy.MODEL: "e.model",
    GroupBy.PROVIDER: "e.provider",
}
# Whole hours come from their sums, the rest at both ends from the ledger itself.
_COSTS = """
WITH costs AS (
    SELECT h.hour AS at, h.* FROM cost_hours h WHERE h.organization_id = %(organization)s
        AND h.hour >= %(first_hour)s AND (%(open)s OR h.hour < %(last_hour)s)
    UNION ALL
    SELECT e.occurred_at, e.organization_id, e.occurred_at, e.external_customer_id, e.subscription_id, e.source, e.code,
        e.provider, e.model, e.token_type, e.currency, e.units, coalesce(e.amount, 0), e.entry_count,
        CASE WHEN e.amount IS NULL THEN e.entry_count ELSE 0 END
    FROM (VALUES (%(start)s::timestamptz, %(first_edge)s::timestamptz), (%(last_hour)s, %(last_edge)s))
        AS edge(since, until) JOIN cost_entries e
        ON e.occurred_at >= edge.since AND e.occurred_at < edge.until
    WHERE e.organization_id = %(organization)s)
"""
_PLAN_JOIN = "LEFT JOIN subscriptions s ON s.organization_id = e.organization_id AND s.id = e.subscription_id"
_WHERE = "WHERE (%(customer)s = '' OR e.external_customer_id = %(customer)s)"

# Revenue is grouped only as finely as necessary; the other columns of a revenue sum are empty.
_REVENUE_GROUP = {
    GroupBy.NOTHING: (),
    GroupBy.CUSTOMER: ("external_customer_id",),
    GroupBy.METRIC: ("metric_code",),
    GroupBy.PLAN: ("plan_code",),
    GroupBy.MODEL: ("external_customer_id", "metric_code", "provider", "model"),
    GroupBy.PROVIDER: ("external_customer_id", "metric_code", "provider", "model"),
}
_REVENUE_COLUMNS = ("external_customer_id", "metric_code", "plan_code", "provider", "model")
_REVENUE_SQL = """
WITH entries AS (
    SELECT a.external_customer_id, a.plan_code, a.currency, x.metric_code, x.provider, x.model, x.amount, x.span_start,
        x.kind = 'usage' AS is_usage,
        CASE x.kind WHEN 'usage' THEN LEAST(x.span_end, GREATEST(x.span_start, %(now)s)) ELSE x.span_end END AS span_to
    FROM accruals a JOIN accrual_entries x USING (organization_id, subscription_id, period_start)
    WHERE a.organization_id = %(organization)s AND (%(customer)s = '' OR a.external_customer_id = %(customer)s)),
steps AS (
    SELECT *, %(open)s AND step = cardinality(%(starts)s::timestamptz[]) AS is_open
    FROM unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[]) WITH ORDINALITY AS s(since, until, step)),
earned AS (
    SELECT steps.step, entries.*,
        CASE WHEN is_open AND (is_usage OR until >= span_to) THEN amount
            WHEN until <= span_start THEN 0 WHEN until >= span_to THEN amount
            ELSE round(round(amount * extract(epoch FROM until - span_start), 30)
                / extract(epoch FROM span_to - span_start), 12) END
        - CASE WHEN since <= span_start THEN 0 WHEN since >= span_to THEN amount
            ELSE round(round(amount * extract(epoch FROM since - span_start), 30)
                / extract(epoch FROM span_to - span_start), 12) END AS revenue
    FROM entries JOIN steps ON (until > span_start OR is_open) AND since <= span_to)
SELECT step - 1 AS step, {columns}, currency, sum(revenue) AS revenue FROM earned
WHERE revenue <> 0 GROUP BY step, {group} currency ORDER BY step
"""


def _costs_sql(group: str, join: str) -> str:
    return (
        f"{_COSTS} SELECT width_bucket(e.at, %(starts)s::timestamptz[]) - 1, {group}, e.currency, "
        "sum(e.amount), sum(e.units), sum(e.entry_count)::bigint, sum(e.unpriced_count)::bigint "
        f"FROM costs e {join} {_WHERE} GROUP BY 1, 2, 3 "
        "HAVING sum(e.entry_count) <> 0 OR sum(e.units) <> 0 OR sum(e.amount) <> 0"
    )


_COST_SUMS = {
    group_by: _costs_sql(group, _PLAN_JOIN if group_by is GroupBy.PLAN else "")
    for group_by, group in _COST_GROUP.items()
}


def _revenue_sql(wanted: Sequence[str]) -> str:
    columns = ", ".join(name if name in wanted else f"'' AS {name}" for name in _REVENUE_COLUMNS)
    return _REVENUE_SQL.format(columns=columns, group="".join(f"{name}, " for name in wanted))


_REVENUES = {group_by: _revenue_sql(columns) for group_by, columns in _REVENUE_GROUP.items()}


def costs(tx: Connection, window: Window, group_by: GroupBy) -> list[CostSum]:
    """What every group cost in each step of the window."""
    return [CostSum(*row) for row in tx.exec_driver_sql(_COST_SUMS[group_by], _parameters(window))]


def revenues(tx: Connection, window: Window, group_by: GroupBy) -> list[RevenueSum]:
    """What was earned in each step of the window, as finely as the grouping needs."""
    return [RevenueSum(*row) for row in tx.exec_driver_sql(_REVENUES[group_by], _parameters(window))]


def units(tx: Connection, window: Window) -> list[UnitSum]:
    """The units of every customer's metrics by provider and model, over the whole window."""
    rows = tx.exec_driver_sql(
        f"{_COSTS} SELECT e.external_customer_id, e.code, e.provider, e.model, sum(e.units) FROM costs e {_WHERE} "
        "AND e.source = 'usage_event' GROUP BY 1, 2, 3, 4",
        _parameters(window),
    )
    return [UnitSum(*row) for row in rows]


def _parameters(window: Window) -> dict[str, object]:
    start, end = window.steps[0].start, window.steps[-1].end
    first_hour = _hour(start) if start == _hour(start) else _hour(start) + _HOUR
    last_hour = max(_hour(end), first_hour)
    return {
        "organization": window.organization_id,
        "starts": [step.start for step in window.steps],
        "ends": [step.end for step in window.steps],
        "start": start,
        "end": end,
        "first_hour": first_hour,
        "last_hour": last_hour,
        "first_edge": first_hour if window.is_open else min(first_hour, end),
        "last_edge": last_hour if window.is_open else end,
        "now": window.now,
        "open": window.is_open,
        "customer": window.external_customer_id,
    }


def _hour(instant: datetime) -> datetime:
    return instant.replace(minute=0, second=0, microsecond=0)
