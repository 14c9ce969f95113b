"""What was noted of commands (chassis.audit)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.chassis import audit
from services.chassis.page import Listed, Page
from services.kernel.ids import OrganizationId
from services.rating.deps import Deps


def list_audit_entries(
    deps: Deps, organization: OrganizationId, filters: Mapping[str, Any], page: Page
) -> Listed[audit.Entry]:
    """The organization's entries, newest first."""
    with deps.db.transaction(organization) as tx:
        return audit.list_entries(tx, organization, filters, page)


def verify_audit_log(deps: Deps, organization: OrganizationId, after_number: int) -> audit.Verified:
    """Whether the next entries of the chain are in their places."""
    with deps.db.transaction(organization) as tx:
        return audit.verify(tx, organization, after_number)
