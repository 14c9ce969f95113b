"""What a request has changed is named by the organization's next request, whatever service that asks."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from farebox.entitlements.v1 import access_service_pb2
from farebox.rating.v1 import catalog_service_pb2
from gateway.app import BEHIND_HEADER
from services.chassis.rpc.changes import BEHIND_KEY, CHANGE_KEY
from tests.support.gateway import SECRET, Gateway, new_gateway

METRIC = {"billable_metric": {"name": "Calls", "code": "calls", "aggregation_type": "count_agg"}}
EVENT = {"event": {"transaction_id": "t1", "external_subscription_id": "s1", "code": "calls"}}
QUESTION = "/api/v1/can?customer_id=acme&feature=sso"


def in_a_row(gateway: Gateway, *requests: tuple[str, str, Any]) -> list[httpx.Response]:
    """Requests to one process, one after the other."""

    async def send() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=gateway.application)
        headers = {"Authorization": f"Bearer {SECRET}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://farebox", headers=headers) as client:
            return [await client.request(method, path, json=body) for method, path, body in requests]

    return asyncio.run(send())


def test_the_next_request_names_the_change() -> None:
    """Reads and events alike; before the change, nothing is named."""
    gateway = new_gateway()
    gateway.services.on("CreateBillableMetric", catalog_service_pb2.CreateBillableMetricResponse())
    gateway.services.on("Check", access_service_pb2.CheckResponse())
    gateway.services.trailing["CreateBillableMetric"] = ((CHANGE_KEY, "57"),)
    answers = in_a_row(
        gateway,
        ("GET", QUESTION, None),
        ("POST", "/api/v1/billable_metrics", METRIC),
        ("GET", QUESTION, None),
        ("POST", "/api/v1/events", EVENT),
    )
    assert [answer.status_code for answer in answers] == [200] * 4
    named = [(asked.method, asked.after_change) for asked in gateway.services.asked if asked.organization]
    assert named == [("Check", ""), ("CreateBillableMetric", ""), ("Check", "57"), ("IngestUsageEvents", "57")]


def test_an_answer_that_may_lack_a_change_says_so() -> None:
    """A service that has not heard of the change in time answers without it; the caller can tell."""
    gateway = new_gateway()
    gateway.services.on("Check", access_service_pb2.CheckResponse())
    (whole,) = in_a_row(gateway, ("GET", QUESTION, None))
    gateway.services.trailing["Check"] = ((BEHIND_KEY, "56"),)
    (behind,) = in_a_row(gateway, ("GET", QUESTION, None))
    assert [BEHIND_HEADER in answer.headers for answer in (whole, behind)] == [False, True]
    assert whole.content == behind.content
