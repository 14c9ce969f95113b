"""Applying what rating announces: metrics, subscriptions, accrued revenue and test clocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.engine import Connection

from services.margin.deps import Deps
from services.margin.domain.projection import ClockAdvance, ClockReached, Organization, Subscription
from services.margin.domain.revenue import Accrual, AccrualEntry
from services.margin.store import accrual as accrual_store
from services.margin.store import projection as projection_store
from services.wire.shards import SHARD_OF_LOG, log_name


def save_organization(_: Deps, tx: Connection, organization: Organization) -> None:
    """Store an organization as it is now."""
    projection_store.save_organization(tx, organization)


def save_subscription(_: Deps, tx: Connection, subscription: Subscription) -> None:
    """Store a subscription as it is now."""
    projection_store.save_subscription(tx, subscription)


def accrue(deps: Deps, tx: Connection, accruals: Sequence[Accrual]) -> None:
    """Store what subscriptions earned, each in a billing period; an earlier revision changes nothing.

    Models are stored under the catalog's names, so that revenue and cost of a model come together.
    """
    accrual_store.replace(
        tx,
        [replace(accrual, entries=tuple(_named(deps, entry) for entry in accrual.entries)) for accrual in accruals],
    )


def _named(deps: Deps, entry: AccrualEntry) -> AccrualEntry:
    if not entry.model:
        return entry
    known = deps.prices.name(entry.provider, entry.model)
    return replace(entry, provider=known.provider, model=known.model)


def reach_test_clock(deps: Deps, tx: Connection, advance: ClockAdvance) -> None:
    """Take an organization to its new time, and announce it, once everything logged before has been costed.

    Until then only the clock waits, not the log, which carries the messages of all organizations.
    """
    if _is_costed(tx, advance):
        _reach(deps, tx, advance)
    else:
        projection_store.let_clock_wait(tx, advance)


def reach_waiting_clocks(deps: Deps, tx: Connection) -> int:
    """Take those waiting organizations to their new time whose usage has been costed by now; returns how many."""
    due = [advance for advance in projection_store.waiting_clocks(tx) if _is_costed(tx, advance)]
    for advance in due:
        _reach(deps, tx, advance)
    if due:
        projection_store.forget_waiting_clocks(tx, [advance.organization_id for advance in due])
    return len(due)


def _is_costed(tx: Connection, advance: ClockAdvance) -> bool:
    applied = projection_store.usage_positions(tx, tuple(SHARD_OF_LOG))
    return all(applied.get(log_name(shard), 0) >= last for shard, last in advance.positions.items())


def _reach(deps: Deps, tx: Connection, advance: ClockAdvance) -> None:
    projection_store.save_clock(tx, advance)
    deps.announce(tx, ClockReached(advance.organization_id, advance.revision, advance.now))
