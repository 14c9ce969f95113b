"""Handing back to the log what was counted for a time after a subscription's end.

An event may be ahead of its time. When its subscription ends before it, it is taken out of the aggregates as if it had
been voided, and refused: the log quarantines it and counts it for the subscription that takes over, if one does.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection

from services.rating.agreements.agreement import Agreement
from services.rating.deps import Deps
from services.rating.usage.commands.count import Batch, Memory, keep_batch
from services.rating.usage.events import Refusal, UsageRefused
from services.rating.usage.store import future_usage


def refuse_usage_after_end(deps: Deps, tx: Connection, ended: Agreement, at: datetime) -> None:
    """Take out and refuse what was counted for `at` or later; its end. Its open period is locked, so nothing follows.

    To be called before the end is announced: who hears of the refusal first resolves the events anew when it hears of
    the end.
    """
    entries = future_usage.voids_from(tx, ended.organization_id, ended.subscription_id, at)
    if not entries:
        return
    batch = Batch(tx, Memory(), entries, deps.clock.now())
    for entry in entries:
        batch.count(entry)
    keep_batch(deps, tx, batch)
    refusals = [Refusal(each.organization_id, each.event_key, "SUBSCRIPTION_NOT_ACTIVE") for each in entries]
    deps.announce(tx, UsageRefused(tuple(refusals)))
