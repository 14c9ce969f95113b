"""Alerts are stored as they are defined, under one code each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from services.chassis.db import Database
from services.chassis.page import Listed, Page
from services.kernel.errors import AlreadyExistsError, NotFoundError
from services.margin.commands import alert as alerts
from services.margin.domain.alert import Alert, AlertMetric
from services.margin.queries import alert as lists
from tests.support.margin import ACME, NOW, OTHER, deps_on

LOW = Alert(
    "", "low", "Low margin", AlertMetric.MARGIN_PERCENT, "cust_1", Decimal(20), Decimal(0), Decimal(25),
    timedelta(minutes=2), timedelta(minutes=5), NOW,
)  # fmt: skip


def test_an_alert_is_made_found_and_removed(database_for: Callable[[str], Database]) -> None:
    deps = deps_on(database_for("margin"))
    with deps.db.transaction(ACME) as tx:
        made = alerts.create_alert(deps, tx, ACME, LOW)
    assert lists.get_alert(deps, ACME, "low") == made
    assert lists.list_alerts(deps, ACME, Page()) == Listed((made,))
    assert lists.list_alerts(deps, OTHER, Page()) == Listed(())
    with pytest.raises(AlreadyExistsError), deps.db.transaction(ACME) as tx:
        alerts.create_alert(deps, tx, ACME, LOW)
    with deps.db.transaction(OTHER) as tx, pytest.raises(NotFoundError):
        alerts.delete_alert(tx, OTHER, "low")
    with deps.db.transaction(ACME) as tx:
        assert alerts.delete_alert(tx, ACME, "low") == made
    with pytest.raises(NotFoundError):
        lists.get_alert(deps, ACME, "low")
