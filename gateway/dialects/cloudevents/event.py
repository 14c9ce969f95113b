"""CloudEvents become usage events: structured, as a batch, or binary, in which headers carry the attributes.

`id` is the transaction id, so an event is the same event in whichever dialect it is repeated; `type` is the metric's
code, `subject` the customer, `time` when it occurred, `data` its properties. `source` must be there, as the standard
says, and tells no events apart: two sources that use one id for different events are told of the conflict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, TypeVar
from urllib.parse import unquote

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.ingest.v1.usage_event_pb2 import IngestOutcome, UsageEvent
from gateway.call import Reply
from gateway.decode import body as bodies
from gateway.decode.refusals import Refusals
from gateway.engine.coalescer import Outcome
from gateway.engine.event_body import UsageEventBody, read_each, read_event, read_id
from gateway.engine.event_outcome import store, store_all
from gateway.operation import Nothing, Request, operation
from gateway.problem import Problem
from gateway.schema import Code, InstantInput

STRUCTURED = "application/cloudevents"
ONE, MANY = f"{STRUCTURED}+json", f"{STRUCTURED}-batch+json"
VERSION_HEADER = "ce-specversion"
VERSION = "1.0"
# The largest batch of one call to the log.
MAX_EVENTS = 1_000
# Shows the outcomes of the events, since 204 has no body: `accepted=98, quarantined=2`.
OUTCOMES_HEADER = "Farebox-Outcomes"
_ATTRIBUTE = "ce-"
_JSON_ENDINGS = ("/json", "+json")
# The caller's name of each field of a usage event.
_NAMES = {
    "transaction_id": "id",
    "code": "type",
    "external_customer_id": "subject",
    "external_subscription_id": "subject",
    "timestamp": "time",
    "properties": "data",
    "precise_total_amount_cents": "data",
}
T = TypeVar("T")


class CloudEvent(Struct, kw_only=True):
    """A CloudEvent 1.0 that reports usage; the same `id` again is the same event.

    `traceparent` and `tracestate` are accepted but not stored, since they differ in each retry of one event.
    """

    NOT_OFFERED: ClassVar = frozenset({"data_base64"})

    specversion: Annotated[str, Meta(pattern=r"^1\.0$")]
    id: Code
    source: Annotated[Code, Meta(description="The origin of the event; not part of its identity.")]
    type: Annotated[Code, Meta(description="The code of a metric.")]
    subject: Annotated[Code, Meta(description="The organization's id of the customer.")]
    time: InstantInput | UnsetType = UNSET
    datacontenttype: Annotated[str, Meta(description="If given, a type of JSON.")] | UnsetType = UNSET
    dataschema: str | UnsetType = UNSET
    traceparent: str | UnsetType = UNSET
    tracestate: str | UnsetType = UNSET
    data: dict[str, msgspec.Raw] | UnsetType = UNSET


class _Sent(Struct, forbid_unknown_fields=True):
    """A CloudEvent as it is sent; numbers are kept as the text in which they were written."""

    specversion: object = None
    id: object = None
    source: object = None
    type: object = None
    subject: object = None
    time: msgspec.Raw = msgspec.Raw(b"")
    datacontenttype: object = None
    dataschema: object = None
    traceparent: object = None
    tracestate: object = None
    data: msgspec.Raw = msgspec.Raw(b"")


_ONE = msgspec.json.Decoder(_Sent)
_MANY = msgspec.json.Decoder(list[_Sent])
_KNOWN = frozenset(_Sent.__struct_fields__)


async def create(request: Request[Nothing, Nothing, bytes]) -> Reply:
    """Store one CloudEvent, or up to 1,000 of them.

    The answer comes once the events are durably stored. Nothing is stored if one of them cannot be read. Events that
    cannot be billed yet are quarantined, and counted in the header `Farebox-Outcomes`.
    """
    call = request.call
    media_type = call.headers.get("content-type", "").lower()
    if media_type.startswith(MANY):
        return _stored(await store_all(call, _read_many(request.body), _NAMES))
    is_structured = media_type.startswith(STRUCTURED)
    sent = _decode(_ONE, request.body) if is_structured else _of_headers(call.headers, media_type, request.body)
    refusals = Refusals()
    event = _usage_event(sent, refusals)
    refusals.raise_any()
    return _stored([await store(call, event, _NAMES)])


def _stored(outcomes: Sequence[Outcome]) -> Reply:
    words = [IngestOutcome.Name(outcome.outcome).removeprefix("INGEST_OUTCOME_").lower() for outcome in outcomes]
    counts = ", ".join(f"{word}={words.count(word)}" for word in sorted(set(words)))
    return Reply(b"", 204, headers={OUTCOMES_HEADER: counts})


def _read_many(raw: bytes) -> list[UsageEvent]:
    sent = _decode(_MANY, raw)
    if not 0 < len(sent) <= MAX_EVENTS:
        raise Problem(
            422, "validation_errors", f"a batch holds 1 to {MAX_EVENTS} events", fields={"base": ["value_is_invalid"]}
        )
    return read_each(sent, _usage_event)


def _usage_event(sent: _Sent, refusals: Refusals) -> UsageEvent:
    """The usage event of a CloudEvent; its faults are added to the refusals."""
    if sent.specversion != VERSION:
        refusals.add("specversion", "value_is_invalid", f"must be {VERSION}")
    read_id("source", sent.source, refusals, is_mandatory=True)
    if sent.datacontenttype is not None and not _is_json(sent.datacontenttype):
        refusals.add("datacontenttype", "value_is_invalid", "must be application/json: data is a JSON object")
    if sent.subject in (None, ""):
        refusals.add("subject", "value_is_mandatory", "is missing: it names the customer")
    body = UsageEventBody(
        transaction_id=sent.id,
        code=sent.type,
        external_customer_id=sent.subject,
        timestamp=sent.time,
        properties=sent.data,
    )
    return read_event(body, refusals, _NAMES)


def _is_json(media_type: object) -> bool:
    return isinstance(media_type, str) and media_type.partition(";")[0].strip().lower().endswith(_JSON_ENDINGS)


def _of_headers(headers: Mapping[str, str], media_type: str, body: bytes) -> _Sent:
    """The CloudEvent of a request in binary mode: its attributes are `ce-` headers, its data is the body.

    Raises:
        Problem: 422, names the headers that are unknown or cannot be read.
    """
    refusals, values = Refusals(), dict[str, str]()
    for name, value in headers.items():
        attribute = name.lower().removeprefix(_ATTRIBUTE)
        if attribute == name.lower():
            continue
        if attribute not in _KNOWN - {"data", "datacontenttype"}:
            refusals.add(name, "unknown_field", "is not known here")
            continue
        try:
            values[attribute] = unquote(value, errors="strict")
        except UnicodeDecodeError:
            refusals.add(name, "invalid_format", "is not UTF-8, percent-encoded")
    # Clients omit the type if the event has no datacontenttype; then the body itself must be JSON.
    if media_type and not _is_json(media_type):
        refusals.add("Content-Type", "value_is_invalid", "must be application/json: data is a JSON object")
    if body:
        bodies.parse(body)
    refusals.raise_any()
    time = msgspec.json.encode(values["time"]) if "time" in values else b""
    return _Sent(
        specversion=values.get("specversion"),
        id=values.get("id"),
        source=values.get("source"),
        type=values.get("type"),
        subject=values.get("subject"),
        time=msgspec.Raw(time),
        data=msgspec.Raw(body),
    )


def _decode(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    """The CloudEvents of a body.

    Raises:
        Problem: 400, it is not JSON or has another form; 422, names the unknown attributes.
    """
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value, refusals = bodies.parse(raw), Refusals()
        for index, event in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(event, dict):
                raise Problem(400, "bad_request", "a CloudEvent must be a JSON object") from None
            place = f"[{index}]." if isinstance(value, list) else ""
            for name in event.keys() - _KNOWN:
                refusals.add(f"{place}{name[:100]}", "unknown_field", "is not a known attribute")
        refusals.raise_any()
        raise Problem(400, "bad_request", f"send {ONE} as an object and {MANY} as a list") from None


OPERATIONS = (
    operation("POST", "/events", create, status=204, bodies={ONE: CloudEvent, MANY: list[CloudEvent]}, is_event=True),
)
