"""From counted usage to a finalized invoice, on a real database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from farebox.rating.v1 import billable_metric_pb2, invoice_pb2
from services.chassis.config import Settings
from tests.support.rating.billing import Billing, fees_of, running_billing
from tests.support.rating.server import standard_charge

JANUARY = datetime(2024, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2024, 2, 1, tzinfo=UTC)
MARCH = datetime(2024, 3, 1, tzinfo=UTC)
SUM = billable_metric_pb2.BillableMetric.AGGREGATION_SUM


@pytest.fixture
def billing(settings_for: Callable[[str], Settings]) -> Iterator[Billing]:
    with running_billing(settings_for("rating")) as running:
        running.clock(JANUARY)
        running.tenant.metric("api_call")
        running.tenant.metric("tokens", aggregation=SUM, field_name="tokens")
        running.tenant.plan(charges=[standard_charge("api_call", "0.10"), standard_charge("tokens", "0.001")])
        yield running


def test_a_period_of_usage_becomes_an_invoice(billing: Billing) -> None:
    subscription = billing.subscribe()
    for day in (2, 3, 4):
        billing.event(subscription, "api_call", JANUARY.replace(day=day))
    billing.event(subscription, "tokens", JANUARY.replace(day=9), tokens=1500)
    billing.event(subscription, "tokens", JANUARY.replace(day=9), tokens=500)
    current = billing.current()
    assert [(fee.metric_code, fee.units.value, fee.amount_cents) for fee in current.fees] == [
        ("api_call", "3", 30),
        ("tokens", "2000", 200),
    ]
    done = billing.advance(FEBRUARY)
    assert (done.closed_period_count, done.finalized_invoice_count) == (1, 1)
    (invoice,) = billing.invoices()
    assert fees_of(invoice) == {"pro": 3000, "api_call": 30, "tokens": 200}
    assert invoice.state == invoice_pb2.Invoice.STATE_FINALIZED
    assert invoice.number == "FBX-000001"
    assert invoice.total_amount_cents == 3230
    assert sum(fee.amount_cents for fee in invoice.fees) == invoice.fees_amount_cents
    rebuilt = billing.rebuild(invoice)
    assert rebuilt.equal, rebuilt.differences
    assert [event.transaction_id for event in billing.explain(invoice.fees[1]).events] == ["t1", "t2", "t3"]
