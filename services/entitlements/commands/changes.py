"""What a transaction has changed: revised, locked in order and announced once, at its end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from services.entitlements.deps import Deps
from services.entitlements.domain.event import access_changed
from services.entitlements.store import entitlement, organization, standing


class Changes:
    """The (subscription, feature) pairs whose answers a transaction has altered, by organization."""

    def __init__(self) -> None:
        self._keys: defaultdict[str, set[entitlement.Key]] = defaultdict(set)

    def note(self, owner: str, keys: Iterable[entitlement.Key]) -> None:
        """Note what was altered."""
        self._keys[owner].update(keys)

    def announce(self, deps: Deps, tx: Connection) -> None:
        """Give every altered row its own revision and announce its new answer; the last thing before the commit."""
        for owner, keys in sorted(self._keys.items()):
            if keys:
                _announce(deps, tx, owner, sorted(keys))


def _announce(deps: Deps, tx: Connection, owner: str, keys: list[entitlement.Key]) -> None:
    # Rows first, the organization's revision last: see the order of locks in store/__init__.
    entitlement.lock(tx, owner, keys)
    first = organization.next_revisions(tx, owner, len(keys))
    entitlement.stamp(tx, owner, {key: first + place for place, key in enumerate(keys)})
    seen = standing.of_keys(tx, owner, keys, deps.clock.now())
    deps.announce(tx, [access_changed(owner, one, at=seen.at) for one in seen.standings[0]])


@dataclass(frozen=True)
class Batch:
    """Announcements of rating that are taken over in one transaction.

    Attributes:
        deps: of the service.
        tx: the follower's transaction.
        changes: what was altered so far.
    """

    deps: Deps
    tx: Connection
    changes: Changes
