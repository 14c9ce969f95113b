"""Hostile inputs through ingest's decoder: `python -m benchmarks.fuzz_ingest [COUNT [SEED]]` (`make fuzz`).

Each input is a request: a good one with bytes flipped, cut, doubled or replaced, or one whose properties were mangled
in the same way. Whatever arrives, each event is either refused by field or keeps the promises of the log; and reading a
batch as a whole gives the same result as reading it event by event.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Sequence
from typing import Any

from google.protobuf.message import DecodeError

from farebox.ingest.v1 import usage_event_pb2 as pb
from farebox.ingest.v1 import usage_event_service_pb2 as service_pb
from services.chassis.rpc.lenient import lenient
from services.ingest.convert.usage_event import bytes_of_batch, event_from_pb, events_from_pb, plain_events
from services.ingest.domain.billability import Metric, Needs, missing_property
from services.ingest.domain.identity import content_hash, content_salt, event_key
from services.ingest.domain.repeat import Content, Original, is_rewritten
from services.ingest.domain.usage_event import (
    MAX_ID_CHARACTERS,
    MAX_PROPERTIES,
    MAX_PROPERTIES_DEPTH,
    UsageEvent,
    depth,
)
from services.ingest.domain.usage_events import UsageEvents
from services.ingest.pipeline.property import number_test, value_reader
from services.ingest.store import copy_rows
from services.ingest.store.encoding import varint, write_entries
from services.kernel.errors import FieldViolation, InvalidArgumentError
from services.kernel.ids import OrganizationId

COUNT = 1_000_000
NOW_US = 1_790_000_000_000_000
ORGANIZATION = OrganizationId("00010203-0405-7607-8809-0a0b0c0d0e0f")
_read_request = lenient(service_pb.IngestUsageEventsRequest)
_METRIC = Metric("llm_tokens", Needs.NUMBER, "tokens")
_PROPERTIES = [
    b'{"tokens": 12, "model": "gpt-4o"}',
    b'{"tokens": "1e3", "nested": {"a": [1, 2.50, null, true]}}',
    b'{"tokens": -0.000000000000000000000000001, "text": "\\u00e9\\ud83d\\ude00 \xc3\xa9"}',
    b'{"tokens": 99999999999999999999999999999999999999999999999}',
    b"{}",
    b"",
]
# Enough that a batch is read as a whole if all of it is good.
_NEIGHBOURS = [
    pb.UsageEvent(
        transaction_id=f"neighbour-{number}", external_customer_id="acme", code="llm_tokens", properties=b"{}"
    )
    for number in range(8)
]
for _neighbour in _NEIGHBOURS:
    _neighbour.occurred_at.seconds = 1_780_000_000
_PIECES = [
    b"\0",
    b"\xff",
    b'"',
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[" * 20,
    b"]" * 20,
    b"NaN",
    b"1e999999999",
]
_PIECES += [b"-", b":", b",", b"\n", b"\xef\xbb\xbf", b"9" * 200, b'"a":1,' * 150, b"\x0a\xff\xff\xff\xff\x0f", b"\x08"]


def mangle(data: bytes, chance: random.Random) -> bytes:
    """The bytes, mangled in one to four places."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(data))
        kind = chance.randrange(5)
        if kind == 0:
            data = data[:at] + chance.choice(_PIECES) + data[at:]
        elif kind == 1:
            data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        elif kind == 2:
            data = data[:at]
        elif kind == 3:
            data = data[:at] + data[at + chance.randint(1, 8) :]
        else:
            data = data[:at] + data[at // 2 : at] + data[at:]
    return data


def make_input(chance: random.Random) -> bytes:
    """One serialized request, mangled in one place."""
    properties = chance.choice(_PROPERTIES)
    where = chance.choice(["properties", "properties", "event", "request"])
    event = pb.UsageEvent(
        transaction_id=chance.choice(["019c0000-0000-7000-8000-000000000001", "order-1", "é" * 100]),
        external_customer_id="acme",
        code="llm_tokens",
        properties=mangle(properties, chance) if where == "properties" else properties,
    )
    event.occurred_at.seconds = chance.choice([0, 1, 1_790_000_000, 1_780_000_000, 1_770_000_000, -(2**40), 2**62])
    if chance.random() < 0.2:
        event.precise_total_amount_cents.value = chance.choice(["1.5", "1e9", "NaN", "-", "1e9999", "9" * 100])
    message = event.SerializeToString()
    if where == "event":
        message = mangle(message, chance)
    request = b"\x0a" + varint(len(message)) + message
    return mangle(request, chance) if where == "request" else request


def check(data: bytes) -> str:
    """Put one input through the decoder and everything that follows; returns the outcome."""
    try:
        request = _read_request(data)
        bytes_of_batch(request)
    except DecodeError:
        return "not a message"
    except InvalidArgumentError:
        return "refused whole"
    taken, wrong = _read(request.events)
    # Among enough good events the batch is checked as a whole.
    _read([*_NEIGHBOURS, *request.events])
    for fault in wrong.values():
        assert all((fault.field, fault.reason, fault.description))
    for event in taken:
        _check_event(event)
    return "refused by field" if wrong else "taken"


def _read(events: Sequence[Any]) -> tuple[list[UsageEvent], dict[int, FieldViolation]]:
    """Read the events one by one; together with others, and as a whole if possible, the result must be the same."""
    read = [event_from_pb(event, NOW_US) for event in events]
    taken = [event for event in read if isinstance(event, UsageEvent)]
    wrong = {index: fault for index, fault in enumerate(read) if isinstance(fault, FieldViolation)}
    assert events_from_pb(events, NOW_US) == (UsageEvents.of(taken), wrong)
    plain = plain_events(events, NOW_US)
    assert plain is None or (plain == UsageEvents.of(taken) and not wrong)
    return taken, wrong


def _check_event(event: UsageEvent) -> None:
    """Check what the log promises for an event that it accepts."""
    for name in event[:4]:
        assert len(name) <= MAX_ID_CHARACTERS
        assert "\0" not in name
    value = json.loads(event.properties, parse_int=str, parse_float=str, parse_constant=_refuse)
    assert isinstance(value, dict)
    assert len(value) <= MAX_PROPERTIES
    assert depth(event.properties) <= MAX_PROPERTIES_DEPTH
    assert "\0" not in _texts(value)
    text, salt = event.transaction_id.encode(), content_salt(*event[1:4])
    digest = content_hash(text, salt, event.properties, event.amount)
    key = event_key(ORGANIZATION, text)
    occurred_us = NOW_US if event.occurred_us is None else event.occurred_us
    counted = value_reader(_METRIC.field_name)(event.properties)
    assert json.loads(counted, parse_int=str, parse_float=str) == value.get(_METRIC.field_name)
    reason = missing_property(_METRIC, counted)
    assert reason is None or not number_test(_METRIC.field_name)(event.properties)
    assert is_rewritten(event, Original(digest, occurred_us, True, NOW_US), Content(event.properties, event.amount))  # noqa: FBT003
    place = copy_rows.place_columns(ORGANIZATION, 0, None, *event[1:4])
    assert all(copy_rows.write_rows(NOW_US, UsageEvents.of([event]), [text], [place], [key], [digest], [occurred_us]))
    assert all(write_entries(1, NOW_US, [b""], [key], [text], [occurred_us], [event.properties], [event.amount]))


def _texts(value: Any) -> str:
    """All text in a JSON value; if it can be encoded, it has no lone surrogates."""
    text = json.dumps(value, ensure_ascii=False)
    text.encode()
    if isinstance(value, dict):
        return "".join(key + _texts(inner) for key, inner in value.items())
    if isinstance(value, list):
        return "".join(map(_texts, value))
    return value if isinstance(value, str) else ""


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def run(count: int, seed: int) -> dict[str, int]:
    """Check this many inputs; returns how many ended in which way.

    The first broken promise is raised with its input.
    """
    chance = random.Random(seed)
    ended: dict[str, int] = {}
    for number in range(count):
        data = make_input(chance)
        try:
            result = check(data)
        except Exception as error:
            raise AssertionError(f"seed {seed}, input {number}: {data!r}") from error
        ended[result] = ended.get(result, 0) + 1
    return ended


def main() -> None:
    """Run from the command line."""
    numbers = [int(word) for word in sys.argv[1:3]]
    count, seed = (numbers + [COUNT, time.time_ns() % 2**32][len(numbers) :])[:2]
    started = time.perf_counter()
    ended = run(count, seed)
    print(f"seed {seed}: {count:,} inputs in {time.perf_counter() - started:.0f} s: {ended}")


if __name__ == "__main__":
    main()
