"""Recurring metrics: the running value at a period's end is where the next period begins.

Carrying is done again whenever a closed period changes, and always gives the same: what is carried is replaced, and
what the next period has counted itself stays. A filter or group in which nothing is left is not carried on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy.engine import Connection

from services.kernel.ids import ChargeId, OrganizationId, SubscriptionId
from services.rating.pricing.charge_filter import Bucket
from services.rating.shared.bulk import rows_json
from services.rating.usage.aggregate import PeriodKey
from services.rating.usage.counting import CountedBucket


class Step(NamedTuple):
    """From one billing period into the next.

    Attributes:
        organization_id: the organization it belongs to.
        from_subscription, from_start: the period that ends.
        to_subscription, to_start: the period that begins; another subscription's after a change of plan.
        metric_code: a recurring metric.
        from_bucket: the aggregate that is carried; None for all, each to its own.
        to_bucket: the aggregate into which it is carried.
    """

    organization_id: OrganizationId
    from_subscription: SubscriptionId
    from_start: datetime
    to_subscription: SubscriptionId
    to_start: datetime
    metric_code: str
    from_bucket: CountedBucket | None = None
    to_bucket: CountedBucket | None = None

    def row(self) -> dict[str, Any]:
        """The step as a row of `_STEPS`."""
        source, target = self.from_bucket, self.to_bucket
        return {
            **self._asdict(),
            "from_bucket": None if source is None else source.key,
            "to_bucket": None if target is None else target.key,
            "charge_id": None if target is None else target.charge_id,
            "filter_key": None if target is None else target.bucket.filter_key,
            "group_values": None if target is None else target.bucket.group,
        }


_STEPS = (
    "json_to_recordset(%s::json) AS r(organization_id uuid, from_subscription uuid, from_start timestamptz, "
    "to_subscription uuid, to_start timestamptz, metric_code text, from_bucket text, to_bucket text, charge_id text, "
    "filter_key text, group_values jsonb)"
)
_OLD = (
    "usage_aggregates old ON old.organization_id = r.organization_id AND old.subscription_id = r.from_subscription "
    "AND old.period_start = r.from_start AND old.metric_code = r.metric_code "
    "AND (r.from_bucket IS NULL OR old.bucket = r.from_bucket)"
)
_NEW = (
    "usage_aggregates new ON new.organization_id = r.organization_id AND new.subscription_id = r.to_subscription "
    "AND new.period_start = r.to_start AND new.metric_code = r.metric_code "
    "AND new.bucket = coalesce(r.to_bucket, old.bucket)"
)
_AGGREGATES = f"""
INSERT INTO usage_aggregates AS kept (organization_id, subscription_id, period_start, metric_code, bucket, charge_id,
    filter_key, group_values, carried, shard)
SELECT old.organization_id, r.to_subscription, r.to_start, old.metric_code, coalesce(r.to_bucket, old.bucket),
    coalesce(r.charge_id, old.charge_id), coalesce(r.filter_key, old.filter_key),
    CASE WHEN r.to_bucket IS NULL THEN old.group_values ELSE r.group_values END,
    old.carried + old.held + old.total, old.shard
FROM {_STEPS} JOIN {_OLD} LEFT JOIN {_NEW}
WHERE new.bucket IS NOT NULL OR coalesce(r.to_bucket, old.bucket) = ''
    OR old.carried + old.held + old.total <> 0 OR old.present_count <> 0
ORDER BY 1, 2, 3, 4, 5
ON CONFLICT (organization_id, subscription_id, period_start, metric_code, bucket) DO UPDATE
SET carried = excluded.carried, revision = kept.revision + 1
"""
_DROP_VALUES = f"""
UPDATE usage_values v SET is_carried = false FROM {_STEPS} JOIN {_OLD} JOIN {_NEW}
WHERE v.organization_id = new.organization_id AND v.aggregate_id = new.aggregate_id AND v.is_carried
    AND NOT EXISTS (SELECT 1 FROM usage_values o WHERE o.organization_id = old.organization_id
        AND o.aggregate_id = old.aggregate_id AND o.value_key = v.value_key AND o.is_present)
"""
_DELETE_VALUES = f"""
DELETE FROM usage_values v USING {_STEPS} JOIN {_OLD} JOIN {_NEW}
WHERE v.organization_id = new.organization_id AND v.aggregate_id = new.aggregate_id
    AND NOT v.is_carried AND v.reference_count <= 0
"""
_CARRY_VALUES = f"""
INSERT INTO usage_values (organization_id, aggregate_id, value_key, reference_count, last_event, is_present, is_carried)
SELECT new.organization_id, new.aggregate_id, o.value_key, 0, '', true, true
FROM {_STEPS} JOIN {_OLD} JOIN {_NEW}
JOIN usage_values o ON o.organization_id = old.organization_id AND o.aggregate_id = old.aggregate_id AND o.is_present
ON CONFLICT (organization_id, aggregate_id, value_key) DO UPDATE SET is_carried = true
"""
_COUNT_VALUES = f"""
UPDATE usage_aggregates a SET present_count = (SELECT count(*) FROM usage_values v
    WHERE v.organization_id = a.organization_id AND v.aggregate_id = a.aggregate_id AND v.is_present)
FROM {_STEPS} JOIN {_OLD} JOIN {_NEW}
WHERE a.organization_id = new.organization_id AND a.subscription_id = new.subscription_id
    AND a.period_start = new.period_start AND a.metric_code = new.metric_code AND a.bucket = new.bucket
"""


def carry_sums(tx: Connection, steps: Sequence[Step]) -> None:
    """Carry over the running values of recurring sums."""
    if steps:
        tx.exec_driver_sql(_AGGREGATES, (rows_json(step.row() for step in steps),))


def carry_values(tx: Connection, steps: Sequence[Step]) -> None:
    """Carry over the present values of recurring unique counts."""
    if steps:
        rows = (rows_json(step.row() for step in steps),)
        for statement in (_AGGREGATES, _DROP_VALUES, _DELETE_VALUES, _CARRY_VALUES, _COUNT_VALUES):
            tx.exec_driver_sql(statement, rows)


_KEYS = "json_to_recordset(%s::json) AS r(organization_id uuid, subscription_id uuid, period_start timestamptz)"


def metrics_of(tx: Connection, periods: Iterable[PeriodKey]) -> dict[PeriodKey, set[str]]:
    """The codes of the metrics that were counted or carried in billing periods."""
    found: dict[PeriodKey, set[str]] = {key: set() for key in periods}
    rows = tx.exec_driver_sql(
        "SELECT a.organization_id::text, a.subscription_id::text, a.period_start, a.metric_code "
        f"FROM usage_aggregates a JOIN {_KEYS} USING (organization_id, subscription_id, period_start) "
        "WHERE a.bucket = ''",
        (rows_json(key._asdict() for key in found),),
    )
    for organization, subscription, start, code in rows:
        found[PeriodKey(OrganizationId(organization), SubscriptionId(subscription), start)].add(code)
    return found


def buckets_of_charges(tx: Connection, period: PeriodKey) -> dict[str, list[CountedBucket]]:
    """The filters and groups of the charges of a billing period, by metric."""
    rows = tx.exec_driver_sql(
        "SELECT metric_code, charge_id, filter_key, group_values FROM usage_aggregates "
        "WHERE organization_id = %s AND subscription_id = %s AND period_start = %s AND charge_id <> ''",
        tuple(period),
    )
    found: dict[str, list[CountedBucket]] = {}
    for code, charge_id, filter_key, group_values in rows:
        group = tuple((name, value) for name, value in group_values or ())
        found.setdefault(code, []).append(CountedBucket(ChargeId(charge_id), Bucket(filter_key, group)))
    return found


def need_carry(tx: Connection, periods: Iterable[PeriodKey], codes: Iterable[str]) -> None:
    """Record that the values which charges on metrics carry into billing periods must be counted from the log."""
    tx.exec_driver_sql(
        "UPDATE usage_aggregates a SET needs_carry = true, revision = a.revision + 1 "
        f"FROM {_KEYS} WHERE a.organization_id = r.organization_id AND a.subscription_id = r.subscription_id "
        "AND a.period_start = r.period_start AND a.metric_code = ANY(%s) AND a.bucket = ''",
        (rows_json(key._asdict() for key in periods), list(codes)),
    )


class Carried(NamedTuple):
    """The value that one filter and group of a charge carries into a billing period, by the log.

    Attributes:
        bucket: the charge's filter and group.
        running: the running value; 0 for a unique count.
        values: for a unique count, the keys of the present values; None for other metrics.
    """

    bucket: CountedBucket
    running: Decimal
    values: frozenset[str] | None = None


_SET = """
INSERT INTO usage_aggregates AS kept (organization_id, subscription_id, period_start, metric_code, bucket, charge_id,
    filter_key, group_values, carried, shard)
SELECT r.* FROM json_to_recordset(%s::json) AS r(organization_id uuid, subscription_id uuid, period_start timestamptz,
    metric_code text, bucket text, charge_id text, filter_key text, group_values jsonb, carried numeric, shard smallint)
ORDER BY 1, 2, 3, 4, 5
ON CONFLICT (organization_id, subscription_id, period_start, metric_code, bucket) DO UPDATE
SET carried = excluded.carried, revision = kept.revision + 1
RETURNING kept.bucket, kept.aggregate_id
"""
_VALUES = "json_to_recordset(%s::json) AS r(aggregate_id bigint, value_key uuid)"
_SET_VALUES = f"""
INSERT INTO usage_values (organization_id, aggregate_id, value_key, reference_count, last_event, is_present, is_carried)
SELECT %s::uuid, r.aggregate_id, r.value_key, 0, '', true, true FROM {_VALUES}
ON CONFLICT (organization_id, aggregate_id, value_key) DO UPDATE SET is_carried = true
"""
_RECOUNT_VALUES = """
UPDATE usage_aggregates a SET present_count = (SELECT count(*) FROM usage_values v
    WHERE v.organization_id = a.organization_id AND v.aggregate_id = a.aggregate_id AND v.is_present)
WHERE a.organization_id = %s AND a.aggregate_id = ANY(%s)
"""


def set_carried(tx: Connection, period: PeriodKey, metric_code: str, shard: int, carried: Sequence[Carried]) -> None:
    """Store the values that the charges on a metric carry into a period, found in the log, and that they are known."""
    rows = [
        {
            **period._asdict(),
            "metric_code": metric_code,
            "bucket": carry.bucket.key,
            "charge_id": carry.bucket.charge_id,
            "filter_key": carry.bucket.bucket.filter_key,
            "group_values": carry.bucket.bucket.group,
            "carried": carry.running,
            "shard": shard,
        }
        for carry in carried
    ]
    ids = {row.bucket: row.aggregate_id for row in tx.exec_driver_sql(_SET, (rows_json(rows),))}
    distinct = {ids[carry.bucket.key]: carry.values for carry in carried if carry.values is not None}
    if distinct:
        _set_values(tx, period.organization_id, distinct)
    tx.exec_driver_sql(
        "UPDATE usage_aggregates SET needs_carry = false WHERE organization_id = %s AND subscription_id = %s "
        "AND period_start = %s AND metric_code = %s AND bucket = ''",
        (*period, metric_code),
    )


def _set_values(tx: Connection, organization: OrganizationId, distinct: Mapping[int, frozenset[str]]) -> None:
    """Replace the carried values of aggregates by exactly these."""
    aggregates = list(distinct)
    rows = [{"aggregate_id": number, "value_key": key} for number, keys in distinct.items() for key in sorted(keys)]
    tx.exec_driver_sql(
        "UPDATE usage_values SET is_carried = false WHERE organization_id = %s AND aggregate_id = ANY(%s) "
        "AND is_carried",
        (organization, aggregates),
    )
    tx.exec_driver_sql(_SET_VALUES, (organization, rows_json(rows)))
    tx.exec_driver_sql(
        "DELETE FROM usage_values WHERE organization_id = %s AND aggregate_id = ANY(%s) AND NOT is_carried "
        "AND reference_count <= 0",
        (organization, aggregates),
    )
    tx.exec_driver_sql(_RECOUNT_VALUES, (organization, aggregates))
