"""Usage: every event is counted once, in the period and for the plan in which it occurred, and billed as counted.

Or it is in quarantine with a reason, because no invoice will ever bill it: Σ sent = Σ counted + Σ quarantined.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal

from sqlalchemy.engine import Connection

from benchmarks.simulate.checks.ledger import Ledger
from benchmarks.simulate.usage import Usage, event_id, living_subscriptions
from benchmarks.simulate.usage_log import Refused

_COUNTED = """
SELECT subscription_id::text, period_start, event_count FROM usage_aggregates WHERE bucket = ''
"""
_USAGE_KINDS = {"charge", "adjustment"}

Place = tuple[str, datetime]


def check_usage(tx: Connection, ledger: Ledger, usage: list[Usage], quarantined: Iterable[Refused]) -> Iterator[str]:
    """What was counted and billed is what was sent, except for what is in quarantine."""
    refused = {entry.event.transaction_id: entry for entry in quarantined}
    yield from _check_quarantine(tx, refused.values())
    sent = _sent(ledger, [event for number, event in enumerate(usage) if event_id(number) not in refused])
    counted = {(row.subscription_id, row.period_start): row.event_count for row in tx.exec_driver_sql(_COUNTED)}
    for place in sorted(sent.keys() | counted.keys()):
        if sent[place] != counted.get(place, 0):
            yield f"{place[0]}: {sent[place]} events in the period of {place[1]}, {counted.get(place, 0)} counted"
    drafts = {row.invoice_id for rows in ledger.fees.values() for row in rows if row.is_draft}
    billed = _billed(ledger)
    for subscription_id, rows in ledger.periods.items():
        for row in rows:
            # Late usage waits for the next invoice; a draft waits for the end of its grace period.
            if row.state == "closed" and not row.is_dirty and row.invoice_id not in drafts:
                place = subscription_id, row.period_start
                if billed.get(place, Decimal(0)) != sent[place]:
                    yield f"{place[0]}: {sent[place]} events in the period of {place[1]}, {billed.get(place)} billed"


def _check_quarantine(tx: Connection, quarantined: Iterable[Refused]) -> Iterator[str]:
    """Nothing is in quarantine but late usage of customers who have no subscription any more."""
    living = living_subscriptions(tx)
    for event, reason in quarantined:
        if reason != "SUBSCRIPTION_BILLED":
            yield f"{event.transaction_id} is in quarantine: {reason}"
        if event.subscription_id in living:
            yield f"{event.transaction_id} is in quarantine, but its customer's next invoice could bill it"


def _sent(ledger: Ledger, usage: list[Usage]) -> Counter[Place]:
    """Events by subscription and period, as they must be counted."""
    subscriptions = {id(kept.segment): kept.subscription_id for kept in ledger.kept}
    starts = {
        owner: [row.period_start for row in rows if row.period_start < row.period_end]
        for owner, rows in ledger.periods.items()
    }
    sent: Counter[Place] = Counter()
    for event in usage:
        owner = subscriptions.get(id(event.segment), "no subscription")
        known = starts.get(owner, [])
        position = bisect_right(known, event.occurred_at)
        sent[owner, known[position - 1] if position else event.occurred_at] += 1
    return sent


def _billed(ledger: Ledger) -> dict[Place, Decimal]:
    """Units on invoices by subscription and period, corrections included."""
    billed: dict[Place, Decimal] = {}
    for owner, rows in ledger.fees.items():
        for row in rows:
            if row.kind in _USAGE_KINDS:
                place = owner, row.counted_period_start
                billed[place] = billed.get(place, Decimal(0)) + row.units
    return billed
