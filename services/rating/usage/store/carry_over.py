"""Recurring metrics: the running value at a period's end is where the next one begins.

Carrying is done again whenever a closed period changes, and always gives the same: what is carried is replaced, and
what the next period has counted itself stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.engine import Connection

from services.kernel.ids import OrganizationId, SubscriptionId
from services.rating.shared.bulk import rows_json


class Step(NamedTuple):
    """From one billing period into the next.

    Attributes:
        organization_id: owner.
        from_subscription, from_start: the period that ends.
        to_subscription, to_start: the period that begins; another subscription's after a change of plan.
        metric_code: a recurring metric.
        only_total: whether only the metric's own aggregate is carried, since the charges are another plan's.
    """

    organization_id: OrganizationId
    from_subscription: SubscriptionId
    from_start: datetime
    to_subscription: SubscriptionId
    to_start: datetime
    metric_code: str
    only_total: bool = False


_STEPS = (
    "json_to_recordset(%s::json) AS r(organization_id uuid, from_subscription uuid, from_start timestamptz, "
    "to_subscription uuid, to_start timestamptz, metric_code text, only_total boolean)"
)
_OLD = (
    "usage_aggregates old ON old.organization_id = r.organization_id AND old.subscription_id = r.from_subscription "
    "AND old.period_start = r.from_start AND old.metric_code = r.metric_code "
    "AND (old.bucket = '' OR NOT r.only_total)"
)
_NEW = (
    "usage_aggregates new ON new.organization_id = r.organization_id AND new.subscription_id = r.to_subscription "
    "AND new.period_start = r.to_start AND new.metric_code = r.metric_code AND new.bucket = old.bucket"
)
_AGGREGATES = f"""
INSERT INTO usage_aggregates AS kept (organization_id, subscription_id, period_start, metric_code, bucket, charge_id,
    filter_key, group_values, carried, shard)
SELECT old.organization_id, r.to_subscription, r.to_start, old.metric_code, old.bucket, old.charge_id,
    old.filter_key, old.group_values, old.carried + old.total, old.shard
FROM {_STEPS} JOIN {_OLD} ORDER BY 1, 2, 3, 4, 5
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
    """Carry the running values of recurring sums."""
    if steps:
        tx.exec_driver_sql(_AGGREGATES, (rows_json(step._asdict() for step in steps),))


def carry_values(tx: Connection, steps: Sequence[Step]) -> None:
    """Carry the present values of recurring unique counts."""
    if steps:
        rows = (rows_json(step._asdict() for step in steps),)
        for statement in (_AGGREGATES, _DROP_VALUES, _DELETE_VALUES, _CARRY_VALUES, _COUNT_VALUES):
            tx.exec_driver_sql(statement, rows)
