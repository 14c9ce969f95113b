"""Returning to the log what was counted for a time after a subscription's end.

An event may be ahead of its time. If its subscription ends before that time, or is canceled before it has begun, the
event is taken out of the aggregates as if it had been voided, and refused. The log quarantines it and counts it for the
subscription that takes over, if there is one.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection

from services.rating.agreements.agreement import Agreement
from services.rating.deps import Deps
from services.rating.usage.commands.count import Batch, Memory, announce_refusals, keep_batch
from services.rating.usage.events import Refusal
from services.rating.usage.store import future_usage, refused_usage
from services.rating.usage.store.refused_usage import RefusedUsage


def refuse_usage_after_end(deps: Deps, tx: Connection, ended: Agreement, at: datetime) -> None:
    """Take out and refuse what was counted for the subscription's end `at`, or later.

    The caller has locked the subscription's open period or, if it has not begun, its row, so that nothing can be added.
    Call this before announcing the end: a log that sees the refusal first resolves the events again once it sees the
    end.
    """
    entries = future_usage.voids_from(tx, ended.organization_id, ended.subscription_id, at)
    if not entries:
        return
    batch = Batch(tx, Memory(), entries, deps.clock.now())
    for entry in entries:
        batch.count(entry)
    keep_batch(deps, tx, batch)
    refused_usage.keep(tx, map(RefusedUsage.of, entries))
    refusals = [Refusal(entry.organization_id, entry.event_key, "SUBSCRIPTION_NOT_ACTIVE") for entry in entries]
    announce_refusals(deps, tx, refusals)
