"""The body of usage events: read once, without touching the numbers it holds.

Events have a reader of their own, because theirs is the only body that is read thousands of times a second. A body that
it cannot read is read again the slow way, only to name every wrong field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec
from msgspec import Struct

from farebox.common.v1.decimal_pb2 import Decimal as DecimalMessage
from farebox.ingest.v1.usage_event_pb2 import UsageEvent
from gateway.decode import body as bodies
from gateway.decode.refusals import Refusals
from gateway.decode.scalars import instant_of, is_storable
from gateway.problem import Problem
from services.kernel.instant import from_date
from services.kernel.money import decimal_or_none

# As in Lago: more events than this are sent in several batches.
MAX_BATCH = 100
# The same limit as ingest's for ids and codes.
MAX_ID = 255
_OBJECT_BEGINS = ord("{")
_NOTHING = (b"", b"null")
T = TypeVar("T")
S = TypeVar("S")


class UsageEventBody(Struct, forbid_unknown_fields=True):
    """One event as it is sent; numbers are kept as the text in which they were written."""

    transaction_id: object = None
    external_customer_id: object = None
    external_subscription_id: object = None
    code: object = None
    timestamp: msgspec.Raw = msgspec.Raw(b"")
    properties: msgspec.Raw = msgspec.Raw(b"")
    precise_total_amount_cents: msgspec.Raw = msgspec.Raw(b"")


class _One(Struct, forbid_unknown_fields=True):
    event: UsageEventBody


class _Many(Struct, forbid_unknown_fields=True):
    events: list[UsageEventBody]


_ONE = msgspec.json.Decoder(_One)
_MANY = msgspec.json.Decoder(_Many)
_KNOWN = frozenset(UsageEventBody.__struct_fields__)
# The caller's name of each field, for a dialect with the same names as the message.
OWN_NAMES: Mapping[str, str] = {name: name for name in UsageEventBody.__struct_fields__}


def read_one(raw: bytes, root: str = "event") -> UsageEvent:
    """The event of a body `{"event": …}`.

    Raises:
        Problem: 400, there is none; 422, names every wrong field.
    """
    refusals = Refusals()
    sent = _decode(_ONE, raw, root, refusals)
    event = UsageEvent() if sent is None else read_event(sent.event, refusals)
    refusals.raise_any()
    return event


def read_many(raw: bytes) -> list[UsageEvent]:
    """The events of a body `{"events": […]}`: 1 to 100 of them.

    Raises:
        Problem: 400, there are none; 422, names every wrong field of each event by the event's place, as Lago does.
    """
    refusals = Refusals()
    sent = _decode(_MANY, raw, "events", refusals)
    refusals.raise_any()
    bodies_sent = sent.events if sent is not None else []
    if not bodies_sent:
        refusals.add("events", "no_events", "holds no event")
    if len(bodies_sent) > MAX_BATCH:
        refusals.add("events", "too_many_events", f"holds more than {MAX_BATCH} events")
    refusals.raise_any()
    return read_each(bodies_sent, read_event)


def read_each(sent: Sequence[S], read: Callable[[S, Refusals], UsageEvent]) -> list[UsageEvent]:
    """The events of a batch, each read alone.

    Raises:
        Problem: names every wrong field of each event by the event's place.
    """
    events, wrong = [], {}
    for index, body in enumerate(sent):
        refusals = Refusals()
        events.append(read(body, refusals))
        if refusals.fields:
            wrong[index] = refusals.problem()
    if wrong:
        raise by_place(wrong)
    return events


def by_place(problems: Mapping[int, Problem]) -> Problem:
    """The refusal of a batch because of some of its events, named by their places, as Lago does."""
    first = min(problems)
    details = {str(index): problem.fields for index, problem in problems.items()}
    return Problem(
        problems[first].status, problems[first].reason, f"event {first}: {problems[first].detail}", fields=details
    )


def read_event(body: UsageEventBody, refusals: Refusals, names: Mapping[str, str] = OWN_NAMES) -> UsageEvent:
    """The event for the wire; its faults are added to the refusals.

    Args:
        body: as it was sent.
        refusals: collects the faults.
        names: the caller's name of each field, which refusals use.
    """
    event = UsageEvent(
        transaction_id=read_id(names["transaction_id"], body.transaction_id, refusals, is_mandatory=True),
        code=read_id(names["code"], body.code, refusals, is_mandatory=True),
        external_customer_id=read_id(names["external_customer_id"], body.external_customer_id, refusals),
        external_subscription_id=read_id(names["external_subscription_id"], body.external_subscription_id, refusals),
        properties=_properties(names["properties"], bytes(body.properties), refusals),
    )
    occurred_at = _timestamp(names["timestamp"], bytes(body.timestamp), refusals)
    if occurred_at is not None:
        event.occurred_at.FromDatetime(occurred_at)
    amount = _amount(names["precise_total_amount_cents"], bytes(body.precise_total_amount_cents), refusals)
    if amount is not None:
        event.precise_total_amount_cents.CopyFrom(amount)
    return event


def _decode(decoder: msgspec.json.Decoder[T], raw: bytes, root: str, refusals: Refusals) -> T | None:
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        _name_faults(bodies.parse(raw), root, refusals)
        if not refusals.fields:
            raise Problem(400, "bad_request", f"param is missing or the value is empty: {root}") from None
        return None


def _name_faults(value: object, root: str, refusals: Refusals) -> None:
    """Name unknown keys: the usual fault of a well-formed body."""
    if not isinstance(value, dict):
        raise Problem(400, "bad_request", "the body must be a JSON object")
    for name in value:
        if name != root:
            refusals.add(name[:MAX_ID], "unknown_field", "is not known here")
    sent = value.get(root)
    for place, event in enumerate(sent if isinstance(sent, list) else [sent]):
        path = f"{root}[{place}]." if isinstance(sent, list) else ""
        if isinstance(event, dict):
            for name in event.keys() - _KNOWN:
                refusals.add(f"{path}{name[:MAX_ID]}", "unknown_field", "is not known here")
        elif isinstance(sent, list):
            refusals.add(f"{root}[{place}]", "invalid_format", "must be an object")


def read_id(name: str, value: object, refusals: Refusals, *, is_mandatory: bool = False) -> str:
    """An id or a code: a text, or a whole number, which is read as its digits; empty if there is none."""
    # Nearly all are plain texts, and one look tells.
    if type(value) is str and value.isascii() and 0 < len(value) <= MAX_ID and "\0" not in value:
        return value
    if value is None or value == "":
        if is_mandatory:
            refusals.add(name, "value_is_mandatory", "is missing")
        return ""
    # The ids of rows are often sent as numbers.
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not is_storable(text):
        refusals.add(name, "invalid_format", "must be a text")
        return ""
    if len(text) > MAX_ID:
        refusals.add(name, "value_is_too_long", f"has more than {MAX_ID} characters")
        return ""
    return text


def _properties(name: str, raw: bytes, refusals: Refusals) -> bytes:
    if raw in _NOTHING:
        return b""
    if raw[0] != _OBJECT_BEGINS:
        refusals.add(name, "invalid_format", "must be an object")
    return raw


def _timestamp(name: str, raw: bytes, refusals: Refusals) -> datetime | None:
    if raw in _NOTHING:
        return None
    value = bodies.decode(raw)
    found = None if isinstance(value, str) and from_date(value) else instant_of(value)
    if found is None:
        refusals.add(name, "invalid_format", "must be an RFC 3339 time or Unix seconds")
    return found


def _amount(name: str, raw: bytes, refusals: Refusals) -> DecimalMessage | None:
    if raw in _NOTHING:
        return None
    value = bodies.decode(raw)
    # A value that contains other values is not a number, and need not be written out to find that.
    text = str(value) if isinstance(value, int | str) else ""
    if decimal_or_none(text) is None:
        refusals.add(name, "invalid_format", "must be a decimal number")
        return None
    return DecimalMessage(value=text)
