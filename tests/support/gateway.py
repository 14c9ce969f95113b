"""A gateway in memory: its services are fakes that remember what they were asked."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx

from farebox.common.v1.page_pb2 import PageResponse
from farebox.ingest.v1 import usage_event_service_pb2
from farebox.ingest.v1.usage_event_pb2 import IngestOutcome
from farebox.rating.v1 import kept_answer_service_pb2, organization_service_pb2
from farebox.rating.v1.organization_pb2 import ApiKey, Organization
from gateway import app
from gateway.dialects import DIALECTS
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.changes import AFTER_CHANGE_KEY
from services.chassis.rpc.errors import DETAILS_KEY, code_of, status_of
from services.kernel import errors

SECRET, PUBLISHABLE, REVOKED = "sk_test_right", "pk_test_right", "sk_test_revoked"
ORGANIZATION_ID = "0198c0de-0000-7000-8000-000000000001"
KEY_ID = "0198c0de-0000-7000-8000-00000000000a"
STUBS = (
    "events catalog customers subscriptions usage invoices organizations kept_answers audit_log test_clock access "
    "features cost_models margins"
)


def identity(path: str, key: str) -> str:
    """The identity of a change that comes with this Idempotency-Key to a route."""
    return hashlib.sha256(f"{path} {key}".encode()).hexdigest()


@dataclass(frozen=True)
class Asked:
    """One call that a fake service got."""

    method: str
    request: Any
    organization: str
    after_change: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


class FakeServices:
    """A substitute for `gateway.clients.Clients`. `services.on("GetPlan", response or error)` sets a method's answer.

    A method without an answer is one that the service does not know. `keys` holds the keys that work, and `owners` the
    organizations of those that belong to another than `organization`. `trailing` is what a method's answers carry
    beside the message.
    """

    def __init__(self, organization: Organization) -> None:
        self.organization = organization
        self.asked: list[Asked] = []
        self.trailing: dict[str, tuple[tuple[str, str], ...]] = {}
        self.keys = {
            SECRET: ApiKey(id=KEY_ID, kind=ApiKey.KIND_SECRET),
            PUBLISHABLE: ApiKey(kind=ApiKey.KIND_PUBLISHABLE),
        }
        self.everything_else: Exception = bare(grpc.StatusCode.UNIMPLEMENTED)
        self.owners: dict[str, Organization] = {}
        self._answers: dict[str, Any] = {
            "AuthenticateApiKey": self._authenticate,
            "IngestUsageEvents": accept_all,
            "ListQuarantinedUsageEvents": none_quarantined,
            **MemoryOfAnswers().methods,
        }
        for name in STUBS.split():
            setattr(self, name, _Stub(self))

    def on(self, method: str, answer: Any) -> None:
        """Set a method's answer: a message, an error, or a function of the request."""
        self._answers[method] = answer

    def requests(self, method: str) -> list[Any]:
        """The requests that a method got, in order."""
        return [asked.request for asked in self.asked if asked.method == method]

    async def answer(self, method: str, request: Any, metadata: Any) -> Any:
        """Remember a call and answer it."""
        told = dict(metadata or ())
        self.asked.append(Asked(method, request, told.get(ORGANIZATION_KEY, ""), told.get(AFTER_CHANGE_KEY, ""), told))
        await asyncio.sleep(0)
        answer = self._answers.get(method, self.everything_else)
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, errors.FareboxError):
            raise refused(answer)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _authenticate(self, request: organization_service_pb2.AuthenticateApiKeyRequest) -> Any:
        key, owner = self.keys.get(request.token), self.owners.get(request.token, self.organization)
        if key is None:
            return errors.UnauthenticatedError("API_KEY_INVALID", "no such key")
        return organization_service_pb2.AuthenticateApiKeyResponse(api_key=key, organization=owner)


class MemoryOfAnswers:
    """Rating's KeptAnswerService in memory."""

    def __init__(self) -> None:
        self._digests: dict[tuple[str, str], bytes] = {}
        self._answers: dict[tuple[str, str], Any] = {}
        self.methods = {"ClaimKey": self._claim, "KeepAnswer": self._keep, "ReleaseKey": self._release}

    def _claim(self, request: kept_answer_service_pb2.ClaimKeyRequest) -> Any:
        key, states = (request.key.route, request.key.key), kept_answer_service_pb2.ClaimKeyResponse
        if key not in self._digests:
            self._digests[key] = request.payload_digest
            return states(state=states.STATE_CLAIMED)
        if self._digests[key] != request.payload_digest:
            return errors.AlreadyExistsError("REQUEST_ID_REUSED", "other")
        if key not in self._answers:
            return states(state=states.STATE_IN_PROGRESS)
        return states(state=states.STATE_ANSWERED, answer=self._answers[key])

    def _keep(self, request: kept_answer_service_pb2.KeepAnswerRequest) -> Any:
        self._answers[request.key.route, request.key.key] = request.answer
        return kept_answer_service_pb2.KeepAnswerResponse()

    def _release(self, request: kept_answer_service_pb2.ReleaseKeyRequest) -> Any:
        del self._digests[request.key.route, request.key.key]
        return kept_answer_service_pb2.ReleaseKeyResponse()


class _Stub:
    def __init__(self, services: FakeServices) -> None:
        self._services = services

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(request: Any, metadata: Any = (), **options: Any) -> Begun:
            assert options["timeout"] > 0, "every call has a deadline"
            return Begun(self._services.answer(method, request, metadata), self._services.trailing.get(method, ()))

        return call


class Begun:
    """A call that was begun, as grpc hands it out."""

    def __init__(self, answer: Coroutine[Any, Any, Any], trailing: tuple[tuple[str, str], ...] = ()) -> None:
        self._answer = answer
        self._trailing = trailing

    def __await__(self) -> Generator[Any, None, Any]:
        return self._answer.__await__()

    async def trailing_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._trailing


@dataclass
class Gateway:
    """A gateway on fake services; requests run one after the other unless sent together."""

    services: FakeServices
    key: str = SECRET
    application: Any = field(init=False)

    def __post_init__(self) -> None:
        self.application = app.Gateway(DIALECTS, self.services)  # type: ignore[arg-type]

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request."""
        return self.together((method, path, options))[0]

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.send("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.send("POST", path, **options)

    def together(self, *requests: tuple[str, str, Mapping[str, Any]]) -> list[httpx.Response]:
        """Several requests at once, to a fresh application, since an application belongs to one event loop."""
        self.application = app.Gateway(DIALECTS, self.services)  # type: ignore[arg-type]
        return asyncio.run(self._together(requests))

    async def _together(self, requests: Any) -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=self.application)
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://farebox", headers=headers) as client:
            sent = [client.request(method, path, **options) for method, path, options in requests]
            return list(await asyncio.gather(*sent))


def new_gateway(**organization: Any) -> Gateway:
    """A gateway with one organization; further fields of it by name."""
    fields = {"id": ORGANIZATION_ID, "timezone": "Europe/Paris", "net_payment_term_days": 30, **organization}
    return Gateway(FakeServices(Organization(**fields)))


def refused(error: errors.FareboxError) -> grpc.aio.AioRpcError:
    """An error as it arrives over the wire."""
    trailing = grpc.aio.Metadata((DETAILS_KEY, status_of(error).SerializeToString()))
    return grpc.aio.AioRpcError(code_of(error), grpc.aio.Metadata(), trailing, details=error.message)


def bare(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    """An error of the transport, without a reason."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details="ipv4:10.0.0.1 refused")


def none_quarantined(_: Any) -> usage_event_service_pb2.ListQuarantinedUsageEventsResponse:
    """Every event can be billed."""
    return usage_event_service_pb2.ListQuarantinedUsageEventsResponse(page=PageResponse(total_size=0))


def accept_all(request: Any) -> usage_event_service_pb2.IngestUsageEventsResponse:
    """The log takes every event."""
    outcomes = [IngestOutcome.INGEST_OUTCOME_ACCEPTED] * len(request.events)
    return usage_event_service_pb2.IngestUsageEventsResponse(outcomes=outcomes)
