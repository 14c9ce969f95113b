"""What a transaction has changed: it gets new revisions, locked in order, and is announced once at the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from services.entitlements.deps import Deps
from services.entitlements.domain.event import access_changed
from services.entitlements.store import entitlement as entitlement_store
from services.entitlements.store import organization as organization_store
from services.entitlements.store import standing as standing_store
from services.entitlements.store.entitlement import Key
from services.kernel.ids import OrganizationId


class Changes:
    """The (subscription, feature) pairs whose answers a transaction has altered, by organization."""

    def __init__(self) -> None:
        self._keys: defaultdict[OrganizationId, set[Key]] = defaultdict(set)

    def note(self, organization: OrganizationId, keys: Iterable[Key]) -> None:
        """Note what was changed."""
        self._keys[organization].update(keys)

    def announce(self, deps: Deps, tx: Connection) -> None:
        """Give every changed row its own revision and announce its new answer; the last step before the commit."""
        for organization, keys in sorted(self._keys.items()):
            if keys:
                _announce(deps, tx, organization, sorted(keys))


def _announce(deps: Deps, tx: Connection, organization: OrganizationId, keys: list[Key]) -> None:
    # Rows come first, the organization's revision last: see the order of locks in store/__init__.
    entitlement_store.lock(tx, organization, keys)
    first = organization_store.next_revisions(tx, organization, len(keys))
    entitlement_store.stamp(tx, organization, {key: first + place for place, key in enumerate(keys)})
    seen = standing_store.of_keys(tx, organization, keys, deps.clock.now())
    deps.announce(tx, [access_changed(organization, standing, at=seen.at) for standing in seen.standings[0]])


@dataclass(frozen=True)
class Batch:
    """Announcements of rating that are applied in one transaction.

    Attributes:
        deps: the service's dependencies.
        tx: the follower's transaction.
        changes: what has been changed so far.
    """

    deps: Deps
    tx: Connection
    changes: Changes
