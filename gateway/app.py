"""The ASGI application: every request gets an id, a caller, an answer in JSON, and one line in the log."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import msgspec
from prometheus_client import Histogram
from starlette.applications import Starlette
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as StarletteRoute
from starlette.types import Receive, Scope, Send

from farebox.rating.v1 import organization_service_pb2
from gateway import auth, clients
from gateway.auth import Keys
from gateway.call import Call, Reply
from gateway.clients import Clients
from gateway.coalescer import Coalescer
from gateway.errors import Problem, internal, of_rpc
from gateway.routing import Route, RouteTable
from services.chassis.log import logger
from services.kernel.ids import new_id

log = logger(__name__)

# Room for a batch of 100 events of 20 kB each, and half of what a gRPC message holds.
MAX_BODY_BYTES = 2 * 1024 * 1024
# An id that a caller gave is repeated in headers and logs, so it must be harmless there.
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}", re.ASCII)
_ENCODER = msgspec.json.Encoder(decimal_format="string")
_SECONDS = Histogram(
    "farebox_http_seconds",
    "Time to answer a request, by route and status.",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


class Dialect:
    """Answers the requests of one dialect.

    Attributes:
        routes: everything it can be asked.
        public_url: what links begin with; empty takes the caller's own.
    """

    def __init__(self, routes: RouteTable, services: Clients, public_url: str = "") -> None:
        self.routes = routes
        self.public_url = public_url.rstrip("/")
        self._clients = services
        self._keys = Keys(self._authenticate)
        self._coalescer = Coalescer(self._ingest)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; whatever goes wrong is answered too."""
        started, request = time.perf_counter(), Request(scope, receive)
        request_id, route = _request_id(request.headers), None
        try:
            route, parameters = self.routes.find(request.method, _raw_path(scope))
            response = _respond(await self._answer(request, route, parameters))
        except Exception as error:  # noqa: BLE001 - every error leaves through this one door
            response = _refuse(_problem(error, route, request_id), request_id)
        response.headers["X-Request-Id"] = request_id
        await response(scope, receive, send)
        _note(request, route, response, request_id, started)

    async def drain(self) -> None:
        """Wait until every event that was taken is answered."""
        await self._coalescer.drain()

    async def _answer(self, request: Request, route: Route, parameters: Any) -> Any:
        caller = await self._keys.caller_of(request.headers.get("authorization", ""))
        auth.require(caller, publishable=route.publishable)
        call = Call(
            clients=self._clients,
            coalescer=self._coalescer,
            organization=caller.organization,
            path=parameters,
            query=QueryParams(request.scope["query_string"]),
            headers=request.headers,
            body=await _body(request),
            base_url=self.public_url or str(request.base_url).rstrip("/"),
        )
        return await route.handler(call)

    async def _authenticate(self, key: str) -> organization_service_pb2.AuthenticateApiKeyResponse:
        request = organization_service_pb2.AuthenticateApiKeyRequest(token=key)
        method = self._clients.organizations.AuthenticateApiKey
        answer: organization_service_pb2.AuthenticateApiKeyResponse = await method(
            request, timeout=clients.DEADLINE_SECONDS
        )
        return answer

    async def _ingest(self, organization_id: str, request: Any) -> Any:
        return await clients.ask(self._clients.events.IngestUsageEvents, request, organization_id)


def create_app(connect: Callable[[], Clients], routes: RouteTable, public_url: str = "") -> Starlette:
    """The whole gateway.

    Args:
        connect: makes the services' clients; called once the event loop runs.
        routes: of the dialect.
        public_url: what links in answers begin with; empty takes the caller's own.
    """
    app = Starlette(
        routes=[StarletteRoute("/healthz", _healthz), StarletteRoute("/readyz", _readyz)],
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        services = connect()
        dialect = Dialect(routes, services, public_url)
        app.state.clients = services
        app.router.default = dialect
        yield
        await dialect.drain()
        await services.close()

    app.router.lifespan_context = lifespan
    app.router.redirect_slashes = False
    return app


async def _healthz(_: Request) -> Response:
    """The process is up."""
    return JSONResponse({"status": "ok"})


async def _readyz(request: Request) -> Response:
    """Every service answers; 503 names those that do not."""
    services = await request.app.state.clients.readiness()
    return JSONResponse({"services": services}, status_code=200 if all(services.values()) else 503)


async def _body(request: Request) -> bytes:
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


def _respond(answer: Any) -> Response:
    if not isinstance(answer, Reply):
        return Response(_ENCODER.encode(answer), media_type="application/json")
    content = answer.content if isinstance(answer.content, bytes) else _ENCODER.encode(answer.content)
    return Response(content, answer.status, dict(answer.headers), answer.media_type)


def _refuse(problem: Problem, request_id: str) -> Response:
    body = _ENCODER.encode(problem.body(request_id))
    return Response(body, problem.status, problem.headers, "application/problem+json")


def _problem(error: Exception, route: Route | None, request_id: str) -> Problem:
    if isinstance(error, Problem):
        return error
    problem = internal()
    if isinstance(error, grpc.RpcError):
        problem = of_rpc(error, state_status=route.state_status) if route else of_rpc(error)
    if problem.status == internal().status:
        log.error("request_failed", request_id=request_id, exc_info=error)
    return problem


def _note(request: Request, route: Route | None, response: Response, request_id: str, started: float) -> None:
    """One canonical line a request; the path's template, since the path itself may hold a customer's id."""
    seconds, path = time.perf_counter() - started, route.path if route else "unknown"
    _SECONDS.labels(request.method, path, response.status_code).observe(seconds)
    log.info(
        "request",
        method=request.method,
        route=path,
        status=response.status_code,
        ms=round(seconds * 1000, 2),
        request_id=request_id,
    )
