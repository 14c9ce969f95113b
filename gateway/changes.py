"""What organizations have changed through this process, so that their next call finds it (chassis.rpc.changes).

A change that went through another replica is not known here; services ask for that themselves before they say no.
"""

from __future__ import annotations

import time

from services.chassis.rpc.changes import AFTER_CHANGE_KEY

# A change arrives within some milliseconds; a service that is further behind than this is waited for in vain.
REMEMBER_SECONDS = 60.0
# About a megabyte; beyond this the longest known is forgotten.
MAX_ORGANIZATIONS = 10_000


class Newest:
    """The greatest number of each organization, for a while; use it from one event loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._newest: dict[str, tuple[int, float]] = {}

    def note(self, organization_id: str, number: int) -> None:
        """Remember a number, if it is not smaller than the one that is known."""
        known = self._newest.get(organization_id, (0, 0.0))[0]
        if number < known:
            return
        self._newest.pop(organization_id, None)
        if len(self._newest) >= MAX_ORGANIZATIONS:
            del self._newest[next(iter(self._newest))]
        self._newest[organization_id] = number, time.monotonic() + self._seconds

    def of(self, organization_id: str) -> int:
        """The greatest number of late; 0 for none."""
        known = self._newest.get(organization_id)
        if known is None:
            return 0
        number, until = known
        if until < time.monotonic():
            del self._newest[organization_id]
            return 0
        return number


class Changes(Newest):
    """The newest change of each organization."""

    def __init__(self) -> None:
        super().__init__(REMEMBER_SECONDS)

    def metadata_of(self, organization_id: str) -> tuple[tuple[str, str], ...]:
        """What a call of the organization says of its changes; nothing where it has made none lately."""
        number = self.of(organization_id)
        return ((AFTER_CHANGE_KEY, str(number)),) if number else ()
