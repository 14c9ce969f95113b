"""Every scenario through the pure domain: the same fees, to the cent, as through the services and over REST."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.scenario_catalog import billed_fee
from tests.support.scenario_pricing import PricedInvoice, price_scenario
from tests.support.scenarios import (
    ExpectedInvoice,
    Scenario,
    comparable,
    over_time_files,
    read_scenario,
    scenario_files,
)


@pytest.mark.parametrize("path", [*scenario_files(), *over_time_files()], ids=lambda path: path.stem)
def test_the_invoices_come_to_the_cent(path: Path) -> None:
    scenario = read_scenario(path)
    found = [invoice for invoice in price_scenario(scenario) if invoice.totals.fees_cents]
    assert len(found) == len(scenario.invoices)
    for invoice, expected in zip(found, scenario.invoices, strict=True):
        assert _fees(invoice, scenario, expected) == expected.fees
        assert invoice.totals.total_cents == expected.total_cents


def _fees(invoice: PricedInvoice, scenario: Scenario, expected: ExpectedInvoice) -> frozenset[object]:
    names = {
        (charge["billable_metric_id"], f"filter-{number}"): each.get("invoice_display_name", "")
        for plan in scenario.plans
        for charge in plan["charges"]
        for number, each in enumerate(charge.get("filters", []))
    }
    fees = [billed_fee(fee, names.get((fee.metric_code, fee.filter_key), "")) for fee in invoice.fees]
    return comparable(fees, expected.fees)
