"""Reading usage aggregates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy.engine import Connection, Row

from services.kernel.ids import ChargeId, OrganizationId, SubscriptionId
from services.rating.pricing.aggregation import Reading
from services.rating.pricing.charge_filter import Bucket
from services.rating.shared.bulk import rows_json
from services.rating.usage.aggregate import PeriodKey, UsageAggregate
from services.rating.usage.counting import CountedBucket
from services.rating.usage.store.transactions import stored_transactions
from services.wire.shards import SHARD_OF_LOG

# Every column that `aggregate_of_row` reads, from a table or statement that calls its row `kept`.
AGGREGATE_COLUMNS = """kept.organization_id::text AS organization_id, kept.subscription_id::text AS subscription_id,
    kept.period_start, kept.metric_code, kept.bucket, kept.aggregate_id, kept.charge_id, kept.filter_key,
    kept.group_values, kept.event_count, kept.total, kept.moment, kept.carried, kept.held, kept.largest,
    kept.latest_at, kept.latest_event, kept.latest_value, kept.present_count, kept.precise_amount, kept.digest,
    kept.shard, kept.revision, kept.needs_recount, kept.needs_carry, kept.transactions"""
_PERIODS = "json_to_recordset(%s::json) AS r(organization_id uuid, subscription_id uuid, period_start timestamptz)"
_READ = f"""
SELECT {AGGREGATE_COLUMNS}
FROM usage_aggregates kept JOIN {_PERIODS} USING (organization_id, subscription_id, period_start)
ORDER BY kept.organization_id, kept.subscription_id, kept.period_start, kept.metric_code, kept.bucket
"""


def of_periods(
    tx: Connection, periods: Iterable[PeriodKey], *, lock: bool = False
) -> dict[PeriodKey, list[UsageAggregate]]:
    """The aggregates of periods; with `lock`, no batch adds to them until the transaction ends."""
    found: dict[PeriodKey, list[UsageAggregate]] = {period: [] for period in periods}
    if not found:
        return found
    statement = f"{_READ} FOR UPDATE OF kept" if lock else _READ
    rows = tx.exec_driver_sql(statement, (rows_json(period._asdict() for period in found),))
    for kept in with_days(tx, [aggregate_of_row(row) for row in rows]):
        found[kept.period].append(kept)
    return found


_CHARGES_OF_PERIOD = (
    "FROM usage_aggregates "
    "WHERE organization_id = %s AND subscription_id = %s AND period_start = %s AND charge_id <> ''"
)


def count_of_charges(tx: Connection, period: PeriodKey) -> int:
    """How many aggregates the charges of a period have: one for each filter and group."""
    number: int = tx.exec_driver_sql(f"SELECT count(*) {_CHARGES_OF_PERIOD}", tuple(period)).scalar_one()
    return number


def keys_of_charges(tx: Connection, period: PeriodKey) -> set[str]:
    """The keys of the aggregates that the charges of a period have."""
    return set(tx.exec_driver_sql(f"SELECT bucket {_CHARGES_OF_PERIOD}", tuple(period)).scalars())


def with_days(tx: Connection, kept: Sequence[UsageAggregate]) -> list[UsageAggregate]:
    """The aggregates of charges, with their changes by day; only prorated sums have any."""
    of_charges = [aggregate.aggregate_id for aggregate in kept if aggregate.counted.charge_id]
    if not of_charges:
        return list(kept)
    days: dict[tuple[str, int], dict[date, Decimal]] = {}
    rows = tx.exec_driver_sql(
        "SELECT organization_id::text, aggregate_id, day, units FROM usage_days "
        "WHERE organization_id = ANY(%s::uuid[]) AND aggregate_id = ANY(%s)",
        (list({aggregate.period.organization_id for aggregate in kept}), of_charges),
    )
    for organization, aggregate_id, day, units in rows:
        days.setdefault((organization, aggregate_id), {})[day] = units
    return [
        replace(aggregate, days=days.get((aggregate.period.organization_id, aggregate.aggregate_id), {}))
        if days
        else aggregate
        for aggregate in kept
    ]


def positions(tx: Connection) -> Mapping[int, int]:
    """The last applied batch of each shard of the usage-event log."""
    rows = tx.exec_driver_sql("SELECT log, last_number FROM inbox WHERE log = ANY(%s)", (list(SHARD_OF_LOG),))
    return {SHARD_OF_LOG[log]: last_number for log, last_number in rows}


def aggregate_of_row(row: Row[Any]) -> UsageAggregate:
    """The aggregate in a row of `AGGREGATE_COLUMNS`."""
    reading = Reading(row.latest_at, row.latest_event, row.latest_value) if row.latest_at is not None else None
    group = tuple((name, value) for name, value in row.group_values or ())
    return UsageAggregate(
        period=PeriodKey(OrganizationId(row.organization_id), SubscriptionId(row.subscription_id), row.period_start),
        metric_code=row.metric_code,
        counted=CountedBucket(ChargeId(row.charge_id), Bucket(row.filter_key, group)),
        aggregate_id=row.aggregate_id,
        event_count=row.event_count,
        total=row.total,
        moment=row.moment,
        carried=row.carried,
        held=row.held,
        largest=row.largest,
        reading=reading,
        present_count=row.present_count,
        precise_amount=row.precise_amount,
        digest=int(row.digest),
        shard=row.shard,
        revision=row.revision,
        needs_recount=row.needs_recount,
        needs_carry=row.needs_carry,
        transactions=stored_transactions(row.transactions),
    )
