"""The migrated database: append-only where it must be, and closed between organizations."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from services.chassis.db import Database
from services.margin.commands import price as prices
from services.margin.commands.usage import cost_usage
from tests.support.margin import ACME, OTHER, deps_on


@pytest.mark.parametrize("table", ["cost_entries", "price_overrides", "catalog_prices"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET currency = 'EUR'", "DELETE FROM {}"])
def test_nobody_may_change_the_ledger_or_a_price(
    database_for: Callable[[str], Database], table: str, statement: str
) -> None:
    db = database_for("margin")
    for transaction in (lambda: db.transaction(ACME), db.worker_transaction):
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"), transaction() as tx:
            tx.exec_driver_sql(statement.format(table))


def test_the_catalog_is_imported_once(database_for: Callable[[str], Database]) -> None:
    deps = deps_on(database_for("margin"))
    added = []
    for _ in range(2):
        with deps.db.worker_transaction() as tx:
            added.append(prices.import_catalog(deps, tx))
    with deps.db.worker_transaction() as tx:
        stored = {str(row.id) for row in tx.exec_driver_sql("SELECT id FROM catalog_prices")}
    assert added == [len(stored), 0]
    assert stored == {price.id for price in deps.prices.all_rows()}


def test_an_organization_sees_nothing_of_another(database_for: Callable[[str], Database]) -> None:
    deps = deps_on(database_for("margin"))
    with deps.db.worker_transaction() as tx:
        cost_usage(deps, tx, [])
        tx.exec_driver_sql("INSERT INTO metrics VALUES (%s, 'api_call', false, '')", (ACME,))
    for organization, count in ((ACME, 1), (OTHER, 0)):
        with deps.db.transaction(organization) as tx:
            assert tx.exec_driver_sql("SELECT count(*) FROM metrics").scalar_one() == count
