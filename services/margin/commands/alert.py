"""Defining alerts."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.engine import Connection

from services.kernel.errors import AlreadyExistsError, NotFoundError
from services.kernel.ids import OrganizationId, new_id
from services.margin.deps import Deps
from services.margin.domain.alert import Alert, require_valid
from services.margin.store import alert as store


def create_alert(deps: Deps, tx: Connection, organization: OrganizationId, alert: Alert) -> Alert:
    """Define an alert.

    Raises:
        InvalidArgumentError: a field is wrong.
        AlreadyExistsError: `ALERT_CODE_TAKEN`, another alert has this code.
    """
    created = require_valid(replace(alert, id=new_id(), created_at=deps.clock.now()))
    if not store.add_once(tx, organization, created):
        raise AlreadyExistsError("ALERT_CODE_TAKEN", f"another alert has the code {alert.code!r}", code=alert.code)
    return created


def delete_alert(tx: Connection, organization: OrganizationId, code: str) -> Alert:
    """Remove an alert.

    Raises:
        NotFoundError: `ALERT_UNKNOWN`, there is no such alert.
    """
    removed = store.remove(tx, organization, code)
    if removed is None:
        raise NotFoundError("ALERT_UNKNOWN", f"no alert has the code {code!r}", code=code)
    return removed
