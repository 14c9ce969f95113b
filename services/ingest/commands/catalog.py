"""Applies rating's announcements about the catalog, in the follower's transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy.engine import Connection

from services.ingest.deps import Announce
from services.ingest.domain.catalog_update import (
    CatalogUpdate,
    MetricUpdate,
    OrganizationUpdate,
    SubscriptionUpdate,
    TestClockReached,
    TestClockUpdate,
)
from services.ingest.store import catalog as store
from services.ingest.store import quarantine
from services.ingest.store.catalog import Change


def apply_updates(tx: Connection, updates: Sequence[CatalogUpdate], announce: Announce) -> None:
    """Store updates in order, tell every cache, and request another check of quarantined events.

    No event is resolved meanwhile. Events committed before this transaction are released by the requests written here;
    events committed after it see the updates.
    """
    if not updates:
        return
    store.lock(tx)
    changes: list[Change] = []
    for update in updates:
        changes += _save(tx, update)
        if isinstance(update, TestClockUpdate):
            announce(tx, TestClockReached(*update))
    store.note_changes(tx, list(dict.fromkeys(changes)))
    quarantine.request_release(tx, list(dict.fromkeys(changes)))


def _save(tx: Connection, update: CatalogUpdate) -> Iterator[Change]:
    """Store one update; yields the things that it changed."""
    if isinstance(update, SubscriptionUpdate):
        store.save_subscription(tx, update.organization, update.subscription)
        yield Change(update.organization, store.CUSTOMER, update.subscription.external_customer_id)
        yield Change(update.organization, store.SUBSCRIPTION, update.subscription.external_id)
    elif isinstance(update, MetricUpdate):
        if update.is_deleted:
            store.delete_metric(tx, update.organization, update.metric.code)
        else:
            store.save_metric(tx, update.organization, update.metric)
        yield Change(update.organization, store.METRIC, update.metric.code)
    elif isinstance(update, OrganizationUpdate):
        store.save_organization(tx, update.organization, are_duplicates_rejected=update.are_duplicates_rejected)
        yield Change(update.organization, store.ORGANIZATION, "")
    else:
        store.save_test_clock(tx, update.organization, update.now, update.revision)
        yield Change(update.organization, store.ORGANIZATION, "")
