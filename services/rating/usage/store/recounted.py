"""Keeping an aggregate that was counted again from the log."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.engine import Connection

from services.rating.pricing.metric import Aggregation
from services.rating.usage.counting import value_changes
from services.rating.usage.store import usage_transactions, usage_values
from services.rating.usage.store.event_log import Recounted

_SAVE = """
UPDATE usage_aggregates SET largest = %s, latest_at = %s, latest_event = %s, latest_value = %s, needs_recount = false,
    revision = revision + 1
WHERE organization_id = %s AND subscription_id = %s AND period_start = %s AND metric_code = %s AND bucket = %s
"""


def save(tx: Connection, exact: Recounted) -> Recounted:
    """Keep what cannot be summed; the aggregate with its number of present values."""
    kept, reading = exact.kept, exact.kept.reading
    latest = (reading.at, reading.event_id, reading.value) if reading else (None, None, None)
    tx.exec_driver_sql(_SAVE, (kept.largest, *latest, *kept.period, kept.metric_code, kept.counted.key))
    if exact.counter.metric.definition.aggregation is Aggregation.UNIQUE_COUNT:
        kept = usage_values.replace_all(tx, kept, value_changes(exact.counted.added, ()))
    if kept.transactions is not None:
        usage_transactions.save(tx, kept)
    return replace(exact, kept=kept)
