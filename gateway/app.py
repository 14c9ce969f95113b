"""The ASGI application: every request gets an id, a caller, an answer in JSON, and one line in the log."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache, partial

import grpc
from prometheus_client import Histogram
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import reference, security
from gateway.auth import scopes
from gateway.auth.keys import NOBODY, Caller, Keys
from gateway.call import Call, Reply
from gateway.changes import Changes
from gateway.clients import Clients
from gateway.dialect import Dialect, Head
from gateway.engine.coalescer import Coalescer
from gateway.engine.questions import Questions
from gateway.exchange import Lines, own_address, raw_path, read_body, read_query, send_answer
from gateway.kept_answers import REPLAYED_HEADER, answer_once
from gateway.limit_terms import Terms
from gateway.limits import RATE_HEADERS, Limits
from gateway.operation import ENCODER, Endpoint
from gateway.problem import Problem, internal, of_rpc
from gateway.routing import RouteTable
from gateway.security import Guarded
from services.chassis.log import logger
from services.kernel.ids import new_id

log = logger(__name__)

# An id that a caller gave is repeated in headers and logs, so it must be harmless there.
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}", re.ASCII)
# Says of an answer that it may lack a change which was made just before, since a service has not heard of it in time.
BEHIND_HEADER = "Farebox-Behind"
# What a page in a browser may send, and for how long a browser remembers that it may.
CORS_HEADERS = ["Authorization", "Content-Type", "Idempotency-Key", "X-API-Key", "X-Request-Id"]
CORS_SECONDS = 600
# What it may read of an answer beside the body.
CORS_ANSWERS = ["X-Request-Id", "Retry-After", BEHIND_HEADER, REPLAYED_HEADER, *RATE_HEADERS]
_SECONDS = Histogram(
    "farebox_http_seconds",
    "Time to answer a request, by route and status.",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


@dataclass(frozen=True)
class _Served:
    """A dialect and its routes."""

    dialect: Dialect
    table: RouteTable


class Gateway:
    """Answers the requests of all dialects: the first one that claims a request routes it.

    Attributes:
        public_url: what links begin with; empty takes the caller's own.
    """

    def __init__(
        self, dialects: Sequence[Dialect], services: Clients, public_url: str = "", limits: Terms | None = None
    ) -> None:
        self.public_url = public_url.rstrip("/")
        self._security = security.lines_of(public_url)
        self._limits = Limits(limits)
        self._served = [_Served(dialect, _table(dialect)) for dialect in dialects]
        self._clients = services
        self._keys = Keys(services.organizations)
        self._changes = Changes()
        self._coalescer = Coalescer(services.events, self._changes)
        self._questions = Questions(services.access, self._changes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; whatever goes wrong is answered too."""
        started, endpoint = time.perf_counter(), None
        head = Head(scope["method"], raw_path(scope), Headers(raw=scope["headers"]))
        request_id, served, lines = _request_id(head.headers), self._claiming(head), self._security.copy()
        try:
            endpoint, parameters = served.table.find(head.method, head.path)
            reply = await self._answer(scope, receive, head, served.dialect, endpoint, parameters, request_id, lines)
        except Exception as error:  # noqa: BLE001 - every error leaves through this one door
            reply = _refuse(served.dialect, _problem(error, endpoint, request_id), request_id)
        await send_answer(send, reply, request_id, lines)
        _note(head.method, endpoint, reply.status, request_id, started)

    async def drain(self) -> None:
        """Wait until every event that was taken and every question is answered."""
        await self._coalescer.drain()
        await self._questions.drain()

    def _claiming(self, head: Head) -> _Served:
        """The dialect of a request; the last one takes what nobody claims."""
        for served in self._served:
            if served.dialect.claims(head):
                return served
        return self._served[-1]

    async def _answer(
        self,
        scope: Scope,
        receive: Receive,
        head: Head,
        dialect: Dialect,
        endpoint: Endpoint,
        parameters: Mapping[str, str],
        request_id: str,
        lines: Lines,
    ) -> Reply:
        caller = await self._caller(head, dialect, endpoint)
        if caller is not NOBODY:
            self._limits.take(caller, endpoint.budget, lines)
        call = Call(
            clients=self._clients,
            coalescer=self._coalescer,
            questions=self._questions,
            caller=caller,
            path=parameters,
            query=read_query(scope["query_string"]),
            headers=head.headers,
            body=await read_body(receive),
            route=endpoint.path,
            address=partial(self._own_address, scope),
            request_id=request_id,
            changes=self._changes,
        )
        is_once = endpoint.keeps_answer and call.idempotency_key
        reply = await (answer_once(call, endpoint) if is_once else endpoint.answer(call))
        return replace(reply, headers={**reply.headers, BEHIND_HEADER: "true"}) if call.behind else reply

    def _own_address(self, scope: Scope) -> str:
        return self.public_url or own_address(scope)

    async def _caller(self, head: Head, dialect: Dialect, endpoint: Endpoint) -> Caller:
        """Whose request it is; nobody's where an operation takes anybody."""
        if endpoint.scope is scopes.Scope.NONE:
            return NOBODY
        caller = await dialect.authenticate(head, self._keys)
        scopes.require(caller, endpoint)
        return caller


class Application:
    """The gateway and the pages beside it."""

    def __init__(
        self, connect: Callable[[], Clients], dialects: Sequence[Dialect], public_url: str, limits: Terms | None
    ) -> None:
        """See `create_app`."""
        routes = [
            StarletteRoute("/healthz", _healthz),
            StarletteRoute("/readyz", self._readyz),
            *reference.routes(dialects),
        ]
        self._connect, self._dialects, self._public_url, self._limits = connect, dialects, public_url, limits
        self._clients: Clients | None = None
        self._gateway: ASGIApp | None = None
        self._pages = Guarded(Starlette(routes=routes, lifespan=self._lifespan), security.lines_of(public_url))
        # A page's path is looked up, since the pages' own router would try each of them for each event.
        self._paths = frozenset(route.path for route in routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request by a page or by the gateway."""
        if self._gateway is None or scope["type"] != "http" or scope["path"] in self._paths:
            await self._pages(scope, receive, send)
        else:
            await self._gateway(scope, receive, send)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """The time between start and end; what was taken is answered before the end."""
        self._clients = self._connect()
        gateway = self._gateway = Gateway(self._dialects, self._clients, self._public_url, self._limits)
        yield
        await gateway.drain()
        await self._clients.close()

    async def _readyz(self, _: HttpRequest) -> Response:
        """Every service answers; 503 names those that do not."""
        services = await self._clients.readiness() if self._clients else {}
        return JSONResponse({"services": services}, status_code=200 if services and all(services.values()) else 503)


def create_app(
    connect: Callable[[], Clients],
    dialects: Sequence[Dialect],
    public_url: str = "",
    cors_origins: Sequence[str] = (),
    limits: Terms | None = None,
) -> ASGIApp:
    """The whole gateway.

    Args:
        connect: makes the services' clients; called once the event loop runs.
        dialects: that are spoken, in the order in which they are asked whether a request is theirs.
        public_url: what links in answers begin with; empty takes the caller's own.
        cors_origins: origins whose pages may call from a browser; none by default.
        limits: how much a key and an organization may ask; the defaults of `Terms` if None.
    """
    app = Application(connect, dialects, public_url, limits)
    if not cors_origins:
        return app
    with_cors = CORSMiddleware(
        app,
        allow_origins=list(cors_origins),
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=CORS_HEADERS,
        expose_headers=CORS_ANSWERS,
        max_age=CORS_SECONDS,
    )
    # Preflights are answered before the application is asked.
    return Guarded(with_cors, security.lines_of(public_url))


def _table(dialect: Dialect) -> RouteTable:
    table = RouteTable(dialect.bases, dialect.operations)
    for prefix, operations in dialect.prefixes:
        table.add((prefix,), operations)
    return table


async def _healthz(_: HttpRequest) -> Response:
    """The process is up."""
    return JSONResponse({"status": "ok"})


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else new_id()


def _refuse(dialect: Dialect, problem: Problem, request_id: str) -> Reply:
    body = ENCODER.encode(dialect.render_problem(problem, request_id))
    status = dialect.statuses.get(problem.status, problem.status)
    return Reply(body, status, dialect.problem_media_type, problem.headers)


def _problem(error: Exception, endpoint: Endpoint | None, request_id: str) -> Problem:
    if isinstance(error, Problem):
        return error
    problem = internal()
    if isinstance(error, grpc.RpcError):
        problem = of_rpc(error, endpoint.callers_field) if endpoint else of_rpc(error)
    if problem.status == internal().status:
        log.error("request_failed", request_id=request_id, exc_info=error)
    return problem


def _note(method: str, endpoint: Endpoint | None, status: int, request_id: str, started: float) -> None:
    """One canonical line a request; the path's template, since the path itself may hold a customer's id."""
    seconds, path = time.perf_counter() - started, endpoint.path if endpoint else "unknown"
    _seconds_of(method, path, status).observe(seconds)
    log.info("request", method=method, route=path, status=status, ms=round(seconds * 1000, 2), request_id=request_id)


@cache  # as many as there are operations and statuses; the server knows some thirty methods
def _seconds_of(method: str, route: str, status: int) -> Histogram:
    return _SECONDS.labels(method, route, status)
