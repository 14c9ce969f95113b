"""Every scenario over REST: what is sold, what is used, what is changed, and the invoices it comes to."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from farebox.testing import FareboxServer, Rest
from services.kernel.money import plain
from tests.support.scenarios import (
    CUSTOMER,
    ExpectedInvoice,
    Fee,
    Scenario,
    Step,
    comparable,
    instant,
    over_time_files,
    read_scenario,
    scenario_files,
)

BATCH = 100


@pytest.mark.parametrize("path", [*scenario_files(), *over_time_files()], ids=lambda path: path.stem)
def test_the_invoices_come_to_the_cent(path: Path, farebox_server: FareboxServer) -> None:
    """The same files that the pure domain and the services price."""
    scenario = read_scenario(path)
    with farebox_server.new_organization(**scenario.organization) as organization:
        invoices = play(scenario, organization.rest)
    assert {invoice["status"] for invoice in invoices} == {"finalized"}
    billed = [invoice for invoice in invoices if any(fee["amount_cents"] for fee in invoice["fees"])]
    found = [
        ExpectedInvoice(comparable(found_fees(invoice), expected.fees), invoice["total_amount_cents"])
        for invoice, expected in zip(billed, scenario.invoices, strict=True)
    ]
    assert found == list(scenario.invoices)


def play(scenario: Scenario, rest: Rest) -> list[Any]:
    """From an empty organization to its invoices, in the order of their numbers."""
    rest.post("/test_clock", {"now": scenario.clock["starts_at"]})
    for metric in scenario.metrics:
        rest.post("/billable_metrics", {"billable_metric": metric})
    for plan in scenario.plans:
        rest.post("/plans", {"plan": plan})
    # The customer's own fields follow the organization's; only its currency comes from the plan.
    rest.post("/customers", {"customer": {"external_id": CUSTOMER, "name": "Customer"}})
    _subscribe(scenario, rest, scenario.plan["code"])
    now = instant(scenario.clock["starts_at"])
    for step in scenario.steps:
        if instant(step.at) > now:
            now = instant(step.at)
            rest.post("/test_clock/advance", {"to": step.at})
        _take(scenario, rest, step)
    rest.post("/test_clock/advance", {"to": scenario.clock["ends_at"]})
    listed = rest.get("/invoices", external_customer_id=CUSTOMER)["invoices"]
    return [
        rest.get(f"/invoices/{each['lago_id']}")["invoice"]
        for each in sorted(listed, key=lambda invoice: invoice["sequential_id"])
    ]


def _take(scenario: Scenario, rest: Rest, step: Step) -> None:
    """Send a step's events, or move to its plan."""
    for start in range(0, len(step.events), BATCH):
        answer = rest.post("/events/batch", {"events": step.events[start : start + BATCH]})
        assert {event["status"] for event in answer["events"]} <= {"accepted", "duplicate"}
    if step.plan_code:
        _subscribe(scenario, rest, step.plan_code)


def _subscribe(scenario: Scenario, rest: Rest, plan_code: str) -> None:
    subscription = {"external_customer_id": CUSTOMER, "plan_code": plan_code, **scenario.subscription}
    rest.post("/subscriptions", {"subscription": subscription})


def found_fees(invoice: Any) -> list[Fee]:
    """The invoice's fees as a scenario writes them."""
    return [
        Fee(
            type=fee["fee_type"],
            code=fee["item"]["code"] if fee["fee_type"] != "subscription" else "",
            amount_cents=fee["amount_cents"],
            units=plain(Decimal(fee["units"])),
            filter=fee["item"]["filter_invoice_display_name"] or "",
            group=tuple(sorted(fee["item"]["grouped_by"].items())),
        )
        for fee in invoice["fees"]
    ]
