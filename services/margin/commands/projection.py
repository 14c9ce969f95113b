"""Taking in what rating announces: metrics, subscriptions, accrued revenue and test clocks."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.engine import Connection

from services.kernel.errors import UnavailableError
from services.margin.deps import Deps
from services.margin.domain.projection import ClockAdvance, ClockReached, Metric, Subscription
from services.margin.domain.revenue import Accrual, AccrualEntry
from services.margin.store import accrual as accrual_store
from services.margin.store import projection as projection_store
from services.wire.shards import SHARD_OF_LOG, log_name


def save_metric(_: Deps, tx: Connection, metric: Metric) -> None:
    """Know a metric as it is now."""
    projection_store.save_metric(tx, metric)


def save_subscription(_: Deps, tx: Connection, subscription: Subscription) -> None:
    """Know a subscription as it is now."""
    projection_store.save_subscription(tx, subscription)


def accrue(deps: Deps, tx: Connection, accrual: Accrual) -> None:
    """Take in what a subscription earned in a billing period; an earlier revision changes nothing.

    Models are kept under the catalog's names, so that revenue and cost of a model meet.
    """
    accrual_store.replace(tx, replace(accrual, entries=tuple(_named(deps, entry) for entry in accrual.entries)))


def _named(deps: Deps, entry: AccrualEntry) -> AccrualEntry:
    if not entry.model:
        return entry
    known = deps.prices.name(entry.provider, entry.model)
    return replace(entry, provider=known.provider, model=known.model)


def reach_test_clock(deps: Deps, tx: Connection, advance: ClockAdvance) -> None:
    """Take an organization to its new time, once everything logged before it was costed, and announce it.

    Raises:
        UnavailableError: usage from before the advance is still on its way; try again.
    """
    positions = projection_store.usage_positions(tx, tuple(SHARD_OF_LOG))
    for shard, last in advance.positions.items():
        applied = positions.get(log_name(shard), 0)
        if applied < last:
            raise UnavailableError("USAGE_NOT_YET_COSTED", f"shard {shard} is at {applied} of {last}")
    projection_store.save_clock(tx, advance)
    deps.announce(tx, ClockReached(advance.organization_id, advance.revision, advance.now))
