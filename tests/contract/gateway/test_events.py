"""Usage events over REST: what is sent reaches the log as it was written, and each outcome has its answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from farebox.ingest.v1 import usage_event_service_pb2
from farebox.ingest.v1.usage_event_pb2 import IngestDetail, IngestOutcome, StoredUsageEvent, UsageEvent
from farebox.rating.v1.organization_pb2 import Organization
from services.kernel import errors
from tests.support.gateway import Gateway, new_gateway

EVENT = {
    "transaction_id": "unique-id",
    "external_customer_id": "customer_123",
    "code": "api_call",
    "properties": {"model": "gpt-4", "tokens": 1500},
    "external_subscription_id": "sub_abc",
    "timestamp": "2024-01-15T10:30:00Z",
}


def answering(outcome: IngestOutcome, **detail: Any) -> Any:
    """The log's answer for one event."""
    details = [IngestDetail(index=0, outcome=outcome, **detail)] if detail else []
    return usage_event_service_pb2.IngestUsageEventsResponse(outcomes=[outcome], details=details)


def sent(gateway: Gateway) -> UsageEvent:
    return gateway.services.requests("IngestUsageEvents")[0].events[0]


def test_the_seeds_request_is_accepted_and_reaches_the_log_unchanged() -> None:
    gateway = new_gateway()
    response = gateway.post("/api/v1/events", json={"event": EVENT})
    assert response.status_code == 200
    event = response.json()["event"]
    assert event["status"] == "accepted"
    assert event["timestamp"] == "2024-01-15T10:30:00Z"
    assert event["properties"] == EVENT["properties"]
    stored = sent(gateway)
    assert (stored.transaction_id, stored.external_customer_id) == ("unique-id", "customer_123")
    assert (stored.code, stored.external_subscription_id) == ("api_call", "sub_abc")
    assert stored.occurred_at.seconds == 1705314600


def test_numbers_in_properties_keep_their_exact_text() -> None:
    gateway = new_gateway()
    properties = '{"tokens": 0.10000000000000000000001, "big": 123456789012345678901234567890, "e": 1E3}'
    body = '{"event":{"transaction_id":"t","code":"c","properties":' + properties + "}}"
    response = gateway.post("/api/v1/events", content=body)
    assert sent(gateway).properties == properties.encode()
    assert properties in response.text


@pytest.mark.parametrize("timestamp", ["1705314600", 1705314600, "1705314600.000", "2024-01-15T11:30:00+01:00"])
def test_every_form_of_timestamp_is_the_same_instant(timestamp: Any) -> None:
    gateway = new_gateway()
    gateway.post("/api/v1/events", json={"event": {**EVENT, "timestamp": timestamp}})
    assert sent(gateway).occurred_at.ToJsonString() == "2024-01-15T10:30:00Z"


def test_null_fields_are_absent_as_lagos_client_sends_them() -> None:
    gateway = new_gateway()
    event = {**EVENT, "timestamp": None, "properties": None, "precise_total_amount_cents": None}
    response = gateway.post("/api/v1/events", json={"event": event})
    assert response.status_code == 200
    assert not sent(gateway).HasField("occurred_at")
    assert sent(gateway).properties == b""
    assert response.json()["event"]["timestamp"]


@pytest.mark.parametrize(
    ("change", "details"),
    [
        ({"transaction_id": ""}, {"transaction_id": ["value_is_mandatory"]}),
        ({"code": None}, {"code": ["value_is_mandatory"]}),
        ({"timestamp": "yesterday"}, {"timestamp": ["invalid_format"]}),
        ({"timestamp": "2024-01-15"}, {"timestamp": ["invalid_format"]}),
        ({"timestamp": {}}, {"timestamp": ["invalid_format"]}),
        ({"properties": [1]}, {"properties": ["invalid_format"]}),
        ({"properties": "x"}, {"properties": ["invalid_format"]}),
        ({"precise_total_amount_cents": "abc"}, {"precise_total_amount_cents": ["invalid_format"]}),
        ({"transaction_id": ["a"]}, {"transaction_id": ["invalid_format"]}),
    ],
)
def test_what_cannot_be_read_is_refused_by_name_and_not_sent(change: dict[str, Any], details: Any) -> None:
    gateway = new_gateway()
    response = gateway.post("/api/v1/events", json={"event": {**EVENT, **change}})
    assert response.status_code == 422
    assert response.json()["error_details"] == details
    assert not gateway.services.requests("IngestUsageEvents")


@pytest.mark.parametrize("body", ["", "{", "[]", '{"event": 1}', "{}", '{"event": null}', "\xff"])
def test_a_body_that_holds_no_event_is_a_bad_request(body: str) -> None:
    response = new_gateway().post("/api/v1/events", content=body.encode("latin-1"))
    assert response.status_code == 400
    assert response.json()["error"].startswith("BadRequest")


def test_a_quarantined_event_is_a_success_that_names_its_reason() -> None:
    gateway = new_gateway()
    outcome = IngestOutcome.INGEST_OUTCOME_QUARANTINED
    gateway.services.on("IngestUsageEvents", answering(outcome, reason="METRIC_UNKNOWN"))
    response = gateway.post("/api/v1/events", json={"event": EVENT})
    assert response.status_code == 200
    assert response.json()["event"]["status"] == "quarantined"
    assert response.json()["event"]["reason"] == "METRIC_UNKNOWN"


def test_a_rejected_event_names_the_field() -> None:
    gateway = new_gateway()
    outcome = IngestOutcome.INGEST_OUTCOME_REJECTED
    gateway.services.on("IngestUsageEvents", answering(outcome, field="occurred_at", reason="too_far_ahead"))
    response = gateway.post("/api/v1/events", json={"event": EVENT})
    assert response.status_code == 422
    assert response.json()["error_details"] == {"timestamp": ["too_far_ahead"]}


def test_the_same_id_with_other_content_is_a_conflict() -> None:
    gateway = new_gateway()
    outcome = IngestOutcome.INGEST_OUTCOME_CONFLICT
    gateway.services.on("IngestUsageEvents", answering(outcome, reason="TRANSACTION_ID_REUSED"))
    response = gateway.post("/api/v1/events", json={"event": EVENT})
    assert (response.status_code, response.json()["code"]) == (409, "transaction_id_reused")


@pytest.mark.parametrize(
    ("policy", "status"), [(Organization.DUPLICATE_EVENTS_ACCEPT, 200), (Organization.DUPLICATE_EVENTS_REJECT, 422)]
)
def test_the_organization_decides_what_a_duplicate_answers(policy: Any, status: int) -> None:
    gateway = new_gateway(duplicate_events=policy)
    gateway.services.on("IngestUsageEvents", answering(IngestOutcome.INGEST_OUTCOME_DUPLICATE))
    response = gateway.post("/api/v1/events", json={"event": EVENT})
    assert response.status_code == status
    if status == 200:
        assert response.json()["event"]["status"] == "duplicate"
    else:
        assert response.json()["error_details"] == {"transaction_id": ["value_already_exist"]}


def test_without_a_timestamp_a_duplicate_shows_the_time_of_the_first() -> None:
    """A repeat is answered with the instants of the first sending, out of the one call that sent it."""
    gateway, first, received = new_gateway(), Timestamp(), Timestamp()
    first.FromJsonString("2024-01-01T00:00:00Z")
    received.FromJsonString("2024-01-01T00:00:05Z")
    duplicate = answering(IngestOutcome.INGEST_OUTCOME_DUPLICATE, occurred_at=first, received_at=received)
    gateway.services.on("IngestUsageEvents", duplicate)
    event = gateway.post("/api/v1/events", json={"event": {**EVENT, "timestamp": None}}).json()["event"]
    assert (event["timestamp"], event["status"]) == ("2024-01-01T00:00:00Z", "duplicate")
    assert event["created_at"] == "2024-01-01T00:00:05Z"
    assert gateway.services.requests("GetUsageEvent") == []


def test_every_wrong_field_of_an_event_is_named() -> None:
    """All of them at once, including unknown keys; nothing reaches the log."""
    gateway = new_gateway()
    body = {
        "transaction_id": "",
        "code": "a\0b",
        "timestamp": "soon",
        "properties": [],
        "precise_total_amount_cents": "1e999999999",
    }
    refused = gateway.post("/api/v1/events", json={"event": body})
    assert refused.status_code == 422
    assert set(refused.json()["error_details"]) == set(body)
    unknown = gateway.post("/api/v1/events", json={"event": {**EVENT, "colour": "red"}, "batch": 1})
    assert unknown.json()["error_details"] == {"batch": ["unknown_field"], "colour": ["unknown_field"]}
    assert gateway.services.requests("IngestUsageEvents") == []


@pytest.mark.parametrize("field", ["timestamp", "precise_total_amount_cents"])
@pytest.mark.parametrize("value", [b"[" * 900 + b"]" * 900, b"9" * 6000, b"1e999999999", b"true", b'{"a": 1, "a": 2}'])
def test_what_is_no_single_value_is_refused(field: str, value: bytes) -> None:
    """A value that cannot be a single one causes no accident, however deep or long it is."""
    gateway = new_gateway()
    body = b'{"event": {"transaction_id": "t", "code": "c", "' + field.encode() + b'": ' + value + b"}}"
    response = gateway.send("POST", "/api/v1/events", content=body)
    assert response.status_code in {400, 422}, response.text
    assert gateway.services.requests("IngestUsageEvents") == []


def test_concurrent_events_are_one_call_to_the_log() -> None:
    gateway = new_gateway()
    bodies = [{"event": {**EVENT, "transaction_id": f"t{number}"}} for number in range(20)]
    responses = gateway.together(*(("POST", "/api/v1/events", {"json": body}) for body in bodies))
    assert [response.json()["event"]["transaction_id"] for response in responses] == [f"t{n}" for n in range(20)]
    assert len(gateway.services.requests("IngestUsageEvents")) < 5


def test_a_batch_is_one_call_and_answers_each_event() -> None:
    gateway = new_gateway()
    events = [{**EVENT, "transaction_id": f"t{number}"} for number in range(100)]
    response = gateway.post("/api/v1/events/batch", json={"events": events})
    assert [event["transaction_id"] for event in response.json()["events"]] == [f"t{n}" for n in range(100)]
    assert len(gateway.services.requests("IngestUsageEvents")) == 1


@pytest.mark.parametrize(("count", "code"), [(0, "no_events"), (101, "too_many_events")])
def test_a_batch_holds_one_to_a_hundred_events(count: int, code: str) -> None:
    response = new_gateway().post("/api/v1/events/batch", json={"events": [EVENT] * count})
    assert response.status_code == 422
    assert response.json()["error_details"] == {"events": [code]}


def test_a_batch_with_an_unreadable_event_stores_nothing_and_names_the_place() -> None:
    gateway = new_gateway()
    events = [EVENT, {**EVENT, "timestamp": "x"}, {**EVENT, "code": ""}]
    response = gateway.post("/api/v1/events/batch", json={"events": events})
    assert response.status_code == 422
    assert response.json()["error_details"] == {
        "1": {"timestamp": ["invalid_format"]},
        "2": {"code": ["value_is_mandatory"]},
    }
    assert not gateway.services.requests("IngestUsageEvents")


def test_a_full_log_asks_to_wait() -> None:
    gateway = new_gateway()
    gateway.services.on("IngestUsageEvents", errors.ResourceExhaustedError("QUEUE_FULL", "full", retry_after_seconds=2))
    response = gateway.post("/api/v1/events", json={"event": EVENT})
    assert (response.status_code, response.headers["Retry-After"]) == (429, "2")


def test_a_body_too_large_is_refused() -> None:
    body = json.dumps({"event": {**EVENT, "properties": {"x": "y" * 3_000_000}}})
    assert new_gateway().post("/api/v1/events", content=body).status_code == 413


def test_listing_reads_filters_and_pages() -> None:
    gateway = new_gateway()
    stored = StoredUsageEvent(event=UsageEvent(transaction_id="a"), state=StoredUsageEvent.STATE_QUARANTINED)
    gateway.services.on("ListUsageEvents", usage_event_service_pb2.ListUsageEventsResponse(events=[stored]))
    query = "code=api_call&external_subscription_id=s&timestamp_from=2024-01-01&page=2&per_page=10"
    body = gateway.get(f"/api/v1/events?{query}").json()
    assert body["events"][0]["status"] == "quarantined"
    (request,) = gateway.services.requests("ListUsageEvents")
    assert (request.code, request.external_subscription_id, request.page.skip) == ("api_call", "s", 10)
    assert request.occurred.start.ToJsonString() == "2024-01-01T00:00:00Z"
    assert not request.occurred.HasField("end")
