"""The catalog side of rating on the wire, without a database: codes, messages, details, deadlines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import grpc
import grpc_testing
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from farebox.rating.v1 import (
    catalog_service_pb2,
    customer_service_pb2,
    organization_service_pb2,
    subscription_service_pb2,
    test_clock_service_pb2,
)
from services.chassis.config import Settings
from services.chassis.db import Database
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.errors import error_info, field_violations
from services.chassis.rpc.server import Server
from services.kernel.clock import FrozenClock
from services.kernel.errors import UnavailableError
from services.rating.main import SERVICE_NAMES, add_servicers
from services.rating.rpc.catalog import CatalogServicer
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rating.server import NOW, build_test_deps, plan

ORGANIZATION = ((ORGANIZATION_KEY, "018d0000-0000-7000-8000-000000000001"),)
SERVICES: tuple[ServiceDescriptor, ...] = tuple(
    module.DESCRIPTOR.services_by_name[name]
    for module, name in (
        (organization_service_pb2, "OrganizationService"),
        (catalog_service_pb2, "CatalogService"),
        (customer_service_pb2, "CustomerService"),
        (subscription_service_pb2, "SubscriptionService"),
        (test_clock_service_pb2, "TestClockService"),
    )
)
METHODS = [method for service in SERVICES for method in service.methods]
EXPECTED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNAVAILABLE,
}


class AwayDatabase:
    """A database that nobody can reach."""

    @contextmanager
    def transaction(self, _: str) -> Iterator[Any]:
        """Never opens."""
        raise UnavailableError("DATABASE_UNAVAILABLE", "the service cannot reach its database")
        yield

    @contextmanager
    def worker_transaction(self) -> Iterator[Any]:
        """Never opens."""
        raise UnavailableError("DATABASE_UNAVAILABLE", "the service cannot reach its database")
        yield

    worker_session = worker_transaction


DEPS = build_test_deps(cast("Database", AwayDatabase()), FrozenClock(NOW))


@pytest.fixture(scope="module")
def channel() -> Iterator[grpc.Channel]:
    """A channel without retries to the servicers on a loopback port."""
    server = Server(Settings(drain_notice_seconds=0, drain_seconds=1))
    add_servicers(server.grpc, DEPS)
    server.start(SERVICE_NAMES)
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as opened:
        yield opened
    server.drain()


def call(channel: grpc.Channel, method: MethodDescriptor, request: Any, **fields: Any) -> Any:
    path = f"/{method.containing_service.full_name}/{method.name}"
    answer_type = message_factory.GetMessageClass(method.output_type)
    unary = channel.unary_unary(
        path,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=answer_type.FromString,
    )
    return unary(request, **{"timeout": PATIENCE_SECONDS, **fields})


def refused(channel: grpc.Channel, method: MethodDescriptor, request: Any, **fields: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as error:
        call(channel, method, request, **fields)
    return error.value


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_method_answers_with_a_reason(channel: grpc.Channel, method: MethodDescriptor) -> None:
    """An empty request is refused, or finds no database; the answer is never unknown and never an accident."""
    request = message_factory.GetMessageClass(method.input_type)()
    error = refused(channel, method, request, metadata=ORGANIZATION)
    assert error.code() in EXPECTED
    assert error_info(error)[0]


@pytest.mark.parametrize(
    "method", [method for method in METHODS if method.name.startswith(("Get", "List"))], ids=lambda method: method.name
)
def test_a_call_names_its_organization(channel: grpc.Channel, method: MethodDescriptor) -> None:
    request = message_factory.GetMessageClass(method.input_type)()
    error = refused(channel, method, request)
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert error_info(error)[0] == "ORGANIZATION_REQUIRED"


def test_a_refused_field_travels_with_its_path(channel: grpc.Channel) -> None:
    method = catalog_service_pb2.DESCRIPTOR.services_by_name["CatalogService"].methods_by_name["CreatePlan"]
    request = catalog_service_pb2.CreatePlanRequest(plan=plan(charges=[{"metric_code": "api_call"}]))
    error = refused(channel, method, request, metadata=ORGANIZATION)
    assert error_info(error) == ("FIELD_INVALID", {"field": "plan.charges[0].model"})
    (violation,) = field_violations(error)
    assert (violation.field, violation.reason) == ("plan.charges[0].model", "value_is_mandatory")


def test_a_deadline_that_has_passed_is_said(channel: grpc.Channel) -> None:
    method = METHODS[1]
    request = organization_service_pb2.GetOrganizationRequest()
    error = refused(channel, method, request, metadata=ORGANIZATION, timeout=0.000001)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    ("metadata", "request_", "expected"),
    [
        (ORGANIZATION, {}, (grpc.StatusCode.INVALID_ARGUMENT, "plan.code: is required")),
        ((), {}, (grpc.StatusCode.UNAUTHENTICATED, None)),
        (
            ORGANIZATION,
            {"plan": plan()},
            (grpc.StatusCode.UNAVAILABLE, "the service cannot reach its database"),
        ),
    ],
)
def test_code_and_message(
    metadata: tuple[tuple[str, str], ...],
    request_: dict[str, Any],
    expected: tuple[grpc.StatusCode, str | None],
) -> None:
    """Through grpcio-testing: the servicer alone, without a server."""
    service = catalog_service_pb2.DESCRIPTOR.services_by_name["CatalogService"]
    server = grpc_testing.server_from_dictionary({service: CatalogServicer(DEPS)}, grpc_testing.strict_real_time())
    invocation = server.invoke_unary_unary(
        service.methods_by_name["CreatePlan"],
        metadata,
        catalog_service_pb2.CreatePlanRequest(**request_),
        PATIENCE_SECONDS,
    )
    _, _, code, details = invocation.termination()
    assert code is expected[0]
    assert expected[1] is None or details == expected[1]
