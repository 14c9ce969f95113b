"""Alerts, as they are defined."""

from __future__ import annotations

from services.chassis.page import Listed, Page
from services.kernel.errors import NotFoundError
from services.kernel.ids import OrganizationId
from services.margin.deps import Deps
from services.margin.domain.alert import Alert
from services.margin.store import alert as alert_store


def get_alert(deps: Deps, organization: OrganizationId, code: str) -> Alert:
    """The alert with this code.

    Raises:
        NotFoundError: `ALERT_UNKNOWN`, there is no such alert.
    """
    with deps.db.transaction(organization) as tx:
        alert = alert_store.get(tx, organization, code)
    if alert is None:
        raise NotFoundError("ALERT_UNKNOWN", f"no alert has the code {code!r}", code=code)
    return alert


def list_alerts(deps: Deps, organization: OrganizationId, page: Page) -> Listed[Alert]:
    """A page of alerts by code."""
    with deps.db.transaction(organization) as tx:
        alerts = alert_store.page(tx, organization, page)
    return Listed.of(alerts, page, lambda alert: (alert.code,))
