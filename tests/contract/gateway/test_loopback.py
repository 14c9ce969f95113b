"""The gateway as it runs: uvicorn, uvloop, grpc.aio, against services on the loopback that refuse as real ones do."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

import grpc
import httpx
import pytest
import uvicorn
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from farebox.ingest.v1 import usage_event_service_pb2, usage_event_service_pb2_grpc
from farebox.ingest.v1.usage_event_pb2 import IngestOutcome
from farebox.rating.v1 import (
    catalog_service_pb2_grpc,
    customer_service_pb2,
    customer_service_pb2_grpc,
    organization_service_pb2,
    organization_service_pb2_grpc,
)
from farebox.rating.v1.customer_pb2 import Customer
from farebox.rating.v1.organization_pb2 import ApiKey, Organization
from gateway.config import GatewaySettings
from gateway.main import server_config
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import organization_of
from services.chassis.wait import wait_until
from services.kernel import errors
from services.kernel.errors import FieldViolation, InvalidArgumentError, NotFoundError, UnauthenticatedError
from services.local.ports import Port
from tests.support.gateway import ORGANIZATION_ID
from tests.support.patience import PATIENCE_SECONDS


class Organizations(organization_service_pb2_grpc.OrganizationServiceServicer):
    """Knows one key."""

    @answers
    def AuthenticateApiKey(self, request: Any, context: Any) -> Any:  # noqa: ARG002
        if request.token != "sk_test_right":
            raise UnauthenticatedError("API_KEY_INVALID", "no such key")
        return organization_service_pb2.AuthenticateApiKeyResponse(
            api_key=ApiKey(kind=ApiKey.KIND_SECRET), organization=Organization(id=ORGANIZATION_ID)
        )


class Catalog(catalog_service_pb2_grpc.CatalogServiceServicer):
    """Refuses in several ways."""

    @answers
    def GetPlan(self, request: Any, context: Any) -> Any:  # noqa: ARG002
        raise NotFoundError("PLAN_UNKNOWN", "no plan has this code", code=request.code)

    @answers
    def ListPlans(self, request: Any, context: Any) -> Any:  # noqa: ARG002
        raise errors.ResourceExhaustedError("TOO_MANY_CALLS", "wait", retry_after_seconds=3)

    @answers
    def CreatePlan(self, request: Any, context: Any) -> Any:  # noqa: ARG002
        violation = FieldViolation("plan.currency", "value_is_invalid", "no such currency")
        raise InvalidArgumentError("FIELD_INVALID", "bad", violations=[violation])


class Customers(customer_service_pb2_grpc.CustomerServiceServicer):
    """Answers with whom it was asked for, and on whose behalf."""

    @answers
    def GetCustomer(self, request: Any, context: Any) -> Any:
        customer = Customer(external_id=request.external_id, name=organization_of(context))
        return customer_service_pb2.GetCustomerResponse(customer=customer)


class Events(usage_event_service_pb2_grpc.UsageEventServiceServicer):
    """Accepts everything."""

    @answers
    def IngestUsageEvents(self, request: Any, context: Any) -> Any:
        organization_of(context)
        outcomes = [IngestOutcome.INGEST_OUTCOME_ACCEPTED] * len(request.events)
        return usage_event_service_pb2.IngestUsageEventsResponse(outcomes=outcomes)

    def ListQuarantinedUsageEvents(self, request: Any, context: Any) -> Any:  # noqa: ARG002
        """Every event can be billed."""
        return usage_event_service_pb2.ListQuarantinedUsageEventsResponse()


@pytest.fixture(scope="module")
def service_port() -> Iterator[int]:
    """One gRPC server with all the fakes, and with health."""
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    organization_service_pb2_grpc.add_OrganizationServiceServicer_to_server(Organizations(), server)
    catalog_service_pb2_grpc.add_CatalogServiceServicer_to_server(Catalog(), server)
    customer_service_pb2_grpc.add_CustomerServiceServicer_to_server(Customers(), server)
    usage_event_service_pb2_grpc.add_UsageEventServiceServicer_to_server(Events(), server)
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


@pytest.fixture(scope="module")
def url(service_port: int) -> Iterator[str]:
    """A running gateway whose margin service is away."""
    port, away = Port(), Port()
    here = f"127.0.0.1:{service_port}"
    settings = GatewaySettings(
        http_bind=port.address,
        ingest_address=here,
        rating_address=here,
        entitlements_address=here,
        margin_address=away.address,
    )
    server = uvicorn.Server(server_config(settings))
    thread = Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started, timeout=PATIENCE_SECONDS, what="the gateway to start")
    yield f"http://{port.address}"
    server.should_exit = True
    thread.join()
    port.release()
    away.release()


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers={"Authorization": "Bearer sk_test_right"}) as client:
        yield client


def test_it_is_up_but_not_ready_while_a_service_is_away(http: httpx.Client) -> None:
    assert http.get("/healthz").status_code == 200
    here = {"ingest": True, "rating": True, "entitlements": True, "margin": False}
    # On a busy machine a service that is here may take longer to say so than readiness waits.
    wait_until(lambda: http.get("/readyz").json()["services"] == here, timeout=PATIENCE_SECONDS, what="three services")
    assert http.get("/readyz").status_code == 503


def test_the_organization_reaches_the_service_and_the_path_stays_raw(http: httpx.Client) -> None:
    customer = http.get("/core/api/v1/customers/ent%2F1%20a").json()["customer"]
    assert (customer["external_id"], customer["name"]) == ("ent/1 a", ORGANIZATION_ID)


def test_reasons_cross_the_wire(http: httpx.Client) -> None:
    missing = http.get("/api/v1/plans/nope")
    assert (missing.status_code, missing.json()["code"]) == (404, "plan_not_found")
    plan = {"code": "p", "interval": "monthly", "amount_cents": 0, "amount_currency": "XXX"}
    refused = http.post("/api/v1/plans", json={"plan": plan})
    assert refused.json()["error_details"] == {"amount_currency": ["value_is_invalid"]}
    busy = http.get("/api/v1/plans")
    assert (busy.status_code, busy.headers["Retry-After"]) == (429, "3")


def test_a_wrong_key_is_401(http: httpx.Client) -> None:
    assert http.get("/api/v1/plans", headers={"Authorization": "Bearer sk_test_wrong"}).status_code == 401


def test_a_method_that_the_service_lacks_is_501(http: httpx.Client) -> None:
    assert http.get("/api/v1/customers").status_code == 501


def test_a_service_that_is_away_is_503(http: httpx.Client) -> None:
    response = http.get("/api/v1/margin/summary")
    assert response.status_code == 503
    assert response.headers["Retry-After"]


def test_many_callers_at_once_are_all_answered(http: httpx.Client) -> None:
    def send(number: int) -> str:
        event = {"transaction_id": f"t{number}", "code": "api_call"}
        response = http.post("/api/v1/events", json={"event": event})
        return str(response.json()["event"]["transaction_id"])

    with ThreadPoolExecutor(8) as callers:
        assert list(callers.map(send, range(100))) == [f"t{number}" for number in range(100)]
