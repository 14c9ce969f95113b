"""One authenticated request on its way through a dialect."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import grpc
from starlette.datastructures import Headers

from farebox.entitlements.v1.access_service_pb2 import CheckRequest
from farebox.entitlements.v1.entitlement_pb2 import Access
from farebox.rating.v1.organization_pb2 import Organization
from gateway.auth.keys import Caller
from gateway.changes import Changes
from gateway.clients import DEADLINE_SECONDS, Clients, Request, Response, begin
from gateway.engine.coalescer import Coalescer
from gateway.engine.questions import Questions
from gateway.problem import invalid
from services.chassis.audit import ACTOR_KEY, CALLERS_REQUEST_KEY
from services.chassis.rpc.changes import BEHIND_KEY, CHANGE_KEY, REVISION_KEY
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
        caller: whose key was used.
        path: the parameters of the path, decoded.
        query: the parameters after the question mark, in order.
        headers: the headers of the request.
        body: the body of the request, as sent.
        route: the template of the path, e.g. `/customers/{id}`.
        address: how the caller addressed us; a function, since few operations need it.
        request_id: the id of the request.
        changes: the recent changes of organizations.
        behind: filled if a service answered without a change that it should have known.
    """

    clients: Clients
    coalescer: Coalescer
    questions: Questions
    caller: Caller
    path: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    headers: Headers
    body: bytes
    route: str
    address: Callable[[], str]
    request_id: str
    changes: Changes
    behind: list[str] = field(default_factory=list)

    @property
    def organization(self) -> Organization:
        """The organization whose key was used."""
        return self.caller.organization

    @cached_property
    def base_url(self) -> str:
        """What links to ourselves begin with."""
        return self.address()

    @property
    def idempotency_key(self) -> str:
        """The caller's Idempotency-Key; empty if there is none.

        Raises:
            Problem: 422, it is too long.
        """
        given = self.headers.get("idempotency-key", "").strip()
        if len(given.encode()) > MAX_IDEMPOTENCY_BYTES:
            raise invalid("Idempotency-Key", "value_is_too_long", f"is at most {MAX_IDEMPOTENCY_BYTES} bytes")
        return given

    @property
    def mutation_id(self) -> str:
        """The identity of a change, made of the route and the Idempotency-Key; a fresh one makes our own retries safe.

        Two routes may end in one command (`/checkout` and `/subscribe`), and a key belongs to one route.
        """
        given = self.idempotency_key
        return hashlib.sha256(f"{self.route} {given}".encode()).hexdigest() if given else new_id()

    async def ask(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        deadline: float = DEADLINE_SECONDS,
    ) -> Response:
        """Call a service for this organization; see `gateway.clients.begin`."""
        further = ((ACTOR_KEY, self.caller.key_id), (CALLERS_REQUEST_KEY, self.request_id))
        call = begin(method, request, self.organization.id, self.changes, deadline=deadline, further=further)
        response = await call
        for key, value in await call.trailing_metadata():
            if key == CHANGE_KEY:
                self.changes.note(self.organization.id, int(value))
            elif key == REVISION_KEY:
                self.questions.note_revision(self.organization.id, int(value))
            elif key == BEHIND_KEY:
                self.behind.append(str(value))
        return response

    async def check(self, question: CheckRequest) -> Access:
        """Ask about access, together with whoever asks at the same time; see `gateway.engine.questions`."""
        answer = await self.questions.check(self.organization.id, question)
        self.behind.extend(answer.behind)
        return answer.access
