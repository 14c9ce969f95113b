"""Storing an aggregate that was counted again from the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy.engine import Connection

from services.kernel.ids import SubscriptionId
from services.rating.agreements.agreement import Agreement
from services.rating.usage.aggregate import UsageAggregate
from services.rating.usage.counting import DIGEST_MODULUS, ValueChange
from services.rating.usage.store import distinct_values, transactions

_SAVE = """
UPDATE usage_aggregates SET largest = %s, latest_at = %s, latest_event = %s, latest_value = %s, needs_recount = false,
    revision = revision + 1
WHERE organization_id = %s AND subscription_id = %s AND period_start = %s AND metric_code = %s AND bucket = %s
"""


def digest_before(
    tx: Connection, chain: Iterable[SubscriptionId], own: Agreement, start: datetime, metric_code: str
) -> int:
    """The digest of a metric's events counted before an instant, for a subscription and those that it continues."""
    found = tx.exec_driver_sql(
        "SELECT coalesce(sum(digest), 0) FROM usage_aggregates WHERE organization_id = %s "
        "AND subscription_id = ANY(%s::uuid[]) AND (subscription_id <> %s OR period_start < %s) "
        "AND metric_code = %s AND bucket = ''",
        (own.organization_id, list(chain), own.subscription_id, start, metric_code),
    ).scalar_one()
    return int(found) % DIGEST_MODULUS


def save(tx: Connection, exact: UsageAggregate, values: Mapping[str, ValueChange] | None) -> UsageAggregate:
    """Store what cannot be summed; returns the aggregate with its number of present values.

    Args:
        tx: the caller's transaction.
        exact: the aggregate according to its events.
        values: the changes of each distinct value by the events, for a unique count; otherwise None.
    """
    reading = exact.reading
    latest = (reading.at, reading.event_id, reading.value) if reading else (None, None, None)
    tx.exec_driver_sql(_SAVE, (exact.largest, *latest, *exact.period, exact.metric_code, exact.counted.key))
    if values is not None:
        exact = distinct_values.replace_all(tx, exact, values)
    if exact.transactions is not None:
        transactions.save(tx, exact)
    return exact
