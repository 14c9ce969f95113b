"""kill -9 of any one process in the middle of the events, then its restart: the invoice is the same to the cent.

The events go on while the process is down and while it comes back; a sender that is refused sends the same again.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread

import pytest

from examples.story import price_sheet, traffic
from farebox.testing import FareboxServer, Rest
from services.chassis.provision import SERVICES
from services.chassis.wait import wait_until
from services.local.stack import Stack
from tests.support.patience import PATIENCE_SECONDS

REPLICAS = 2
EVENTS = 600
BATCH = 50
VICTIMS = ["ingest-1", "rating-1", "entitlements-1", "margin-1", "gateway", "nats", "postgres"]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack of its own: what happens here must not disturb other tests."""
    with Stack.temporary(replicas=dict.fromkeys(SERVICES, REPLICAS)) as running:
        yield running


@pytest.fixture
def rest(stack: Stack) -> Iterator[Rest]:
    """The REST interface with the secret key of a fresh organization."""
    with FareboxServer.on(stack) as server, server.new_organization() as organization:
        yield organization.rest


@pytest.mark.parametrize("victim", VICTIMS)
def test_the_invoice_is_the_same(victim: str, stack: Stack, rest: Rest) -> None:
    """What a customer owes does not depend on which process died, nor on when it came back."""
    events = traffic.month(EVENTS, seed=11)
    usages = traffic.count_usage(events)
    _sell(rest)
    bodies = [event.body() for event in events]
    comeback = Thread(target=stack.restart, args=(victim,))
    for start in range(0, EVENTS, BATCH):
        if start == EVENTS // 2:
            stack.kill(victim)
            comeback.start()
        rest.post("/events/batch", {"events": bodies[start : start + BATCH]})
    comeback.join()
    # A sender that is not sure sends the last events again.
    rest.post("/events/batch", {"events": bodies[-BATCH:]})
    rest.post("/test_clock/advance", {"to": "2024-02-01T00:00:00Z"})
    for customer, usage in usages.items():
        assert (
            wait_until(
                lambda asked=customer: rest.get("/invoices", external_customer_id=asked)["invoices"],
                timeout=PATIENCE_SECONDS,
                what=f"the invoice of {customer}",
            )[0]["total_amount_cents"]
            == usage.total_cents()
        )


def _sell(rest: Rest) -> None:
    rest.post("/test_clock", {"now": "2024-01-01T00:00:00Z"})
    for metric in price_sheet.METRICS:
        rest.post("/billable_metrics", {"billable_metric": metric})
    for feature in price_sheet.FEATURES:
        rest.post("/features", {"feature": feature})
    rest.post("/plans", {"plan": price_sheet.PLAN})
    for customer, subscription in traffic.CUSTOMERS.items():
        plan = {"customer_id": customer, "plan_code": price_sheet.PLAN_CODE, "subscription_id": subscription}
        rest.post("/checkout", plan)
    rest.post("/test_clock/advance", {"to": "2024-01-20T00:00:00Z"})
