"""What a transaction has changed: it gets new revisions, locked in order, and is announced once at the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.engine import Connection

from services.chassis.db import after_commit
from services.entitlements.deps import Deps
from services.entitlements.domain.event import access_changed
from services.entitlements.domain.standing import Standing
from services.entitlements.store import access_change as change_store
from services.entitlements.store import entitlement as entitlement_store
from services.entitlements.store import organization as organization_store
from services.entitlements.store import standing as standing_store
from services.entitlements.store.entitlement import Key
from services.entitlements.store.standing import Seen
from services.kernel.ids import OrganizationId


class Changes:
    """The (subscription, feature) pairs and the customers whose answers a transaction has altered, by organization."""

    def __init__(self) -> None:
        self._keys: defaultdict[OrganizationId, set[Key]] = defaultdict(set)
        self._customers: defaultdict[OrganizationId, set[str]] = defaultdict(set)

    def note(self, organization: OrganizationId, keys: Iterable[Key]) -> None:
        """Note what was changed."""
        self._keys[organization].update(keys)

    def note_customers(self, organization: OrganizationId, customers: Iterable[str]) -> None:
        """Note whose facts were altered, though no right of theirs may have been; `EVERYBODY` for all."""
        self._customers[organization].update(customers)

    def announce(self, deps: Deps, tx: Connection) -> None:
        """Give every altered row its own revision and announce its new answer; the last thing before the commit."""
        seen = _locked(tx, {one: keys for one, keys in self._keys.items() if keys}, deps.clock.now())
        revised = _revised(tx, seen)
        for organization, standings in revised.items():
            self.note_customers(organization, (one.subscription.external_customer_id for one in standings))
        if any(self._customers.values()):
            newest = {organization: _newest(standings) for organization, standings in revised.items()}
            change_store.add(tx, self._customers, newest)
            after_commit(tx, deps.memory.catch_up_if_it_can)
        deps.announce(
            tx,
            [
                access_changed(organization, standing, at=seen[organization].at)
                for organization, standings in revised.items()
                for standing in standings
            ],
        )


def _locked(
    tx: Connection, keys_by_organization: Mapping[OrganizationId, Iterable[Key]], now: datetime
) -> dict[OrganizationId, Seen]:
    """What altered rows come to, locked; rows first, revisions last: see the order of locks in store/__init__."""
    seen = {}
    for organization, keys in sorted(keys_by_organization.items()):
        entitlement_store.lock(tx, organization, keys)
        seen[organization] = standing_store.of_keys(tx, organization, keys, now)
    return seen


def _revised(tx: Connection, seen: Mapping[OrganizationId, Seen]) -> dict[OrganizationId, list[Standing]]:
    """Standings with a revision each, in its order. All is read by now, so that nobody waits long for a revision."""
    counts = {organization: len(one.standings[0]) for organization, one in seen.items() if one.standings[0]}
    if not counts:
        return {}
    firsts = organization_store.next_revisions(tx, counts)
    revised = {
        organization: [
            _with_revision(one, revision) for revision, one in enumerate(seen[organization].standings[0], first)
        ]
        for organization, first in sorted(firsts.items())
    }
    entitlement_store.stamp(
        tx,
        {(organization, one.key): one.revision for organization, standings in revised.items() for one in standings},
    )
    return revised


def _with_revision(standing: Standing, revision: int) -> Standing:
    assert standing.entitlement is not None  # noqa: S101 - read by the key of an entitlement
    return replace(standing, entitlement=replace(standing.entitlement, revision=revision))


def _newest(standings: list[Standing]) -> int:
    return max(one.revision for one in standings)


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
