"""Writing usage aggregates: what a batch of events adds, in a limited number of statements whatever its size.

A single consumer does all writing: a customer's events are in one shard, and a shard is applied under its inbox row's
lock. The rows of billing periods have been locked FOR SHARE before (store/periods.py), so none is closed meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy.engine import Connection

from services.rating.pricing.charges import Percentage
from services.rating.pricing.metric import Measurement
from services.rating.pricing.plan import Charge
from services.rating.shared.bulk import rows_json, upsert_sql
from services.rating.usage.aggregate import PeriodKey, UsageAggregate
from services.rating.usage.counting import DIGEST_MODULUS, CountedBucket, Tally
from services.rating.usage.store import distinct_values, transactions
from services.rating.usage.store.aggregates import AGGREGATE_COLUMNS, aggregate_of_row

_COLUMNS = {
    "organization_id": "uuid",
    "subscription_id": "uuid",
    "period_start": "timestamptz",
    "metric_code": "text",
    "bucket": "text",
    "charge_id": "text",
    "filter_key": "text",
    "group_values": "jsonb",
    "event_count": "bigint",
    "total": "numeric",
    "held": "numeric",
    "moment": "numeric",
    "largest": "numeric",
    "latest_at": "timestamptz",
    "latest_event": "text",
    "latest_value": "numeric",
    "precise_amount": "numeric",
    "digest": "numeric",
    "shard": "smallint",
    "needs_recount": "boolean",
}
_KEY = "organization_id, subscription_id, period_start, metric_code, bucket"
_LEFT = "kept.event_count + excluded.event_count > 0"
# Of two readings at the same instant, the one with the later id counts; ids are compared by bytes, as in the domain.
_NEWER = (
    'kept.latest_at IS NULL OR (excluded.latest_at, excluded.latest_event COLLATE "C") > '
    '(kept.latest_at, kept.latest_event COLLATE "C")'
)


def _latest(column: str) -> str:
    return f"{column} = CASE WHEN NOT ({_LEFT}) THEN NULL WHEN {_NEWER} THEN excluded.{column} ELSE kept.{column} END"


_UPSERT = upsert_sql(
    "usage_aggregates",
    _COLUMNS,
    _KEY,
    f"""DO UPDATE SET
        event_count = kept.event_count + excluded.event_count,
        total = kept.total + excluded.total,
        held = kept.held + excluded.held,
        moment = kept.moment + excluded.moment,
        largest = CASE WHEN {_LEFT} THEN GREATEST(kept.largest, excluded.largest) END,
        {_latest("latest_at")},
        {_latest("latest_event")},
        {_latest("latest_value")},
        precise_amount = kept.precise_amount + excluded.precise_amount,
        digest = (kept.digest + excluded.digest) %% {DIGEST_MODULUS},
        shard = excluded.shard,
        needs_recount = (kept.needs_recount OR excluded.needs_recount) AND ({_LEFT} OR kept.charge_id <> ''),
        revision = kept.revision + 1
    RETURNING {AGGREGATE_COLUMNS}""",
)


class Addition(NamedTuple):
    """What a batch adds to one aggregate.

    Attributes:
        period, metric_code, counted: the aggregate.
        tally: what is added.
        shard: the shard from which the events come.
        charge: the charge of the aggregate; None for the metric's own.
        added, voided: the measurements, for everything that cannot be summed.
    """

    period: PeriodKey
    metric_code: str
    counted: CountedBucket
    tally: Tally
    shard: int
    charge: Charge | None
    added: Sequence[Measurement]
    voided: Sequence[Measurement]

    @property
    def keeps_transactions(self) -> bool:
        """Whether the charge is priced on its single transactions."""
        if self.charge is None:
            return False
        model = self.charge.model_for(self.counted.bucket.filter_key)
        return isinstance(model, Percentage) and model.needs_transactions


def add(tx: Connection, additions: Sequence[Addition]) -> list[UsageAggregate]:
    """Add a batch to its aggregates, which stay locked until the transaction ends; returns each as it is now."""
    rows = tx.exec_driver_sql(_UPSERT, (rows_json(_row(addition) for addition in additions),))
    kept = {_identity(aggregate): aggregate for aggregate in map(aggregate_of_row, rows)}
    pairs = [(addition, kept[(addition.period, addition.metric_code, addition.counted.key)]) for addition in additions]
    changed = distinct_values.add(
        tx, [(row, addition.tally.values) for addition, row in pairs if addition.tally.values is not None]
    )
    kept.update((_identity(aggregate), aggregate) for aggregate in changed)
    _add_days(tx, [(row, addition.tally) for addition, row in pairs if addition.tally.days])
    paid = [
        transactions.Paid(row, addition.charge, addition.added, addition.voided)
        for addition, row in pairs
        if addition.charge is not None and addition.keeps_transactions
    ]
    transactions.add(tx, paid)
    return list(kept.values())


def _identity(kept: UsageAggregate) -> tuple[PeriodKey, str, str]:
    return kept.period, kept.metric_code, kept.counted.key


def _row(addition: Addition) -> dict[str, Any]:
    tally, reading = addition.tally, addition.tally.reading
    return {
        "organization_id": addition.period.organization_id,
        "subscription_id": addition.period.subscription_id,
        "period_start": addition.period.period_start,
        "metric_code": addition.metric_code,
        "bucket": addition.counted.key,
        "charge_id": addition.counted.charge_id,
        "filter_key": addition.counted.bucket.filter_key,
        "group_values": addition.counted.bucket.group,
        "event_count": tally.event_count,
        "total": tally.total,
        "held": tally.held,
        "moment": tally.moment,
        "largest": tally.largest,
        "latest_at": reading.at if reading else None,
        "latest_event": reading.event_id if reading else None,
        "latest_value": reading.value if reading else None,
        "precise_amount": tally.precise_amount,
        "digest": str(tally.digest),
        "shard": addition.shard,
        "needs_recount": tally.needs_recount,
    }


_DAYS = upsert_sql(
    "usage_days",
    {"organization_id": "uuid", "aggregate_id": "bigint", "day": "date", "units": "numeric"},
    "organization_id, aggregate_id, day",
    "DO UPDATE SET units = kept.units + excluded.units",
)


def _add_days(tx: Connection, tallies: Iterable[tuple[UsageAggregate, Tally]]) -> None:
    rows = [
        {
            "organization_id": kept.period.organization_id,
            "aggregate_id": kept.aggregate_id,
            "day": day,
            "units": units,
        }
        for kept, tally in tallies
        for day, units in (tally.days or {}).items()
    ]
    if rows:
        tx.exec_driver_sql(_DAYS, (rows_json(rows),))
