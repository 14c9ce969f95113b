"""What organizations and their test clocks announce."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.kernel.ids import OrganizationId
from services.rating.organizations.organization import Organization


@dataclass(frozen=True, slots=True)
class OrganizationChanged:
    """An organization was created or changed."""

    organization: Organization


@dataclass(frozen=True, slots=True)
class TestClockAdvanced:
    """A test clock was set or moved. `positions` are the newest numbers of the shards at that moment."""

    __test__ = False  # not a test case, although pytest would take it for one by its name

    organization_id: OrganizationId
    now: datetime
    revision: int
    positions: tuple[tuple[int, int], ...] = ()
