"""Reading an organization's time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.kernel.ids import OrganizationId
from services.rating.deps import Deps
from services.rating.organizations.clock_store import clock_of


@dataclass(frozen=True, slots=True)
class PresentTime:
    """An organization's time, and whether it is a test clock's."""

    now: datetime
    is_test_clock: bool


def get_test_clock(deps: Deps, organization: OrganizationId) -> PresentTime:
    """The organization's present time: the test clock's, or the machine's where there is none."""
    with deps.db.transaction(organization) as tx:
        clock = clock_of(tx, organization)
    return PresentTime(clock.now or deps.clock.now(), clock.now is not None)
