"""One authenticated request on its way through a dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import grpc
from starlette.datastructures import Headers

from farebox.rating.v1.organization_pb2 import Organization
from gateway.clients import DEADLINE_SECONDS, Clients, Request, Response, ask
from gateway.engine.coalescer import Coalescer
from gateway.engine.questions import Questions
from gateway.problem import invalid
from services.kernel.ids import new_id

# A database column and a header can easily hold this; Nozle's SDK has the same limit.
MAX_IDEMPOTENCY_BYTES = 255


@dataclass(frozen=True)
class Reply:
    """A finished answer.

    Attributes:
        content: the bytes that are sent.
        status: the HTTP status.
        media_type: the media type of the content.
        headers: further ones.
    """

    content: bytes
    status: int = 200
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """What a handler knows of a request.

    Attributes:
        clients: the services.
        coalescer: the way of single events into the log.
        questions: the way of single questions about access to entitlements.
        organization: the organization whose key was used.
        path: the parameters of the path, decoded.
        query: the parameters after the question mark, in order.
        headers: the headers of the request.
        body: the body of the request, as sent.
        address: how the caller addressed us; a function, since few operations need it.
    """

    clients: Clients
    coalescer: Coalescer
    questions: Questions
    organization: Organization
    path: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    headers: Headers
    body: bytes
    address: Callable[[], str]

    @cached_property
    def base_url(self) -> str:
        """What links to ourselves begin with."""
        return self.address()

    @property
    def mutation_id(self) -> str:
        """The identity of a change: the caller's Idempotency-Key, or a fresh one that makes our own retries safe."""
        given = self.headers.get("idempotency-key", "").strip()
        if len(given.encode()) > MAX_IDEMPOTENCY_BYTES:
            raise invalid("Idempotency-Key", "value_is_too_long", f"is at most {MAX_IDEMPOTENCY_BYTES} bytes")
        return given or new_id()

    async def ask(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        deadline: float = DEADLINE_SECONDS,
    ) -> Response:
        """Call a service for this organization; see `gateway.clients.ask`."""
        return await ask(method, request, self.organization.id, deadline=deadline)
