"""Named points at which a test may kill the process, as a crash would; outside tests they do nothing.

    FAREBOX_ENVIRONMENT=test FAREBOX_FAILPOINT=ingest.after_commit:3 python -m services.ingest.main

kills the process (SIGKILL: nothing is flushed, closed or rolled back) when it reaches the point for the third time.
"""

from __future__ import annotations

import itertools
import os
import signal


def _chosen() -> tuple[str, int]:
    if os.environ.get("FAREBOX_ENVIRONMENT") != "test":
        return "", 0
    name, _, visit = os.environ.get("FAREBOX_FAILPOINT", "").partition(":")
    return name, int(visit or 1)


_NAME, _VISIT = _chosen()
_visits = itertools.count(1)


def hit(name: str) -> None:
    """Kill the process here if a test asked for it."""
    if name == _NAME and next(_visits) == _VISIT:
        os.kill(os.getpid(), signal.SIGKILL)
