"""Two repeats at once, through two gateways, are one change with one answer."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from farebox.testing import Farebox, FareboxServer, Rest
from gateway.app import Gateway
from gateway.clients import Clients
from gateway.config import GatewaySettings
from gateway.dialects import DIALECTS
from services.kernel.ids import new_id
from tests.support.patience import PATIENCE_SECONDS

PAIRS = 10
SERVICES = ("ingest", "rating", "entitlements", "margin")


async def checkouts(farebox: Farebox, settings: GatewaySettings, bodies: list[Any]) -> list[list[httpx.Response]]:
    """For each body two requests at once with one key: to the running gateway, and to a second one in this process."""
    clients = Clients(settings)
    second = httpx.ASGITransport(app=Gateway(DIALECTS, clients))
    common = {"base_url": farebox.url, "timeout": PATIENCE_SECONDS}
    async with httpx.AsyncClient(**common) as one, httpx.AsyncClient(transport=second, **common) as other:
        answers = []
        for body in bodies:
            headers = {"Authorization": f"Bearer {farebox.secret_key}", "Idempotency-Key": new_id()}
            sent = [client.post("/api/v1/checkout", json=body, headers=headers) for client in (one, other)]
            answers.append(list(await asyncio.gather(*sent)))
    await clients.close()
    return answers


def test_two_repeats_at_once_are_one_change(farebox: Farebox, farebox_server: FareboxServer, rest: Rest) -> None:
    """A checkout without an id of its own would make a subscription each time; here both get the first one's answer."""
    rest.post(
        "/plans",
        {"plan": {"name": "Pro", "code": "pro", "interval": "monthly", "amount_cents": 100, "amount_currency": "USD"}},
    )
    settings = GatewaySettings(**{f"{name}_address": farebox_server.address(name) for name in SERVICES})
    bodies = [{"customer_id": f"c{number}", "plan_code": "pro"} for number in range(PAIRS)]
    for body, pair in zip(bodies, asyncio.run(checkouts(farebox, settings, bodies)), strict=True):
        assert {(answer.status_code, answer.content) for answer in pair} == {(200, pair[0].content)}, pair[0].text
        assert [answer.headers.get("Idempotent-Replayed") for answer in pair].count("true") == 1
        held = rest.get("/subscriptions", external_customer_id=body["customer_id"])["subscriptions"]
        assert len(held) == 1
