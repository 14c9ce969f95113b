"""The story of a new organization in real time, told by Lago's own client: each step right after the one before it.

Metric, plan, customer, subscription, events; a further metric and a dearer plan; an upgrade; an end and a second life;
and after each of them events, with no pause and no poll. Every event must be accepted when it is sent, since nobody
who follows Lago's documentation asks again. `make bench BENCH=lago_story` tells it twenty times in a row.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import httpx
from lago_python_client.client import Client
from lago_python_client.models import BatchEvent, BillableMetric, Charge, Charges, Customer, Event, Plan, Subscription

from farebox.testing import Farebox, running
from services.kernel.ids import new_id

TIMES = 20
# What one telling sends.
EVENTS = 24


@contextmanager
def overheard() -> Iterator[list[str]]:
    """The status of each event, in the answers that the client is given and does not show."""
    statuses: list[str] = []
    send = httpx.Client.send

    def send_and_listen(client: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        response = send(client, request, **options)
        if "/events" in request.url.path and request.method == "POST":
            told = response.json()
            statuses.extend(event["status"] for event in told.get("events", [told.get("event")]))
        return response

    with mock.patch.object(httpx.Client, "send", send_and_listen):
        yield statuses


def tell(farebox: Farebox) -> list[str]:
    """Tell the story once, in an organization that has nothing; what became of each event."""
    lago = Client(api_key=farebox.secret_key, api_url=farebox.url)
    with overheard() as statuses:
        calls = _metric(lago, "calls")
        _plan(lago, "pro", 1000, calls)
        lago.customers.create(Customer(external_id="acme", name="Acme", currency="USD"))
        _subscribe(lago, "first", "pro")
        _send(lago, "first", "calls")

        tokens = _metric(lago, "tokens", aggregation_type="sum_agg", field_name="tokens")
        _plan(lago, "team", 9000, calls, tokens)
        _send(lago, "first", "tokens")
        _subscribe(lago, "first", "team")
        _send(lago, "first", "calls")

        lago.subscriptions.destroy("first")
        _subscribe(lago, "second", "pro")
        _send(lago, "second", "calls")
    return statuses


def _metric(lago: Client, code: str, **fields: str) -> str:
    wanted = {"aggregation_type": "count_agg", **fields}
    return str(lago.billable_metrics.create(BillableMetric(name=code, code=code, **wanted)).lago_id)


def _plan(lago: Client, code: str, amount_cents: int, *metrics: str) -> None:
    charges = [
        Charge(billable_metric_id=metric, charge_model="standard", properties={"amount": "0.01"}) for metric in metrics
    ]
    lago.plans.create(
        Plan(
            name=code,
            code=code,
            interval="monthly",
            amount_cents=amount_cents,
            amount_currency="USD",
            pay_in_advance=False,
            charges=Charges(__root__=charges),
        )
    )


def _subscribe(lago: Client, external_id: str, plan: str) -> None:
    lago.subscriptions.create(Subscription(external_customer_id="acme", plan_code=plan, external_id=external_id))


def _send(lago: Client, subscription: str, code: str) -> None:
    """One event by itself and a batch of five, without a time of their own."""
    one, *others = (
        {
            "transaction_id": new_id(),
            "external_subscription_id": subscription,
            "code": code,
            "properties": {"tokens": 5},
        }
        for _ in range(6)
    )
    lago.events.create(Event(**one))
    lago.events.batch_create(BatchEvent(events=[Event(**other) for other in others]))


def main() -> None:
    """Tell the story `TIMES` times, each in an organization of its own; fail where an event was not accepted."""
    seconds, wrong = [], []
    with running() as server:
        for number in range(TIMES):
            with server.new_organization() as organization:
                began = time.perf_counter()
                statuses = tell(organization)
                seconds.append(time.perf_counter() - began)
            wrong += [(number, status) for status in statuses if status != "accepted"]
            wrong += [(number, "missing")] * (EVENTS - len(statuses))
    print(f"lago_story: {TIMES} times, {TIMES * EVENTS} events, {len(wrong)} not accepted, ", end="")
    print(f"median {statistics.median(seconds):.2f} s a story")
    if wrong:
        sys.exit(f"not accepted: {wrong}")


if __name__ == "__main__":
    main()
