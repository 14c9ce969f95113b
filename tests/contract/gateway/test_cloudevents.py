"""CloudEvents: each mode becomes the usage event that the other dialects send, and every fault is named as sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from farebox.ingest.v1 import usage_event_service_pb2
from farebox.ingest.v1.usage_event_pb2 import IngestDetail, IngestOutcome, UsageEvent
from tests.support.gateway import Gateway, new_gateway

EVENT = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "my-app",
    "type": "api_call",
    "subject": "customer_123",
    "time": "2024-01-15T10:30:00Z",
    "data": {"tokens": 1500, "model": "gpt-4"},
}
ONE, MANY = "application/cloudevents+json", "application/cloudevents-batch+json"
HEADERS = {f"ce-{name}": str(EVENT[name]) for name in ("specversion", "id", "source", "type", "subject", "time")}


def send(gateway: Gateway, body: object, media_type: str = ONE) -> Any:
    return gateway.post("/api/v1/events", content=json.dumps(body), headers={"Content-Type": media_type})


def stored(gateway: Gateway) -> list[UsageEvent]:
    return [event for asked in gateway.services.requests("IngestUsageEvents") for event in asked.events]


def test_the_three_modes_send_the_same_event() -> None:
    """Structured, batch and binary differ in nothing but how they are written."""
    events = []
    for body, headers in (
        (json.dumps(EVENT), {"Content-Type": f"{ONE}; charset=utf-8"}),
        (json.dumps([EVENT]), {"Content-Type": MANY}),
        (json.dumps(EVENT["data"]), {"Content-Type": "application/json", **HEADERS}),
    ):
        gateway = new_gateway()
        answer = gateway.post("/api/v1/events", content=body, headers=headers)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["Farebox-Outcomes"] == "accepted=1"
        events += stored(gateway)
    first, *others = events
    assert (first.transaction_id, first.code, first.external_customer_id) == ("e-1", "api_call", "customer_123")
    assert (first.occurred_at.seconds, json.loads(first.properties)) == (1705314600, EVENT["data"])
    assert others == [first, first]


def test_the_same_event_by_another_dialect_is_the_same_message() -> None:
    """A repeat is told by its id, whichever dialect it comes through."""
    gateway = new_gateway()
    send(gateway, EVENT)
    same = {
        "transaction_id": EVENT["id"],
        "code": EVENT["type"],
        "external_customer_id": EVENT["subject"],
        "timestamp": EVENT["time"],
        "properties": EVENT["data"],
    }
    gateway.post("/api/v1/events", content=json.dumps({"event": same}))
    first, second = stored(gateway)
    assert first == second


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"id": None, "type": None, "subject": None, "source": None}, {"id", "type", "subject", "source"}),
        ({"specversion": "0.3"}, {"specversion"}),
        ({"time": "yesterday", "data": [1]}, {"time", "data"}),
        ({"datacontenttype": "text/xml"}, {"datacontenttype"}),
        ({"invented": 1, "data_base64": "AA=="}, {"invented", "data_base64"}),
        ({"id": "x" * 256, "subject": "a\0b"}, {"id", "subject"}),
    ],
)
def test_every_wrong_attribute_is_named_as_it_was_sent(changes: dict[str, object], wrong: set[str]) -> None:
    """All of them at once, and nothing is stored."""
    gateway = new_gateway()
    answer = send(gateway, {**EVENT, **changes})
    assert answer.status_code == 422
    assert answer.json()["error_details"].keys() == wrong
    assert not stored(gateway)


def test_a_batch_names_each_wrong_event_by_its_place_and_stores_none() -> None:
    gateway = new_gateway()
    answer = send(gateway, [EVENT, {**EVENT, "subject": ""}, {**EVENT, "time": 1e99}], MANY)
    assert answer.status_code == 422
    assert answer.json()["error_details"].keys() == {"1", "2"}
    assert not stored(gateway)


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        ([EVENT], ONE, 400),
        (EVENT, MANY, 400),
        ([], MANY, 422),
        ([EVENT] * 1001, MANY, 422),
        ([EVENT, "text"], MANY, 400),
        ("text", ONE, 400),
    ],
)
def test_a_body_of_another_form_is_refused(body: object, media_type: str, status: int) -> None:
    gateway = new_gateway()
    assert send(gateway, body, media_type).status_code == status
    assert not stored(gateway)


def test_headers_that_nobody_knows_and_data_that_is_no_json_are_refused() -> None:
    """In binary mode the attributes are headers, and are refused by the header's name."""
    gateway = new_gateway()
    headers = {**HEADERS, "Content-Type": "text/plain", "ce-invented": "1", "ce-subject": "%ff"}
    answer = gateway.post("/api/v1/events", content=b"5", headers=headers)
    assert answer.status_code == 422
    assert answer.json()["error_details"].keys() == {"ce-invented", "ce-subject", "Content-Type"}
    broken = gateway.post("/api/v1/events", content=b"{", headers={**HEADERS, "Content-Type": "application/json"})
    assert broken.status_code == 400
    assert not stored(gateway)


def test_what_the_log_says_of_each_event_is_told() -> None:
    """A quarantined event is counted in a header, since there is no body; a conflict refuses by place."""
    outcomes = [IngestOutcome.INGEST_OUTCOME_ACCEPTED, IngestOutcome.INGEST_OUTCOME_QUARANTINED]
    gateway = new_gateway()
    gateway.services.on("IngestUsageEvents", usage_event_service_pb2.IngestUsageEventsResponse(outcomes=outcomes))
    answer = send(gateway, [EVENT, {**EVENT, "id": "e-2"}], MANY)
    assert answer.headers["Farebox-Outcomes"] == "accepted=1, quarantined=1"
    conflict = IngestOutcome.INGEST_OUTCOME_CONFLICT
    response = usage_event_service_pb2.IngestUsageEventsResponse(
        outcomes=[outcomes[0], conflict], details=[IngestDetail(index=1, outcome=conflict)]
    )
    gateway.services.on("IngestUsageEvents", response)
    answer = send(gateway, [EVENT, {**EVENT, "id": "e-2"}], MANY)
    assert (answer.status_code, answer.json()["error_details"]) == (409, {"1": {"id": ["value_already_exist"]}})
