"""Clients of other systems report usage here, unmodified but for the address; all of it is one customer's usage."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import httpx
import pytest
import stripe
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent
from openmeter.aio import Client as OpenMeter
from openmeter.models import Event

from farebox.testing import Farebox
from services.chassis.wait import wait_until
from tests.support.patience import PATIENCE_SECONDS

BEGIN, NOW = "2024-05-01T00:00:00Z", "2024-05-19T12:00:00Z"
SENT = "2024-05-18T08:00:00+00:00"


@pytest.fixture
def metered(farebox: Farebox) -> Farebox:
    """A customer whose tokens are summed."""
    rest = farebox.rest
    rest.post("/test_clock", {"now": BEGIN})
    metric = {"name": "tokens", "code": "tokens", "aggregation_type": "sum_agg", "field_name": "value"}
    metric_id = rest.post("/billable_metrics", {"billable_metric": metric})["billable_metric"]["lago_id"]
    charge = {"billable_metric_id": metric_id, "charge_model": "standard", "properties": {"amount": "0.01"}}
    plan = {"name": "p", "code": "p", "interval": "monthly", "amount_cents": 0, "amount_currency": "USD"}
    rest.post("/plans", {"plan": {**plan, "charges": [charge]}})
    rest.post("/checkout", {"customer_id": "alice", "plan_code": "p", "subscription_id": "sub_1"})
    rest.post("/test_clock/advance", {"to": NOW})
    return farebox


def units(farebox: Farebox) -> Decimal:
    usage = farebox.rest.get("/customers/alice/current_usage", external_subscription_id="sub_1")
    return Decimal(usage["customer_usage"]["charges_usage"][0]["units"])


def by_cloudevents(farebox: Farebox, name: str) -> None:
    """Once structured, and once more in binary mode: the same event."""
    attributes = {"id": name, "type": "tokens", "source": "app", "subject": "alice", "time": SENT}
    event = CloudEvent(attributes, {"value": 10})
    key = {"Authorization": f"Bearer {farebox.secret_key}"}
    for headers, body in (to_structured(event), to_binary(event)):
        answer = httpx.post(f"{farebox.url}/api/v1/events", headers={**headers, **key}, content=body)
        assert answer.status_code == 204, answer.text


def test_openmeter_cloudevents_and_stripe_report_to_one_customer(metered: Farebox) -> None:
    """Each client's event counts once, also where another client repeats it by the same id."""
    by_cloudevents(metered, "e-1")

    async def by_openmeter() -> None:
        async with OpenMeter(endpoint=metered.url, token=metered.secret_key) as client:
            event = {"id": "e-2", "source": "app", "specversion": "1.0", "type": "tokens", "subject": "alice"}
            await client.events.ingest_event(Event(**event, time=SENT, data={"value": 20}))

    asyncio.run(by_openmeter())
    client = stripe.StripeClient(metered.secret_key, base_addresses={"api": metered.url})
    payload = {"stripe_customer_id": "alice", "value": "30"}
    params = {"event_name": "tokens", "payload": payload, "identifier": "e-3", "timestamp": 1716019200}
    first = client.v1.billing.meter_events.create(params)
    again = client.v2.billing.meter_events.create({**params, "timestamp": "2024-05-18T08:00:00Z"})
    assert (first.identifier, again.identifier, first.timestamp) == ("e-3", "e-3", 1716019200)
    wait_until(lambda: units(metered) == 60, timeout=PATIENCE_SECONDS, what="usage of three clients")
    with pytest.raises(stripe.InvalidRequestError, match="identifier"):
        client.v1.billing.meter_events.create({**params, "payload": {**payload, "value": "31"}})
    adjustment = {"event_name": "tokens", "type": "cancel", "cancel": {"identifier": "e-3"}}
    assert client.v1.billing.meter_event_adjustments.create(adjustment).status == "complete"
    wait_until(lambda: units(metered) == 30, timeout=PATIENCE_SECONDS, what="an event taken back")
    stored = metered.rest.get("/events", external_customer_id="alice")["events"]
    assert {event["transaction_id"] for event in stored} == {"e-1", "e-2", "e-3"}
