"""The distinct values of unique counts: one row for each value, so that a million of them cost a batch nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.engine import Connection

from services.rating.pricing.aggregation import Presence
from services.rating.shared.bulk import rows_json, upsert_sql
from services.rating.usage.aggregate import UsageAggregate
from services.rating.usage.counting import ValueChange

_KEY_TYPES = {"organization_id": "uuid", "aggregate_id": "bigint", "value_key": "uuid"}
_COLUMNS = {
    **_KEY_TYPES,
    "reference_count": "bigint",
    "last_at": "timestamptz",
    "last_event": "text",
    "is_present": "boolean",
    "is_carried": "boolean",
}
_KEY = ", ".join(_KEY_TYPES)
_WANTED = "json_to_recordset(%s::json) AS r(organization_id uuid, aggregate_id bigint, value_key uuid)"
_READ = f"""
SELECT v.aggregate_id, replace(v.value_key::text, '-', ''), v.reference_count, v.last_at, v.last_event, v.is_present,
    v.is_carried
FROM usage_values v JOIN {_WANTED} USING ({_KEY})
"""
_WRITE = upsert_sql(
    "usage_values",
    _COLUMNS,
    _KEY,
    "DO UPDATE SET reference_count = excluded.reference_count, last_at = excluded.last_at, "
    "last_event = excluded.last_event, is_present = excluded.is_present, is_carried = excluded.is_carried",
)
_DELETE = f"DELETE FROM usage_values WHERE ({_KEY}) IN (SELECT {_KEY} FROM {_WANTED})"
_COUNT = """
UPDATE usage_aggregates a SET present_count = r.present_count, needs_recount = r.needs_recount
FROM json_to_recordset(%s::json) AS r(organization_id uuid, subscription_id uuid, period_start timestamptz,
    metric_code text, bucket text, present_count bigint, needs_recount boolean)
WHERE a.organization_id = r.organization_id AND a.subscription_id = r.subscription_id
    AND a.period_start = r.period_start AND a.metric_code = r.metric_code AND a.bucket = r.bucket
"""
# A carried-over value comes before every event of its period.
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


def add(tx: Connection, changes: Sequence[tuple[UsageAggregate, Mapping[str, ValueChange]]]) -> list[UsageAggregate]:
    """Merge a batch's changes of distinct values; returns the aggregates with their new number of present values."""
    if not changes:
        return []
    known = _read(tx, changes)
    written: list[dict[str, Any]] = []
    gone: list[dict[str, Any]] = []
    counted = []
    for aggregate, values in changes:
        present, stale = 0, False
        for key, change in values.items():
            before = known.get((aggregate.aggregate_id, key))
            after, is_stale = _merge(before, change)
            present += (after is not None and after.is_present) - (before is not None and before.is_present)
            stale = stale or is_stale
            (gone if after is None else written).append(_row(aggregate, key, after))
        counted.append(_recounted(aggregate, present, stale=stale))
    if written:
        tx.exec_driver_sql(_WRITE, (rows_json(written),))
    if gone:
        tx.exec_driver_sql(_DELETE, (rows_json(gone),))
    _save_counts(tx, counted)
    return counted


_FORGET = """
DELETE FROM usage_values WHERE organization_id = %s AND aggregate_id = %s AND NOT is_carried
"""
_ONLY_CARRIED = """
UPDATE usage_values SET reference_count = 0, last_at = NULL, last_event = '', is_present = true
WHERE organization_id = %s AND aggregate_id = %s
"""


def replace_all(tx: Connection, aggregate: UsageAggregate, changes: Mapping[str, ValueChange]) -> UsageAggregate:
    """Store exactly these values, and the carried-over ones; returns the aggregate with its number of values."""
    key = (aggregate.period.organization_id, aggregate.aggregate_id)
    tx.exec_driver_sql(_FORGET, key)
    carried = tx.exec_driver_sql(_ONLY_CARRIED, key).rowcount
    return add(tx, [(replace(aggregate, present_count=carried), changes)])[0]


def _recounted(aggregate: UsageAggregate, change: int, *, stale: bool) -> UsageAggregate:
    return replace(
        aggregate, present_count=aggregate.present_count + change, needs_recount=aggregate.needs_recount or stale
    )


def _save_counts(tx: Connection, counted: Sequence[UsageAggregate]) -> None:
    """Store the numbers of present values; the preceding upsert has locked the rows."""
    rows = [
        {
            **aggregate.period._asdict(),
            "metric_code": aggregate.metric_code,
            "bucket": aggregate.counted.key,
            "present_count": aggregate.present_count,
            "needs_recount": aggregate.needs_recount,
        }
        for aggregate in counted
    ]
    tx.exec_driver_sql(_COUNT, (rows_json(rows),))


def _merge(before: Presence | None, change: ValueChange) -> tuple[Presence | None, bool]:
    """A value's presence after a batch, None if no event names it; and whether its most recent event was voided."""
    merged = before if change.presence is None else _joined(before, change)
    if merged is None:
        return None, False
    references = (before.references if before else 0) + change.references
    if references <= 0 and not merged.is_carried:
        return None, False
    if references <= 0:
        return Presence(0, _BEFORE_ALL, "", is_present=True, is_carried=True), False
    return merged._replace(references=references), merged.event_id in change.voided_events


def _joined(before: Presence | None, change: ValueChange) -> Presence:
    assert change.presence is not None  # noqa: S101 - the caller has looked
    return change.presence if before is None else before.merge(change.presence)


def _read(
    tx: Connection, changes: Sequence[tuple[UsageAggregate, Mapping[str, ValueChange]]]
) -> dict[tuple[int, str], Presence]:
    wanted = [_row(aggregate, key, None) for aggregate, values in changes for key in values]
    rows = tx.exec_driver_sql(_READ, (rows_json(wanted),))
    return {
        (aggregate_id, key): Presence(
            references, at or _BEFORE_ALL, event, is_present=is_present, is_carried=is_carried
        )
        for aggregate_id, key, references, at, event, is_present, is_carried in rows
    }


def _row(aggregate: UsageAggregate, key: str, presence: Presence | None) -> dict[str, Any]:
    row = {
        "organization_id": aggregate.period.organization_id,
        "aggregate_id": aggregate.aggregate_id,
        "value_key": key,
    }
    if presence is None:
        return row
    return {
        **row,
        "reference_count": presence.references,
        "last_at": None if presence.at == _BEFORE_ALL else presence.at,
        "last_event": presence.event_id,
        "is_present": presence.is_present,
        "is_carried": presence.is_carried,
    }
