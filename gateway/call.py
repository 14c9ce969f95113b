"""One authenticated request on its way through a dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import grpc
import msgspec
from starlette.datastructures import Headers, QueryParams

from farebox.rating.v1 import test_clock_service_pb2
from farebox.rating.v1.organization_pb2 import Organization
from gateway.clients import DEADLINE_SECONDS, Clients, Request, Response, ask
from gateway.engine.coalescer import Coalescer
from gateway.problem import Problem, invalid
from services.kernel.clock import SystemClock
from services.kernel.ids import new_id

# What a database column and a header hold comfortably; Nozle's SDK checks the same.
MAX_IDEMPOTENCY_BYTES = 255
# Fractions arrive as exact decimals; a float never enters.
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


@dataclass(frozen=True)
class Reply:
    """An answer that is not plainly 200 and JSON.

    Attributes:
        content: JSON-able, or bytes that are sent as they are.
        status: HTTP status.
        media_type: of bytes.
        headers: further ones.
    """

    content: Any
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

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; an empty body is an empty object.

        Raises:
            Problem: 400, it is something else.
        """
        if not self.body.strip():
            return {}
        try:
            value = _DECODER.decode(self.body)
        except (msgspec.DecodeError, ArithmeticError, UnicodeDecodeError, RecursionError) as error:
            raise Problem(400, "bad_request", f"the body is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise Problem(400, "bad_request", "the body must be a JSON object")
        return value

    def wrapped(self, root: str) -> dict[str, Any]:
        """The object under the body's root name, as Lago's clients send it.

        Raises:
            Problem: 400, the root is missing or no object.
        """
        value = self.json().get(root)
        if not isinstance(value, dict):
            raise Problem(400, "bad_request", f"param is missing or the value is empty: {root}")
        return value

    async def now(self) -> datetime:
        """The organization's time: its test clock's, or the machine's."""
        if not self.organization.test_mode:
            return SystemClock().now()
        answer = await self.ask(self.clients.test_clock.GetTestClock, test_clock_service_pb2.GetTestClockRequest())
        return answer.now.ToDatetime(tzinfo=UTC)
