"""The time at which a command happens: the organization's own."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection

from services.kernel.ids import OrganizationId
from services.rating.deps import Deps
from services.rating.organizations.clock_store import organization_now


def now_of(deps: Deps, tx: Connection, organization: OrganizationId) -> datetime:
    """The organization's present time: its test clock's, or the machine's."""
    return organization_now(tx, organization, deps.clock.now())
