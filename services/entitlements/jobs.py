"""What the process does by itself: only what every service does, forgetting old requests.

Windows, holds and pending ends need no job: they are evaluated against the organization's time at every read.
"""

from __future__ import annotations

from collections.abc import Callable

from services.chassis.job import Job, forget_old_requests
from services.entitlements.deps import Deps


def _forget_old_requests(deps: Deps) -> Job:
    return forget_old_requests(deps.db, deps.clock.now)


JOBS: tuple[Callable[[Deps], Job], ...] = (_forget_old_requests,)
