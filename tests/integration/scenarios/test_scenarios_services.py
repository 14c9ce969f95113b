"""Every scenario through rating's commands on real PostgreSQL: the same fees, to the cent, as by the pure domain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from services.chassis.db import Database
from services.rating.invoicing.invoice import InvoiceState
from tests.support.scenario_catalog import billed_fee
from tests.support.scenario_services import ScenarioRun
from tests.support.scenarios import comparable, over_time_files, read_scenario, scenario_files


@pytest.mark.parametrize("path", [*scenario_files(), *over_time_files()], ids=lambda path: path.stem)
def test_the_invoices_come_to_the_cent(path: Path, database_for: Callable[[str], Database]) -> None:
    scenario = read_scenario(path)
    found = [
        bill for bill in ScenarioRun(scenario, database_for("rating")).invoices() if bill.invoice.totals.fees_cents
    ]
    assert len(found) == len(scenario.invoices)
    for bill, expected in zip(found, scenario.invoices, strict=True):
        fees = [billed_fee(each.fee, each.proof.filter_name) for each in bill.fees]
        assert comparable(fees, expected.fees) == expected.fees
        assert bill.invoice.totals.total_cents == expected.total_cents
        assert bill.invoice.state is InvoiceState.FINALIZED
