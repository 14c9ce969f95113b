"""Background jobs: read what other replicas have changed, and delete what is no longer needed.

Windows, holds and scheduled ends need no job: every read evaluates them at the organization's time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

from services.chassis.job import Job, drained, forget_old_requests
from services.entitlements.deps import Deps
from services.entitlements.memory.memory import LOOK_SECONDS
from services.entitlements.store import access_change as change_store

# Far longer than any transaction, and than a replica's longest pause before it starts again
# (memory.changes.MAX_PAUSE_SECONDS).
KEEP_CHANGES = timedelta(minutes=10)
FORGET_SECONDS = 60.0


def _forget_old_requests(deps: Deps) -> Job:
    return forget_old_requests(deps.db, deps.clock.now)


def _look_for_changes(deps: Deps) -> Job:
    memory = deps.memory
    return Job("memory", memory.look_while_wanted, pause_seconds=LOOK_SECONDS, wake=memory.wanted)


def _forget_old_changes(deps: Deps) -> Job:
    def batch() -> int:
        with deps.db.worker_transaction(quiet=True) as tx:
            return change_store.forget(tx, deps.clock.now() - KEEP_CHANGES)

    def turn(stopping: threading.Event) -> bool:
        for _ in drained(batch, until=stopping.is_set):
            pass
        return True

    return Job("old-changes", turn, pause_seconds=FORGET_SECONDS)


JOBS: tuple[Callable[[Deps], Job], ...] = (_forget_old_requests, _look_for_changes, _forget_old_changes)
