"""Accrued revenue: the newest revision of each subscription's billing period."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.engine import Connection

from services.chassis.columns import texts, times, words
from services.margin.domain.revenue import Accrual

# In one order, so that two writers never wait for each other in a circle.
_REPLACE = """
INSERT INTO accruals (organization_id, subscription_id, period_start, period_end, revision, external_customer_id,
    plan_code, currency)
SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::timestamptz[], %s::timestamptz[], %s::bigint[], %s::text[],
    %s::text[], %s::text[])
ON CONFLICT (organization_id, subscription_id, period_start) DO UPDATE SET period_end = excluded.period_end,
    revision = excluded.revision, external_customer_id = excluded.external_customer_id,
    plan_code = excluded.plan_code, currency = excluded.currency
WHERE accruals.revision < excluded.revision
RETURNING organization_id::text, subscription_id::text, period_start
"""
_REMOVE = """
DELETE FROM accrual_entries e
USING unnest(%s::uuid[], %s::uuid[], %s::timestamptz[]) AS a(organization, subscription, period_start)
WHERE e.organization_id = a.organization AND e.subscription_id = a.subscription AND e.period_start = a.period_start
"""
_ADD = """
INSERT INTO accrual_entries (organization_id, subscription_id, period_start, position, kind, metric_code, span_start,
    span_end, amount, provider, model)
SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::timestamptz[], %s::integer[], %s::text[], %s::text[],
    %s::timestamptz[], %s::timestamptz[], %s::numeric[], %s::text[], %s::text[])
"""


def replace(tx: Connection, accruals: Iterable[Accrual]) -> None:
    """Replace earlier revisions by these accruals; accruals that are older than the stored ones change nothing.

    Locks the rows of the accruals, in one order.
    """
    newest: dict[tuple[str, str, object], Accrual] = {}
    for accrual in sorted(accruals, key=lambda accrual: (*_key(accrual), accrual.revision)):
        newest[_key(accrual)] = accrual
    known = list(newest.values())
    if not known:
        return
    rows = tx.exec_driver_sql(
        _REPLACE,
        (
            *_keys(known),
            times([accrual.billing_period.end for accrual in known]),
            words([accrual.revision for accrual in known]),
            texts([accrual.external_customer_id for accrual in known]),
            texts([accrual.plan_code for accrual in known]),
            texts([accrual.currency for accrual in known]),
        ),
    )
    _replace_entries(tx, [newest[tuple(row)] for row in rows])


def _key(accrual: Accrual) -> tuple[str, str, object]:
    return accrual.organization_id, accrual.subscription_id, accrual.billing_period.start


def _keys(accruals: list[Accrual]) -> tuple[str, str, str]:
    return (
        words([accrual.organization_id for accrual in accruals]),
        words([accrual.subscription_id for accrual in accruals]),
        times([accrual.billing_period.start for accrual in accruals]),
    )


def _replace_entries(tx: Connection, accruals: list[Accrual]) -> None:
    if not accruals:
        return
    tx.exec_driver_sql(_REMOVE, _keys(accruals))
    placed = [(accrual, position, entry) for accrual in accruals for position, entry in enumerate(accrual.entries)]
    entries = [entry for _, _, entry in placed]
    tx.exec_driver_sql(
        _ADD,
        (
            *_keys([accrual for accrual, _, _ in placed]),
            words([position for _, position, _ in placed]),
            words([entry.kind for entry in entries]),
            texts([entry.metric_code for entry in entries]),
            times([entry.period.start for entry in entries]),
            times([entry.period.end for entry in entries]),
            words([entry.amount for entry in entries]),
            texts([entry.provider for entry in entries]),
            texts([entry.model for entry in entries]),
        ),
    )
