"""What rating has on record after a simulation, compared with what must have happened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.engine import Connection, Row

from benchmarks.simulate.life import Life, Segment
from benchmarks.simulate.play import Played

_SUBSCRIPTIONS = """
SELECT s.id::text, s.organization_id::text, s.external_id, s.previous_id::text, s.state, s.starts_at, s.ended_at,
    p.code AS plan_code
FROM subscriptions s JOIN plans p ON p.organization_id = s.organization_id AND p.id = s.plan_id
"""
_PERIODS = """
SELECT subscription_id::text, period_start, period_end, state, invoice_id::text, is_dirty FROM billing_periods
ORDER BY subscription_id, period_start, period_end
"""
_FEES = """
SELECT f.fee_id::text, f.invoice_id::text, f.subscription_id::text, f.kind, f.period_start, f.period_end,
    f.counted_period_start, f.units, f.amount_cents, i.state = 'draft' AS is_draft
FROM fees f JOIN invoices i ON i.organization_id = f.organization_id AND i.invoice_id = f.invoice_id
ORDER BY f.subscription_id, f.period_start, f.fee_id
"""
_CREDITED = """
SELECT item->>'fee_id' AS fee_id, sum((item->'item'->>'precise_amount')::numeric) AS amount
FROM credit_notes n, jsonb_array_elements(n.items) AS item GROUP BY 1
"""


class Kept(NamedTuple):
    """A segment that must exist, and rating's subscription for it."""

    life: Life
    segment: Segment
    subscription_id: str
    row: Row[Any]


@dataclass
class Ledger:
    """Everything that the checks read, from one consistent snapshot.

    Attributes:
        now: the last instant of the simulation.
        kept: segments with their subscriptions.
        strays: descriptions of what could not be matched.
        periods, fees: by subscription.
        credited: the exact amount given back, by fee.
    """

    now: datetime
    kept: list[Kept] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    periods: dict[str, list[Row[Any]]] = field(default_factory=lambda: defaultdict(list))
    fees: dict[str, list[Row[Any]]] = field(default_factory=lambda: defaultdict(list))
    credited: dict[str, Any] = field(default_factory=dict)


def read_ledger(tx: Connection, played: Played) -> Ledger:
    """Read all of it."""
    ledger = Ledger(played.world.now)
    for row in tx.exec_driver_sql(_PERIODS):
        ledger.periods[row.subscription_id].append(row)
    for row in tx.exec_driver_sql(_FEES):
        ledger.fees[row.subscription_id].append(row)
    ledger.credited = {row.fee_id: row.amount for row in tx.exec_driver_sql(_CREDITED)}
    _pair(ledger, played.lives, tx.exec_driver_sql(_SUBSCRIPTIONS).all())
    return ledger


def _pair(ledger: Ledger, lives: Iterable[Life], rows: Iterable[Row[Any]]) -> None:
    """Match each life with its chain of subscriptions."""
    successors = {row.previous_id: row for row in rows if row.previous_id}
    chains: dict[tuple[str, str], list[list[Row[Any]]]] = defaultdict(list)
    for row in sorted((row for row in rows if row.previous_id is None), key=lambda row: row.starts_at):
        chains[row.organization_id, row.external_id].append(list(_chain(row, successors)))
    for life in lives:
        chain = chains[life.organization, life.external_id].pop(0)
        if len(chain) != len(life.segments):
            plans = [row.plan_code for row in chain], [segment.offer.code for segment in life.segments]
            ledger.strays.append(f"{life.external_id} has the plans {plans[0]}, not {plans[1]}")
            continue
        ledger.kept += [Kept(life, segment, row.id, row) for segment, row in zip(life.segments, chain, strict=True)]
    ledger.strays += [f"{key[1]} has a subscription too many" for key, left in chains.items() if left]


def _chain(row: Row[Any] | None, successors: dict[str, Row[Any]]) -> Iterator[Row[Any]]:
    while row is not None:
        yield row
        row = successors.get(row.id)
