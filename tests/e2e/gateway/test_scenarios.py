"""Every scenario over REST: what is sold, what is used, the month's end, the invoice."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from examples.story.operator import Tenant
from examples.story.rest import Rest
from services.chassis.stack import Stack
from services.kernel.money import plain
from tests.support.scenarios import CUSTOMER, Fee, Scenario, read_scenario, scenario_files

BATCH = 100


@pytest.mark.parametrize("path", scenario_files(), ids=lambda path: path.stem)
def test_the_invoice_comes_to_the_cent(path: Path, stack: Stack, tenant_of: Callable[..., Tenant]) -> None:
    scenario = read_scenario(path)
    tenant = tenant_of(**scenario.organization)
    with Rest(stack.http_url, tenant.secret_key) as rest:
        invoice = play(scenario, rest)
    assert found_fees(invoice, scenario) == scenario.fees
    assert invoice["total_amount_cents"] == scenario.total_cents
    assert invoice["status"] == "finalized"


def play(scenario: Scenario, rest: Rest) -> Any:
    """From an empty organization to the period's invoice."""
    rest.post("/test_clock", {"now": scenario.clock["starts_at"]})
    for metric in scenario.metrics:
        rest.post("/billable_metrics", {"billable_metric": metric})
    rest.post("/plans", {"plan": scenario.plan})
    # The customer's own fields follow the organization's; only its currency comes from the plan.
    rest.post("/customers", {"customer": {"external_id": CUSTOMER, "name": "Customer"}})
    subscription = {"external_customer_id": CUSTOMER, "plan_code": scenario.plan["code"], **scenario.subscription}
    rest.post("/subscriptions", {"subscription": subscription})
    rest.post("/test_clock/advance", {"to": scenario.last_event_at})
    for start in range(0, len(scenario.events), BATCH):
        answer = rest.post("/events/batch", {"events": scenario.events[start : start + BATCH]})
        assert {event["status"] for event in answer["events"]} <= {"accepted", "duplicate"}
    rest.post("/test_clock/advance", {"to": scenario.clock["ends_at"]})
    (listed,) = rest.get("/invoices", external_customer_id=CUSTOMER)["invoices"]
    return rest.get(f"/invoices/{listed['lago_id']}")["invoice"]


def found_fees(invoice: Any, scenario: Scenario) -> frozenset[Fee]:
    """The invoice's fees as a scenario writes them: without those of 0 cents, units only where they are expected."""
    compared = {(fee.type, fee.code) for fee in scenario.fees if fee.units}
    found = set()
    for fee in invoice["fees"]:
        if not fee["amount_cents"]:
            continue
        kind = fee["fee_type"]
        code = fee["item"]["code"] if kind != "subscription" else ""
        units = plain(Decimal(fee["units"])) if (kind, code) in compared else ""
        group = tuple(sorted(fee["item"]["grouped_by"].items()))
        name = fee["item"]["filter_invoice_display_name"] or ""
        found.add(Fee(kind, code, fee["amount_cents"], units, name, group))
    return frozenset(found)
