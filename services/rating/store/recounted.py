"""Keeping an aggregate that was counted again from the log."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.engine import Connection

from services.rating.domain.charges import Percentage, Transactions
from services.rating.domain.counting import Counted, Counter, tally
from services.rating.domain.kept_usage import KeptTransactions, KeptUsage
from services.rating.store import usage_transactions, usage_values

_SAVE = """
UPDATE usage_aggregates SET largest = %s, latest_at = %s, latest_event = %s, latest_value = %s, needs_recount = false,
    revision = revision + 1
WHERE organization_id = %s AND subscription_id = %s AND period_start = %s AND metric_code = %s AND bucket = %s
"""


def save(tx: Connection, kept: KeptUsage, counted: Counted, counter: Counter) -> KeptUsage:
    """Replace what cannot be summed by what the listed events give; counts and sums were right all along."""
    charge = counter.charge_of(kept.counted)
    summed = tally(counted, counter, charge)
    reading = summed.reading
    latest = (reading.at, reading.event_id, reading.value) if reading else (None, None, None)
    tx.exec_driver_sql(_SAVE, (summed.largest, *latest, *kept.period, kept.metric_code, kept.counted.key))
    exact = replace(kept, largest=summed.largest, reading=reading, needs_recount=False, revision=kept.revision + 1)
    if summed.values is not None:
        exact = usage_values.replace_all(tx, exact, summed.values)
    model = charge.model_for(kept.counted.bucket.filter_key) if charge is not None else None
    if isinstance(model, Percentage) and model.needs_transactions:
        state = Transactions(model.terms).add(counted.added)
        usage_transactions.save(tx, exact, state)
        exact = replace(exact, transactions=KeptTransactions(state.earliest, state.later))
    return exact
