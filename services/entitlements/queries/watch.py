"""Watches: a snapshot, then every change, read from the entitlements themselves in the order of their revisions.

Nothing is queued: a slow watcher reads later, and then each feature once, with its newest answer. So a watch holds no
memory to bound, and one that was cut off resumes after the last revision it received, on any replica.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from services.entitlements.deps import Deps
from services.entitlements.domain.event import AccessChanged, access_changed
from services.entitlements.store import organization as organization_store
from services.entitlements.store import standing as standing_store
from services.kernel.errors import FailedPreconditionError, ResourceExhaustedError, UnavailableError
from services.kernel.ids import OrganizationId

# Changes read at a time: some 100 kB of messages, so that a slow watcher holds little memory and no transaction.
WATCH_PAGE = 500
# A place becomes free when another watch is cut off, which proxies do every few minutes.
RETRY_SECONDS = 5


class Watches:
    """The watches of this process, at most `limit` at once."""

    def __init__(self, deps: Deps, *, limit: int, poll_seconds: float, ending: threading.Event) -> None:
        """Describe the watches.

        Args:
            deps: of the service.
            limit: most at once, since each keeps a thread of the server.
            poll_seconds: how often each looks for changes.
            ending: set when the process drains; watchers then resume at another replica.
        """
        self._deps = deps
        self._poll_seconds = poll_seconds
        self._places = threading.Semaphore(limit)
        self._ending = ending

    def follow(
        self, organization: OrganizationId, customers: Sequence[str], after: int, is_active: Callable[[], bool]
    ) -> Iterator[tuple[AccessChanged, bool]]:
        """Changes after a revision, each with whether it belongs to the snapshot, for as long as somebody listens.

        Raises:
            ResourceExhaustedError: `TOO_MANY_WATCHES`.
            FailedPreconditionError: `REVISION_UNKNOWN`.
            UnavailableError: `DRAINING`; resume after the last revision.
        """
        with self._place():
            newest = _begin(self._deps, organization, resumed_after=after)
            snapshot_until = 0 if after else newest
            while is_active():
                changes = changes_after(self._deps, organization, customers, after)
                for change in changes:
                    after = change.access.revision
                    is_snapshot = after <= snapshot_until
                    if not (is_snapshot and change.is_removed):
                        yield change, is_snapshot
                if not changes and self._ending.wait(self._poll_seconds):
                    raise UnavailableError("DRAINING", "this replica stops; resume after the last revision")

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise ResourceExhaustedError(
                "TOO_MANY_WATCHES", "this replica serves no more watches", retry_after_seconds=RETRY_SECONDS
            )
        try:
            yield
        finally:
            self._places.release()


def newest_revision(deps: Deps, organization: OrganizationId) -> int:
    """The newest revision of an organization."""
    with deps.db.transaction(organization) as tx:
        return organization_store.revision(tx, organization)


def _begin(deps: Deps, organization: OrganizationId, *, resumed_after: int) -> int:
    """The revision a watch begins at.

    Raises:
        FailedPreconditionError: `REVISION_UNKNOWN`, the watcher resumes after one that was never given here.
    """
    newest = newest_revision(deps, organization)
    if resumed_after > newest:
        raise FailedPreconditionError(
            "REVISION_UNKNOWN", f"the newest revision is {newest}; begin with a snapshot", revision=newest
        )
    return newest


def changes_after(
    deps: Deps, organization: OrganizationId, customers: Sequence[str], revision: int
) -> list[AccessChanged]:
    """The next `WATCH_PAGE` changes after a revision, in order; each feature once, with its newest answer."""
    with deps.db.transaction(organization) as tx:
        seen = standing_store.changed_after(tx, organization, customers, revision, WATCH_PAGE, deps.clock.now())
    return [access_changed(organization, standing, at=seen.at) for standing in seen.standings[0]]
