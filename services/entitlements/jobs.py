"""What the process does by itself: only what every service does, deleting old requests.

Windows, holds and scheduled ends need no job: every read evaluates them at the organization's time.
"""

from __future__ import annotations

from collections.abc import Callable

from services.chassis.job import Job, forget_old_requests
from services.entitlements.deps import Deps


def _forget_old_requests(deps: Deps) -> Job:
    return forget_old_requests(deps.db, deps.clock.now)


JOBS: tuple[Callable[[Deps], Job], ...] = (_forget_old_requests,)
