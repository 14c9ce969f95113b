"""One authenticated request on its way through a dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc
from starlette.datastructures import Headers, QueryParams

from farebox.rating.v1.organization_pb2 import Organization
from gateway.clients import DEADLINE_SECONDS, Clients, Request, Response, ask
from gateway.engine.coalescer import Coalescer
from gateway.problem import invalid
from services.kernel.ids import new_id

# What a database column and a header hold comfortably; Nozle's SDK checks the same.
MAX_IDEMPOTENCY_BYTES = 255


@dataclass(frozen=True)
class Reply:
    """An answer, written.

    Attributes:
        content: sent as it is.
        status: HTTP status.
        media_type: of the content.
        headers: further ones.
    """

    content: bytes
    status: int = 200
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """What a handler knows.

    Attributes:
        clients: the services.
        coalescer: the way of single events into the log.
        organization: whose key it was.
        path: parameters of the path, decoded.
        query: parameters after the question mark.
        headers: of the request.
        body: of the request, as sent.
        base_url: what links to ourselves begin with.
    """

    clients: Clients
    coalescer: Coalescer
    organization: Organization
    path: Mapping[str, str]
    query: QueryParams
    headers: Headers
    body: bytes
    base_url: str

    @property
    def mutation_id(self) -> str:
        """The identity of a change: the caller's Idempotency-Key, else a fresh one that makes our own retries safe."""
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
