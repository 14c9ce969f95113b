"""Stripe's meter events: forms and JSON become usage events, and refusals are told in Stripe's words."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from farebox.ingest.v1 import usage_event_service_pb2
from farebox.ingest.v1.usage_event_pb2 import IngestDetail, IngestOutcome, StoredUsageEvent, UsageEvent
from services.kernel import errors
from tests.support.gateway import Gateway, new_gateway

V1, V2 = "/v1/billing/meter_events", "/v2/billing/meter_events"
FORM = {
    "event_name": "tokens",
    "payload[stripe_customer_id]": "cus_1",
    "payload[value]": "25",
    "payload[model]": "gpt-4",
    "identifier": "m-1",
    "timestamp": "1705314600",
}
ADJUSTMENT = {"event_name": "tokens", "type": "cancel", "cancel[identifier]": "m-1"}


def post(gateway: Gateway, path: str, form: dict[str, str], **headers: str) -> Any:
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    return gateway.post(path, content=urlencode(form), headers=headers)


def stored(gateway: Gateway) -> list[UsageEvent]:
    return [event for asked in gateway.services.requests("IngestUsageEvents") for event in asked.events]


def test_both_versions_store_the_same_event_and_answer_in_their_own_words() -> None:
    """Version 1 writes forms and Unix seconds, version 2 JSON and RFC 3339."""
    gateway = new_gateway(test_mode=True)
    first = post(gateway, V1, FORM).json()
    payload = {"stripe_customer_id": "cus_1", "value": "25", "model": "gpt-4"}
    body = {"event_name": "tokens", "payload": payload, "identifier": "m-1", "timestamp": "2024-01-15T10:30:00Z"}
    second = gateway.post(V2, json=body).json()
    assert {first["object"], second["object"]} == {"billing.meter_event", "v2.billing.meter_event"}
    assert (first["timestamp"], second["timestamp"]) == (1705314600, "2024-01-15T10:30:00Z")
    for answer in (first, second):
        assert (answer["identifier"], answer["event_name"], answer["livemode"]) == ("m-1", "tokens", False)
        assert answer["payload"] == payload
    event, same = stored(gateway)
    assert event == same
    assert (event.transaction_id, event.code, event.external_customer_id) == ("m-1", "tokens", "cus_1")
    assert json.loads(event.properties) == {"value": "25", "model": "gpt-4"}


def test_without_an_identifier_the_idempotency_key_is_the_identity() -> None:
    """Stripe's clients repeat the key with each retry, so that a retry is the same event."""
    gateway = new_gateway()
    form = {name: value for name, value in FORM.items() if name != "identifier"}
    answers = [post(gateway, V1, form, **{"Idempotency-Key": "retry-1"}).json() for _ in range(2)]
    assert [event.transaction_id for event in stored(gateway)] == ["retry-1", "retry-1"]
    assert {answer["identifier"] for answer in answers} == {"retry-1"}
    post(gateway, V1, form)
    assert stored(gateway)[2].transaction_id not in {"", "retry-1"}


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"event_name": ""}, "event_name"),
        ({"payload[stripe_customer_id]": ""}, "payload[stripe_customer_id]"),
        ({"timestamp": "soon"}, "timestamp"),
        ({"invented": "1"}, "invented"),
        ({"expand[]": "x"}, "expand"),
        ({"payload": "flat"}, "payload"),
        ({"payload[value][deeper][still]": "1"}, "payload[value][deeper][still]"),
        ({"[": "1"}, "["),
    ],
)
def test_a_wrong_field_is_an_invalid_request_by_its_name(changes: dict[str, str], param: str) -> None:
    gateway = new_gateway()
    answer = post(gateway, V1, {**FORM, **changes})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert param in error["message"]
    assert not stored(gateway)


def test_a_form_that_cannot_be_read_is_refused() -> None:
    gateway = new_gateway()
    for body in (b"event_name=%ff", b"\xff", b"&".join(b"a%d=1" % index for index in range(200))):
        assert gateway.post(V1, content=body).status_code == 400
    assert not stored(gateway)


def test_an_identifier_with_other_content_is_refused_for_good() -> None:
    """409 would make Stripe's clients send it again and again."""
    gateway = new_gateway()
    conflict = IngestOutcome.INGEST_OUTCOME_CONFLICT
    response = usage_event_service_pb2.IngestUsageEventsResponse(
        outcomes=[conflict], details=[IngestDetail(index=0, outcome=conflict)]
    )
    gateway.services.on("IngestUsageEvents", response)
    answer = post(gateway, V1, FORM)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "identifier")


def test_a_repeat_has_the_instants_of_the_first_sending() -> None:
    gateway = new_gateway()
    duplicate = IngestOutcome.INGEST_OUTCOME_DUPLICATE
    detail = IngestDetail(
        index=0, outcome=duplicate, received_at=Timestamp(seconds=100), occurred_at=Timestamp(seconds=50)
    )
    response = usage_event_service_pb2.IngestUsageEventsResponse(outcomes=[duplicate], details=[detail])
    gateway.services.on("IngestUsageEvents", response)
    answer = post(gateway, V1, FORM).json()
    assert (answer["created"], answer["timestamp"]) == (100, 50)


@pytest.mark.parametrize(("path", "prefix"), [(V1, ""), (V2, "v2.")])
def test_an_adjustment_takes_the_event_back(path: str, prefix: str) -> None:
    gateway = new_gateway()
    found = StoredUsageEvent(event=UsageEvent(transaction_id="m-1", code="tokens"))
    gateway.services.on("GetUsageEvent", usage_event_service_pb2.GetUsageEventResponse(event=found))
    gateway.services.on("VoidUsageEvent", usage_event_service_pb2.VoidUsageEventResponse(event=found))
    path = path.replace("meter_events", "meter_event_adjustments")
    if prefix:
        body = {"event_name": "tokens", "type": "cancel", "cancel": {"identifier": "m-1"}}
        answer = gateway.post(path, json=body).json()
    else:
        answer = post(gateway, path, ADJUSTMENT).json()
    assert answer["object"] == f"{prefix}billing.meter_event_adjustment"
    assert (answer["status"], answer["cancel"]) == ("complete", {"identifier": "m-1"})
    assert [asked.transaction_id for asked in gateway.services.requests("VoidUsageEvent")] == ["m-1"]


def test_an_adjustment_under_another_name_or_of_nothing_is_refused() -> None:
    """The name guards against taking back what somebody else sent under the same identifier."""
    gateway = new_gateway()
    found = StoredUsageEvent(event=UsageEvent(transaction_id="m-1", code="calls"))
    gateway.services.on("GetUsageEvent", usage_event_service_pb2.GetUsageEventResponse(event=found))
    path = "/v1/billing/meter_event_adjustments"
    assert post(gateway, path, ADJUSTMENT).status_code == 404
    gateway.services.on("GetUsageEvent", errors.NotFoundError("EVENT_UNKNOWN", "no such event"))
    assert post(gateway, path, ADJUSTMENT).status_code == 404
    assert not gateway.services.requests("VoidUsageEvent")


def test_a_wrong_key_is_told_as_stripe_tells_it() -> None:
    gateway = new_gateway()
    gateway.key = "sk_wrong"
    answer = post(gateway, V1, FORM)
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "invalid_request_error")
