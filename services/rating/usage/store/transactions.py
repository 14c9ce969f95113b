"""The single transactions on which a percentage charge with an allowance or bounds is priced, in bounded size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy.engine import Connection

from services.rating.pricing.charges import PaidTransactions, Percentage, Transaction, Transactions
from services.rating.pricing.metric import Measurement
from services.rating.pricing.plan import Charge
from services.rating.shared.bulk import rows_json
from services.rating.usage.aggregate import StoredTransactions, UsageAggregate

_KEY_JOIN = """
    a.organization_id = r.organization_id AND a.subscription_id = r.subscription_id
    AND a.period_start = r.period_start AND a.metric_code = r.metric_code AND a.bucket = r.bucket
"""
_KEY_TYPES = "organization_id uuid, subscription_id uuid, period_start timestamptz, metric_code text, bucket text"
_WRITE = f"""
UPDATE usage_aggregates a SET transactions = r.transactions, needs_recount = a.needs_recount OR r.stale
FROM json_to_recordset(%s::json) AS r({_KEY_TYPES}, transactions jsonb, stale boolean) WHERE {_KEY_JOIN}
"""


class Paid(NamedTuple):
    """The transactions that a batch brings to one bucket of a percentage charge."""

    kept: UsageAggregate
    charge: Charge
    added: Sequence[Measurement]
    voided: Sequence[Measurement]


def add(tx: Connection, paid: Sequence[Paid]) -> None:
    """Merge the transactions of a batch into buckets that this database transaction has locked."""
    if paid:
        tx.exec_driver_sql(_WRITE, (rows_json(map(_merged, paid)),))


def _merged(paid: Paid) -> dict[str, Any]:
    state = transactions_of(paid.kept, paid.charge).add(paid.added)
    stale = False
    for measurement in paid.voided:
        left = state.without(measurement)
        stale = stale or left is None
        state = left or state
    return _row(paid.kept, state, stale=stale)


def save(tx: Connection, kept: UsageAggregate) -> None:
    """Replace the stored transactions by those of an aggregate that was counted again from the log."""
    tx.exec_driver_sql(_WRITE, (rows_json([_row(kept, kept.transactions or StoredTransactions(), stale=False)]),))


def _row(kept: UsageAggregate, state: Transactions | StoredTransactions, *, stale: bool) -> dict[str, Any]:
    return {
        **kept.period._asdict(),
        "metric_code": kept.metric_code,
        "bucket": kept.counted.key,
        "transactions": {"earliest": state.earliest, "later": state.later},
        "stale": stale,
    }


def transactions_of(kept: UsageAggregate, charge: Charge) -> Transactions:
    """The state of a percentage charge's bucket.

    Raises:
        TypeError: the bucket's price is not a percentage, which is a programming error.
    """
    model = charge.model_for(kept.counted.bucket.filter_key)
    if not isinstance(model, Percentage):
        raise TypeError(f"a {type(model).__name__} charge keeps no transactions")
    known = kept.transactions or StoredTransactions()
    return Transactions(model.terms, known.earliest, known.later)


def stored_transactions(document: Mapping[str, Any] | None) -> StoredTransactions | None:
    """The transactions in a row; None if it has none."""
    if document is None:
        return None
    earliest = tuple(
        Transaction(datetime.fromisoformat(at), event_id, Decimal(value))
        for at, event_id, value in document["earliest"]
    )
    minimum, maximum, count, value = document["later"]
    return StoredTransactions(earliest, PaidTransactions(minimum, maximum, count, Decimal(value)))
