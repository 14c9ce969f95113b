"""The catalog in memory: filled on demand, and kept true by the revision that every commit holds still.

Before their commit, batches are resolved against whatever the cache holds, and note its revision. The commit locks the
catalog; if the revision has changed by then, the cache catches up and the batch is resolved again. So a stale cache
costs time, never correctness.
"""

from __future__ import annotations

import threading
from collections.abc import Collection

from sqlalchemy.engine import Connection

from services.ingest.domain.billability import Metric, Subscription
from services.ingest.domain.usage_events import Place
from services.ingest.pipeline.resolve import Route, Routes, make_route
from services.ingest.store import catalog as store
from services.ingest.store import log as log_store
from services.kernel.ids import OrganizationId

# A route takes about 1 kB. Beyond this number an organization's routes are forgotten and made again on demand.
MAX_ROUTES = 100_000
# A process that sees more organizations than this forgets them all and begins again.
MAX_ORGANIZATIONS = 10_000


class OrganizationCatalog:
    """What the log needs to know of one organization.

    Attributes:
        organization: whose catalog it is.
        row: its policy and its test clock.
        metrics: its metrics, by code.
        by_customer: the subscriptions of the customers that were asked for, by the customer's external id.
        by_external_id: the subscriptions that were asked for by their external id.
        routes: where the events of (customer, subscription, code) go.
    """

    def __init__(self, organization: OrganizationId, row: store.OrganizationRow, metrics: dict[str, Metric]) -> None:
        self.organization = organization
        self.row = row
        self.metrics = metrics
        self.by_customer: dict[str, tuple[Subscription, ...]] = {}
        self.by_external_id: dict[str, tuple[Subscription, ...]] = {}
        self.routes: Routes = {}

    def forget_routes(self) -> None:
        """Forget all routes, so that each is made again when it is needed."""
        self.routes = {}

    def lacks(self, places: Collection[Place]) -> bool:
        """Whether a subscription to which these places may lead has not been loaded yet."""
        return any(
            subscription not in self.by_external_id if subscription else customer not in self.by_customer
            for customer, subscription, _ in places
        )


class CatalogCache:
    """The catalog of every organization that this process has seen."""

    def __init__(self) -> None:
        # Take this only after the catalog's lock in the database, never before it: otherwise an applier that waits for
        # that lock could stand between two holders, and none of the three could proceed.
        self._guard = threading.Lock()
        self._organizations: dict[OrganizationId, OrganizationCatalog] = {}
        self.revision = -1
        """What the cache holds is true as of this revision, or was loaded later."""
        self.retired: list[tuple[bytes, bytes]] = []
        """Key ranges that retention removed."""

    def find(self, organization: OrganizationId) -> OrganizationCatalog | None:
        """What is known of an organization, without asking the database."""
        return self._organizations.get(organization)

    def load(
        self, tx: Connection, organization: OrganizationId, places: Collection[Place]
    ) -> tuple[OrganizationCatalog, Routes]:
        """What is known of an organization, and routes for all `places`; loads what is missing."""
        revision = log_store.hold_catalog(tx)
        with self._guard:
            self._catch_up(tx, revision)
            known = self._organizations.get(organization)
            if known is None:
                known = self._load_organization(tx, organization)
            missing = {place for place in places if place not in known.routes}
            if len(known.routes) + len(missing) > MAX_ROUTES:
                known.forget_routes()
                missing = set(places)
            if known.lacks(missing):
                self._load_subscriptions(tx, known, missing)
            for place in missing:
                known.routes[place] = _route(known, place)
            return known, known.routes

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
        # Set last: a thread that reads this revision first and the rest afterwards finds the rest at least as new.
        self.revision = revision

    def _forget(self, tx: Connection, changes: Collection[store.Change]) -> None:
        for organization, kind, key in changes:
            if kind == store.RETIREMENT:
                self.retired = store.load_retired(tx)
                continue
            known = self._organizations.get(organization)
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

    def _load_organization(self, tx: Connection, organization: OrganizationId) -> OrganizationCatalog:
        if len(self._organizations) >= MAX_ORGANIZATIONS:
            self._organizations = {}
        known = OrganizationCatalog(
            organization, store.load_organization(tx, organization), store.load_metrics(tx, organization)
        )
        self._organizations[organization] = known
        return known

    def _load_subscriptions(self, tx: Connection, known: OrganizationCatalog, places: Collection[Place]) -> None:
        external_ids = {subscription for _, subscription, _ in places if subscription}
        customers = {customer for customer, subscription, _ in places if not subscription}
        if len(known.by_customer) + len(known.by_external_id) > MAX_ROUTES:
            known.by_customer, known.by_external_id = {}, {}
        loaded = store.load_subscriptions(
            tx, known.organization, customers=sorted(customers), external_ids=sorted(external_ids)
        )
        for customer in customers:
            known.by_customer[customer] = tuple(
                subscription for subscription in loaded if subscription.external_customer_id == customer
            )
        for external_id in external_ids:
            known.by_external_id[external_id] = tuple(
                subscription for subscription in loaded if subscription.external_id == external_id
            )


def _route(known: OrganizationCatalog, place: Place) -> Route:
    customer, subscription, _ = place
    candidates = known.by_external_id[subscription] if subscription else known.by_customer[customer]
    return make_route(known.organization, place, known.metrics, candidates)
