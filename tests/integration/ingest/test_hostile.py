"""Hostile input is refused by field or quarantined, and its neighbours in the batch are unharmed."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import timestamp_pb2

from farebox.common.v1 import decimal_pb2
from farebox.ingest.v1 import usage_event_pb2 as pb
from farebox.ingest.v1 import usage_event_service_pb2 as service_pb
from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.errors import field_violations
from tests.support.ingest.process import Ingest, at, usage_event
from tests.support.patience import PATIENCE_SECONDS

METHOD = "/farebox.ingest.v1.UsageEventService/IngestUsageEvents"


def _far_ahead() -> timestamp_pb2.Timestamp:
    moment = timestamp_pb2.Timestamp()
    moment.FromDatetime(at(hours=25))
    return moment


REFUSED = {
    "no id": (usage_event(""), "transaction_id", "value_is_mandatory"),
    "nothing": (pb.UsageEvent(), "transaction_id", "value_is_mandatory"),
    "long id": (usage_event("x" * 256), "transaction_id", "value_too_long"),
    "NUL in an id": (usage_event("a\0b"), "transaction_id", "invalid_format"),
    "no customer": (usage_event(external_customer_id=""), "external_customer_id", "value_is_mandatory"),
    "NaN": (usage_event(properties=b'{"tokens": NaN}'), "properties", "invalid_format"),
    "Infinity": (usage_event(properties=b'{"tokens": -Infinity}'), "properties", "invalid_format"),
    "bytes that are not UTF-8": (usage_event(properties=b'{"a": "\xff\xfe"}'), "properties", "invalid_format"),
    "lone surrogate": (usage_event(properties=b'{"a": "\\ud800"}'), "properties", "invalid_format"),
    "escaped NUL": (usage_event(properties=b'{"a": "\\u0000"}'), "properties", "invalid_format"),
    "raw NUL": (usage_event(properties=b'{"a": "\0"}'), "properties", "invalid_format"),
    "100 deep": (usage_event(properties=b'{"a":' + b"[" * 100 + b"]" * 100 + b"}"), "properties", "value_is_invalid"),
    "open brackets": (usage_event(properties=b"[" * 60_000), "properties", "value_is_invalid"),
    "100,000 keys": (
        usage_event(properties=b"{" + b",".join(b'"%d":1' % n for n in range(100_000)) + b"}"),
        "properties",
        "value_too_long",
    ),
    "1,000 keys": (
        usage_event(properties=b"{" + b",".join(b'"%d":1' % n for n in range(1000)) + b"}"),
        "properties",
        "value_is_invalid",
    ),
    "two objects": (usage_event(properties=b"{}{}"), "properties", "invalid_format"),
    "far ahead": (usage_event(occurred_at=_far_ahead()), "timestamp", "value_is_out_of_range"),
    "year -290000": (
        usage_event(occurred_at=timestamp_pb2.Timestamp(seconds=-(2**62))),
        "timestamp",
        "value_is_out_of_range",
    ),
    "year 290000000000": (
        usage_event(occurred_at=timestamp_pb2.Timestamp(seconds=2**62)),
        "timestamp",
        "value_is_out_of_range",
    ),
    "an amount of 1e18 cents": (
        usage_event(precise_total_amount_cents=decimal_pb2.Decimal(value="1e18")),
        "precise_total_amount_cents",
        "value_is_out_of_range",
    ),
    "negative nanoseconds": (
        usage_event(occurred_at=timestamp_pb2.Timestamp(seconds=1, nanos=-5)),
        "timestamp",
        "invalid_format",
    ),
}
QUARANTINED = {
    "huge exponent": (b'{"tokens": 1E+1000000}', "VALUE_TOO_LARGE"),
    "a quintillion": (b'{"tokens": 1e18}', "VALUE_TOO_LARGE"),
    "60,000 digits": (b'{"tokens": ' + b"9" * 60_000 + b"}", "VALUE_TOO_LARGE"),
    "text": (b'{"tokens": "twelve"}', "PROPERTY_NOT_NUMERIC"),
    "object": (b'{"tokens": {"n": 1}}', "PROPERTY_NOT_NUMERIC"),
    "boolean": (b'{"tokens": true}', "PROPERTY_NOT_NUMERIC"),
    "null": (b'{"tokens": null}', "PROPERTY_MISSING"),
    "absent": (b"{}", "PROPERTY_MISSING"),
}


def test_each_is_answered_by_itself(ingest: Ingest) -> None:
    hostile = [event for event, _, _ in REFUSED.values()]
    hostile += [usage_event(code="llm_tokens", properties=properties) for properties, _ in QUARANTINED.values()]
    batch = [event for hostile_event in hostile for event in (usage_event(), hostile_event)]
    response = ingest.send(*batch)
    expected = [(field, reason) for _, field, reason in REFUSED.values()]
    expected += [("properties.tokens", reason) for _, reason in QUARANTINED.values()]
    assert [(detail.field, detail.reason) for detail in response.details] == expected
    assert response.outcomes[::2] == [pb.INGEST_OUTCOME_ACCEPTED] * len(hostile)
    assert ingest.stored() == len(hostile) + len(QUARANTINED)


def test_text_that_is_not_utf8_is_refused_by_field(ingest: Ingest) -> None:
    good = usage_event().SerializeToString()
    bad = usage_event("PLACE-MARK").SerializeToString().replace(b"PLACE-MARK", b"PLACE\xff\xfe\xfdRK")
    request = b"".join(b"\x0a" + bytes([len(event)]) + event for event in (good, bad))
    with open_channel(f"127.0.0.1:{ingest.port}") as channel:
        answer = channel.unary_unary(METHOD)(request, metadata=ingest.metadata, timeout=PATIENCE_SECONDS)
    response = service_pb.IngestUsageEventsResponse.FromString(answer)
    assert list(response.outcomes) == [pb.INGEST_OUTCOME_ACCEPTED, pb.INGEST_OUTCOME_REJECTED]
    assert (response.details[0].field, response.details[0].reason) == ("transaction_id", "invalid_format")


@pytest.mark.parametrize("count", [0, 1001])
def test_batch_of_a_wrong_size_is_refused_whole(ingest: Ingest, count: int) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        ingest.send(*[usage_event() for _ in range(count)])
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in field_violations(caught.value)] == ["events"]
    assert ingest.stored() == 0


def test_body_of_more_than_4_mib_is_refused_whole(ingest: Ingest) -> None:
    large = b'{"text": "' + b"x" * 60_000 + b'"}'
    with pytest.raises(grpc.RpcError) as caught:
        ingest.send(*[usage_event(properties=large) for _ in range(75)])
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as caught:
        ingest.send(*[usage_event(properties=large) for _ in range(100)])
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert ingest.stored() == 0


def test_stream_acknowledges_each_message(ingest: Ingest) -> None:
    messages = [
        service_pb.StreamUsageEventsRequest(sequence=number, events=[usage_event(f"id-{number % 3}")])
        for number in range(6)
    ]
    answers = ingest.stub.StreamUsageEvents(iter(messages), metadata=ingest.metadata, timeout=PATIENCE_SECONDS)
    seen = [(answer.sequence, answer.outcomes[0]) for answer in answers]
    first, again = pb.INGEST_OUTCOME_ACCEPTED, pb.INGEST_OUTCOME_DUPLICATE
    assert seen == list(enumerate([first] * 3 + [again] * 3))
