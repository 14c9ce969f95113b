"""The catalog in memory, filled on demand and kept true by the revision that every commit holds still.

Batches are resolved before their commit against whatever the cache holds, and say which revision that was. The commit
locks the catalog; if its revision is another one by then, the cache catches up and the batch is resolved again. So a
stale cache costs time, never correctness.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Collection

from sqlalchemy.engine import Connection

from services.ingest.commands.codec import EntryCodec
from services.ingest.commands.route import Route, Routes, make_route
from services.ingest.domain.billability import Metric, Subscription
from services.ingest.domain.usage_events import Place
from services.ingest.store import catalog as store
from services.ingest.store import log as log_store

# About 1 kB each: beyond this an organization's routes are forgotten and made again on demand.
MAX_ROUTES = 100_000
# A process that meets more organizations than this forgets them all and begins again.
MAX_ORGANIZATIONS = 10_000


class OrganizationCatalog:
    """What the log needs to know of one organization.

    Attributes:
        organization: its 16 bytes.
        row: its policy and its test clock.
        routes: where the events of (customer, subscription, code) go.
    """

    def __init__(self, organization: bytes, row: store.OrganizationRow, metrics: dict[str, Metric]) -> None:
        self.organization = organization
        self.row = row
        self.metrics = metrics
        self.by_customer: dict[str, tuple[Subscription, ...]] = {}
        self.by_external_id: dict[str, tuple[Subscription, ...]] = {}
        self.routes: Routes = {}

    def forget_routes(self) -> None:
        """Make every route anew when it is asked for."""
        self.routes = {}

    def lacks(self, keys: Collection[Place]) -> bool:
        """Whether a subscription that these routes may lead to was not asked for yet."""
        return any(
            subscription not in self.by_external_id if subscription else customer not in self.by_customer
            for customer, subscription, _ in keys
        )


class CatalogCache:
    """The catalog of every organization that this process has met."""

    def __init__(self, codec: EntryCodec) -> None:
        self._codec = codec
        # Whoever takes it holds the catalog's lock in the database already, never the other way round: else a
        # waiting applier would lie between both and nobody could move.
        self._guard = threading.Lock()
        self._organizations: dict[bytes, OrganizationCatalog] = {}
        self.revision = -1
        """What the cache holds is right as of this revision, or was loaded later."""
        self.retired: list[tuple[bytes, bytes]] = []
        """Key ranges that retention removed."""

    def find(self, organization: bytes) -> OrganizationCatalog | None:
        """What is known of an organization, without asking the database."""
        return self._organizations.get(organization)

    def load(self, tx: Connection, organization: bytes, keys: Collection[Place]) -> tuple[OrganizationCatalog, Routes]:
        """What is known of an organization, and routes for all `keys`; loads what is missing."""
        revision = log_store.hold_catalog(tx)
        with self._guard:
            self._catch_up(tx, revision)
            found = self._organizations.get(organization)
            if found is None:
                found = self._load_organization(tx, organization)
            missing = {key for key in keys if key not in found.routes}
            if found.lacks(missing):
                self._load_subscriptions(tx, found, missing)
            if len(found.routes) + len(missing) > MAX_ROUTES:
                found.forget_routes()
                missing = set(keys)
            for key in missing:
                found.routes[key] = self._route(found, key)
            return found, found.routes

    def catch_up(self, tx: Connection, revision: int) -> None:
        """Forget what changed until `revision`; the caller holds the catalog still at it."""
        if revision != self.revision:
            with self._guard:
                self._catch_up(tx, revision)

    def _catch_up(self, tx: Connection, revision: int) -> None:
        if revision == self.revision:
            return
        changes = store.changes_since(tx, self.revision)
        if changes is None or self.revision < 0:
            self._organizations = {}
            self.retired = store.load_retired(tx)
        else:
            self._forget(tx, changes)
        # Last: whoever reads this revision and then the rest finds the rest at least as new.
        self.revision = revision

    def _forget(self, tx: Connection, changes: Collection[store.Change]) -> None:
        for organization, kind, key in changes:
            if kind == store.RETIREMENT:
                self.retired = store.load_retired(tx)
                continue
            known = self._organizations.get(organization.bytes)
            if known is None:
                continue
            known.forget_routes()
            if kind == store.ORGANIZATION:
                known.row = store.load_organization(tx, organization)
            elif kind == store.METRIC:
                known.metrics = store.load_metrics(tx, organization)
            elif kind == store.CUSTOMER:
                known.by_customer.pop(key, None)
            else:
                known.by_external_id.pop(key, None)

    def _load_organization(self, tx: Connection, organization: bytes) -> OrganizationCatalog:
        if len(self._organizations) >= MAX_ORGANIZATIONS:
            self._organizations = {}
        name = uuid.UUID(bytes=organization)
        found = OrganizationCatalog(organization, store.load_organization(tx, name), store.load_metrics(tx, name))
        self._organizations[organization] = found
        return found

    def _load_subscriptions(self, tx: Connection, known: OrganizationCatalog, keys: Collection[Place]) -> None:
        external_ids = {subscription for _, subscription, _ in keys if subscription}
        customers = {customer for customer, subscription, _ in keys if not subscription}
        if len(known.by_customer) + len(known.by_external_id) > MAX_ROUTES:
            known.by_customer, known.by_external_id = {}, {}
        loaded = store.load_subscriptions(
            tx,
            uuid.UUID(bytes=known.organization),
            customers=sorted(customers),
            external_ids=sorted(external_ids),
        )
        for customer in customers:
            known.by_customer[customer] = tuple(s for s in loaded if s.external_customer_id == customer)
        for external_id in external_ids:
            known.by_external_id[external_id] = tuple(s for s in loaded if s.external_id == external_id)

    def _route(self, known: OrganizationCatalog, key: Place) -> Route:
        customer, subscription, _ = key
        candidates = known.by_external_id[subscription] if subscription else known.by_customer[customer]
        return make_route(self._codec, known.organization, key, known.metrics, candidates)
