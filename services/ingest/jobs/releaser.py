"""Releases quarantined events that a change of the catalog made billable."""

from __future__ import annotations

import threading

from services.ingest.commands.ingest import Deps
from services.ingest.commands.release import release_next

# How soon a change of the catalog is noticed; asking costs one look into an empty table.
IDLE_SECONDS = 0.2


class Releaser:
    """`turn` is a turn of chassis.job.Job."""

    def __init__(self, deps: Deps, wake: threading.Event) -> None:
        """Prepare; `wake` wakes the shard relay."""
        self._deps = deps
        self._wake = wake

    def turn(self, stopping: threading.Event) -> bool:
        """Answer one part of one request, or wait for one; always again."""
        looked_at = release_next(self._deps)
        if looked_at is None:
            stopping.wait(IDLE_SECONDS)
        elif looked_at:
            self._wake.set()
        return True
