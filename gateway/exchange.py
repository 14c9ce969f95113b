"""One HTTP request and its answer as ASGI hands them over: the body, the query, the address, and what is sent back.

It is written by hand, since a framework's objects cost more than everything else that the gateway does for an event.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl

from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from gateway.call import Reply
from gateway.problem import Problem

# Headers as they are sent.
Lines = list[tuple[bytes, bytes]]
# Room for a batch of 100 events of 20 kB each, and half of what a gRPC message holds.
MAX_BODY_BYTES = 2 * 1024 * 1024
# More parameters than any operation knows; each costs a little before it is refused by name.
MAX_PARAMETERS = 100


async def read_body(receive: Receive) -> bytes:
    """The body; it is refused as soon as it is too large.

    Raises:
        Problem: 413; 400, the caller hung up before it was whole.
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        return body if len(body) <= MAX_BODY_BYTES else _refuse_size()
    parts, size = [], 0
    while message["type"] == "http.request":
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            _refuse_size()
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()
    raise Problem(400, "bad_request", "the caller hung up before the body was whole")


def _refuse_size() -> bytes:
    raise Problem(413, "content_too_large", f"a body may have {MAX_BODY_BYTES} bytes")


def raw_path(scope: Scope) -> str:
    """The path as it was sent: a decoded `%2F` must not split it."""
    return bytes(scope["raw_path"]).partition(b"?")[0].decode("latin-1")


def read_query(raw: bytes) -> Sequence[tuple[str, str]]:
    """The parameters of a query; they are refused if they are not text that a service could store.

    Raises:
        Problem: 400.
    """
    if not raw:
        return ()
    pairs = read_pairs(raw, "query")
    if any("\0" in name or "\0" in value for name, value in pairs):
        raise Problem(400, "bad_request", "the query holds a NUL")
    return pairs


def read_pairs(raw: bytes, thing: str) -> Sequence[tuple[str, str]]:
    """The names and values of a query or a form, in order.

    Raises:
        Problem: 400, it cannot be read, or holds more than `MAX_PARAMETERS`.
    """
    try:
        return parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except (UnicodeDecodeError, ValueError) as error:
        raise Problem(400, "bad_request", f"the {thing} cannot be read: {error}") from error


def own_address(scope: Scope) -> str:
    """How the caller addressed us, e.g. `https://billing.example`."""
    return str(HTTPConnection(scope).base_url).rstrip("/")


async def send_answer(send: Send, reply: Reply, request_id: str, further: Lines) -> None:
    """Send an answer, whole, with further headers."""
    status, content, media_type, headers = reply.status, reply.content, reply.media_type, reply.headers
    lines = [
        *further,
        (b"content-length", b"%d" % len(content)),
        (b"content-type", media_type.encode("latin-1")),
        (b"x-request-id", request_id.encode("latin-1")),
    ]
    for name, value in headers.items():
        lines.append((name.lower().encode("latin-1"), value.encode("latin-1")))
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": content})
