"""What a transaction has changed: it gets new revisions, locked in order, and is announced once at the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import Connection

from services.chassis.db import after_commit
from services.entitlements.deps import Deps
from services.entitlements.domain.counting import Books, Key
from services.entitlements.domain.event import access_changed
from services.entitlements.domain.standing import Standing
from services.entitlements.store import access_change as change_store
from services.entitlements.store import entitlement as entitlement_store
from services.entitlements.store import organization as organization_store
from services.entitlements.store import standing as standing_store
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
        seen = _locked(tx, {organization: keys for organization, keys in self._keys.items() if keys}, deps.clock.now())
        altered = {
            organization: [standing.key for standing in read.standings[0]] for organization, read in seen.items()
        }
        firsts = organization_store.next_revisions(
            tx, {organization: len(keys) for organization, keys in altered.items()}
        )
        revised = {
            organization: _revised(read.standings[0], altered[organization], firsts[organization])
            for organization, read in seen.items()
            if altered[organization]
        }
        _tell(deps, tx, revised, {organization: read.at for organization, read in seen.items()}, self._customers)


def announce_counted(deps: Deps, tx: Connection, organization: OrganizationId, books: Books) -> int:
    """Write what was counted against locked rows, and announce it; the first revision, of as many as alterations."""
    standings = books.after()
    entitlement_store.save_consumed(tx, organization, {standing.key: standing.consumed for standing in standings})
    first = organization_store.next_revisions(tx, {organization: len(books.altered)})[organization]
    _tell(deps, tx, {organization: _revised(standings, books.altered, first)}, {organization: books.at}, {})
    return first


def _locked(
    tx: Connection, keys_by_organization: Mapping[OrganizationId, Iterable[Key]], now: datetime
) -> dict[OrganizationId, Seen]:
    """What altered rows come to, locked; rows first, revisions last: see the order of locks in store/__init__."""
    seen = {}
    for organization, keys in sorted(keys_by_organization.items()):
        entitlement_store.lock(tx, organization, keys)
        seen[organization] = standing_store.of_keys(tx, organization, keys, now)
    return seen


def _revised(standings: Sequence[Standing], altered: Sequence[Key], first: int) -> list[Standing]:
    """Standings with the revision of their last alteration, in the order of these."""
    newest = {key: revision for revision, key in enumerate(altered, first)}
    return sorted(
        (standing.revised(newest[standing.key]) for standing in standings), key=lambda standing: standing.revision
    )


def _tell(
    deps: Deps,
    tx: Connection,
    revised: Mapping[OrganizationId, Sequence[Standing]],
    times: Mapping[OrganizationId, datetime],
    customers: Mapping[OrganizationId, Collection[str]],
) -> None:
    """Tell whoever watches, follows or remembers. Revisions are taken, so that what is left is to write.

    Args:
        deps: of the service.
        tx: the transaction.
        revised: altered standings with their revisions, by organization.
        times: the organizations' times.
        customers: whose facts were altered beside, by organization.
    """
    everybody = {organization: set(altered) for organization, altered in customers.items() if altered}
    for organization, standings in revised.items():
        owners = {standing.subscription.external_customer_id for standing in standings}
        everybody.setdefault(organization, set()).update(owners)
    if not everybody:
        return
    if revised:
        entitlement_store.stamp(
            tx,
            {
                (organization, standing.key): standing.revision
                for organization, standings in revised.items()
                for standing in standings
            },
        )
    change_store.add(
        tx, everybody, {organization: standings[-1].revision for organization, standings in revised.items()}
    )
    after_commit(tx, deps.memory.catch_up_if_it_can)
    deps.announce(
        tx,
        [
            access_changed(organization, standing, at=times[organization])
            for organization, standings in revised.items()
            for standing in standings
        ],
    )


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
