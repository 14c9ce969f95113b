"""The ASGI application: every request gets an id, a caller, an answer in JSON, and one line in the log."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import parse_qsl

import grpc
from prometheus_client import Histogram
from starlette.applications import Starlette
from starlette.datastructures import Headers, QueryParams
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as StarletteRoute
from starlette.types import Receive, Scope, Send

from farebox.rating.v1.organization_pb2 import Organization
from gateway import reference
from gateway.auth import scopes
from gateway.auth.keys import Keys
from gateway.call import Call, Reply
from gateway.clients import Clients
from gateway.dialect import Dialect, Head
from gateway.engine.coalescer import Coalescer
from gateway.operation import ENCODER, Endpoint
from gateway.problem import Problem, internal, of_rpc
from gateway.routing import RouteTable
from services.chassis.log import logger
from services.kernel.ids import new_id

log = logger(__name__)

# Room for a batch of 100 events of 20 kB each, and half of what a gRPC message holds.
MAX_BODY_BYTES = 2 * 1024 * 1024
# An id that a caller gave is repeated in headers and logs, so it must be harmless there.
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}", re.ASCII)
# More than any operation knows; each costs a little before it is refused by its name.
MAX_QUERY_PARAMETERS = 100
# What a page in a browser may send, and for how long a browser remembers that it may.
CORS_HEADERS = ["Authorization", "Content-Type", "Idempotency-Key", "X-API-Key", "X-Request-Id"]
CORS_SECONDS = 600
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

    def __init__(self, dialects: Sequence[Dialect], services: Clients, public_url: str = "") -> None:
        self.public_url = public_url.rstrip("/")
        self._served = [_Served(dialect, _table(dialect)) for dialect in dialects]
        self._clients = services
        self._keys = Keys(services.organizations)
        self._coalescer = Coalescer(services.events)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; whatever goes wrong is answered too."""
        started, request = time.perf_counter(), HttpRequest(scope, receive)
        request_id, endpoint = _request_id(request.headers), None
        head = Head(request.method, _raw_path(scope), request.headers)
        served = self._claiming(head)
        try:
            endpoint, parameters = served.table.find(head.method, head.path)
            response = _respond(await self._answer(request, head, served.dialect, endpoint, parameters))
        except Exception as error:  # noqa: BLE001 - every error leaves through this one door
            response = _refuse(served.dialect, _problem(error, endpoint, request_id), request_id)
        response.headers["X-Request-Id"] = request_id
        await response(scope, receive, send)
        _note(request, endpoint, response, request_id, started)

    async def drain(self) -> None:
        """Wait until every event that was taken is answered."""
        await self._coalescer.drain()

    def _claiming(self, head: Head) -> _Served:
        """The dialect of a request; the last one takes what nobody claims."""
        return next((served for served in self._served if served.dialect.claims(head)), self._served[-1])

    async def _answer(
        self, request: HttpRequest, head: Head, dialect: Dialect, endpoint: Endpoint, parameters: Mapping[str, str]
    ) -> Reply:
        organization = await self._organization(head, dialect, endpoint)
        call = Call(
            clients=self._clients,
            coalescer=self._coalescer,
            organization=organization,
            path=parameters,
            query=_query(request.scope["query_string"]),
            headers=request.headers,
            body=await _body(request),
            base_url=self.public_url or str(request.base_url).rstrip("/"),
        )
        return await endpoint.answer(call)

    async def _organization(self, head: Head, dialect: Dialect, endpoint: Endpoint) -> Organization:
        """Whose request it is; nobody's where an operation takes anybody."""
        if endpoint.scope is scopes.Scope.NONE:
            return Organization()
        caller = await dialect.authenticate(head, self._keys)
        scopes.require(caller, endpoint.scope)
        return caller.organization


def create_app(
    connect: Callable[[], Clients],
    dialects: Sequence[Dialect],
    public_url: str = "",
    cors_origins: Sequence[str] = (),
) -> Starlette:
    """The whole gateway.

    Args:
        connect: makes the services' clients; called once the event loop runs.
        dialects: that are spoken, in the order in which they are asked whether a request is theirs.
        public_url: what links in answers begin with; empty takes the caller's own.
        cors_origins: origins whose pages may call from a browser; none by default.
    """
    app = Starlette(
        routes=[
            StarletteRoute("/healthz", _healthz),
            StarletteRoute("/readyz", _readyz),
            *reference.routes(dialects),
        ],
        middleware=_cors(cors_origins),
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        services = connect()
        gateway = Gateway(dialects, services, public_url)
        app.state.clients = services
        app.router.default = gateway
        yield
        await gateway.drain()
        await services.close()

    app.router.lifespan_context = lifespan
    app.router.redirect_slashes = False
    return app


def _cors(origins: Sequence[str]) -> list[Middleware]:
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=CORS_HEADERS,
            expose_headers=["X-Request-Id", "Retry-After"],
            max_age=CORS_SECONDS,
        )
    ]


def _table(dialect: Dialect) -> RouteTable:
    table = RouteTable(dialect.bases, dialect.operations)
    for prefix, operations in dialect.prefixes:
        table.add((prefix,), operations)
    return table


async def _healthz(_: HttpRequest) -> Response:
    """The process is up."""
    return JSONResponse({"status": "ok"})


async def _readyz(request: HttpRequest) -> Response:
    """Every service answers; 503 names those that do not."""
    services = await request.app.state.clients.readiness()
    return JSONResponse({"services": services}, status_code=200 if all(services.values()) else 503)


async def _body(request: HttpRequest) -> bytes:
    """The body, refused as soon as it grows too large."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise Problem(413, "content_too_large", f"a body may have {MAX_BODY_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def _raw_path(scope: Scope) -> str:
    """The path as it was sent: a decoded `%2F` must not split it."""
    return bytes(scope["raw_path"]).partition(b"?")[0].decode("latin-1")


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else new_id()


def _query(raw: bytes) -> QueryParams:
    """The parameters of a query, refused where they are no text that a service could keep."""
    if not raw:
        return QueryParams()
    try:
        pairs = parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_PARAMETERS
        )
    except (UnicodeDecodeError, ValueError) as error:
        raise Problem(400, "bad_request", f"the query cannot be read: {error}") from error
    if any("\0" in name or "\0" in value for name, value in pairs):
        raise Problem(400, "bad_request", "the query holds a NUL")
    return QueryParams(pairs)


def _respond(reply: Reply) -> Response:
    content = reply.content if isinstance(reply.content, bytes) else ENCODER.encode(reply.content)
    return Response(content, reply.status, dict(reply.headers), reply.media_type)


def _refuse(dialect: Dialect, problem: Problem, request_id: str) -> Response:
    body = ENCODER.encode(dialect.render_problem(problem, request_id))
    return Response(body, problem.status, problem.headers, dialect.problem_media_type)


def _problem(error: Exception, endpoint: Endpoint | None, request_id: str) -> Problem:
    if isinstance(error, Problem):
        return error
    problem = internal()
    if isinstance(error, grpc.RpcError):
        problem = of_rpc(error, endpoint.callers_field) if endpoint else of_rpc(error)
    if problem.status == internal().status:
        log.error("request_failed", request_id=request_id, exc_info=error)
    return problem


def _note(request: HttpRequest, endpoint: Endpoint | None, response: Response, request_id: str, started: float) -> None:
    """One canonical line a request; the path's template, since the path itself may hold a customer's id."""
    seconds, path = time.perf_counter() - started, endpoint.path if endpoint else "unknown"
    _SECONDS.labels(request.method, path, response.status_code).observe(seconds)
    log.info(
        "request",
        method=request.method,
        route=path,
        status=response.status_code,
        ms=round(seconds * 1000, 2),
        request_id=request_id,
    )
