"""Hourly sums of the ledger, kept in the transaction that adds to it, so that both always agree.

Summing a million entries takes a second; summing their hours takes milliseconds. The sums are additive (a reversal adds
negative figures), and contain nothing that is not in the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy.engine import Connection

from services.chassis.columns import texts, times, words
from services.kernel.money import ZERO
from services.margin.domain.ledger import CostEntry

# Means "no subscription" in the key, where a NULL would give every entry a row of its own.
NO_SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"

_KEY = (
    "organization_id, hour, external_customer_id, subscription_id, source, code, provider, model, token_type, currency"
)
_ADD = f"""
INSERT INTO cost_hours AS h ({_KEY}, units, amount, entry_count, unpriced_count)
SELECT * FROM unnest(%s::uuid[], %s::timestamptz[], %s::text[], %s::uuid[], %s::text[], %s::text[], %s::text[],
    %s::text[], %s::text[], %s::text[], %s::numeric[], %s::numeric[], %s::bigint[], %s::bigint[])
ON CONFLICT ({_KEY}) DO UPDATE SET units = h.units + excluded.units, amount = h.amount + excluded.amount,
    entry_count = h.entry_count + excluded.entry_count, unpriced_count = h.unpriced_count + excluded.unpriced_count
"""

Key = tuple[str, datetime, str, str, str, str, str, str, str, str]
Sums = tuple[Decimal, Decimal, int, int]


def add(tx: Connection, entries: Sequence[CostEntry]) -> None:
    """Add entries to their hours; locks the rows of those hours, in the order of their keys."""
    sums: dict[Key, Sums] = {}
    for entry in entries:
        units, amount, count, unpriced = sums.get(key := _key(entry), (ZERO, ZERO, 0, 0))
        sums[key] = (
            units + entry.line.units,
            amount + (entry.line.amount or ZERO),
            count + entry.entry_count,
            unpriced + (0 if entry.is_priced else entry.entry_count),
        )
    ordered = sorted(sums)
    owners, hours, customers, subscriptions, *names = zip(*ordered, strict=True)
    units_, amounts, counts, unpriced_counts = zip(*(sums[key] for key in ordered), strict=True)
    numbers = (units_, amounts, counts, unpriced_counts)
    columns = (words(owners), times(hours), texts(customers), words(subscriptions), *map(texts, names))
    tx.exec_driver_sql(_ADD, (*columns, *map(words, numbers)))


def _key(entry: CostEntry) -> Key:
    origin, line = entry.origin, entry.line
    return (
        origin.organization_id,
        origin.occurred_at.replace(minute=0, second=0, microsecond=0),
        origin.external_customer_id,
        origin.subscription_id or NO_SUBSCRIPTION,
        origin.source.value,
        origin.code,
        line.provider,
        line.model,
        line.token_type.value if line.token_type else "",
        line.currency,
    )
