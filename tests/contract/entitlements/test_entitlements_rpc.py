"""What callers of the entitlements services are told when a call cannot be answered: code, message, reason, fields."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2
from google.protobuf.message import Message
from pydantic import SecretStr

from farebox.common.v1 import decimal_pb2, page_pb2
from farebox.entitlements.v1 import (
    access_service_pb2,
    access_service_pb2_grpc,
    entitlement_pb2,
    feature_pb2,
    feature_service_pb2,
    feature_service_pb2_grpc,
)
from services.chassis.db import Database
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.errors import error_info, field_violations, retry_after_seconds
from services.chassis.rpc.server_async import AsyncServer, add_servicer
from services.entitlements.commands.together import Counting
from services.entitlements.deps import Deps
from services.entitlements.main import SERVICE_NAMES, announce
from services.entitlements.memory.memory import Memory
from services.entitlements.queries.watch import Watches
from services.entitlements.rpc.access import AccessServicer
from services.entitlements.rpc.feature import FeatureServicer
from services.entitlements.settings import EntitlementsSettings
from services.kernel.clock import SystemClock
from services.kernel.ids import new_id
from tests.support.chassis.freshness import PretendedFreshness

# Nothing listens on port 1, so a call that needs the database finds it unavailable.
SETTINGS = EntitlementsSettings(
    database_url=SecretStr("postgresql://nobody@127.0.0.1:1/none"), drain_notice_seconds=0, drain_seconds=1
)
ORGANIZATION = ((ORGANIZATION_KEY, new_id()),)
CURRENT: Any = PretendedFreshness()
TWO = decimal_pb2.Decimal(value="2")


def check(**fields: Any) -> access_service_pb2.CheckRequest:
    return access_service_pb2.CheckRequest(**{"external_customer_id": "acme", "feature_code": "calls", **fields})


def consume(**fields: Any) -> access_service_pb2.ConsumeRequest:
    given = {"request_id": "r", "external_customer_id": "acme", "feature_code": "calls", "units": TWO, **fields}
    return access_service_pb2.ConsumeRequest(**given)


def reserve(seconds: int) -> access_service_pb2.ReserveRequest:
    return access_service_pb2.ReserveRequest(
        request_id="r",
        external_customer_id="acme",
        feature_code="calls",
        units=TWO,
        lifetime=duration_pb2.Duration(seconds=seconds),
    )


def override(terms: entitlement_pb2.FeatureTerms) -> feature_service_pb2.SetOverrideRequest:
    return feature_service_pb2.SetOverrideRequest(external_customer_id="acme", feature_code="calls", terms=terms)


def feature(**fields: Any) -> feature_service_pb2.CreateFeatureRequest:
    return feature_service_pb2.CreateFeatureRequest(feature=feature_pb2.Feature(**fields))


MINUS_ONE = decimal_pb2.Decimal(value="-1")
REFUSED = [
    ("AccessService", "Check", check(external_customer_id=""), "external_customer_id"),
    ("AccessService", "Check", check(feature_code="x" * 256), "feature_code"),
    ("AccessService", "Check", check(units=decimal_pb2.Decimal(value="1e99")), "units"),
    ("AccessService", "Check", check(units=MINUS_ONE), "units"),
    ("AccessService", "Check", check(at_least_revision=-1), "at_least_revision"),
    ("AccessService", "BatchCheck", access_service_pb2.BatchCheckRequest(), "checks"),
    (
        "AccessService",
        "BatchCheck",
        access_service_pb2.BatchCheckRequest(checks=[check(), check(feature_code="")]),
        "checks[1].feature_code",
    ),
    ("AccessService", "BatchCheck", access_service_pb2.BatchCheckRequest(checks=[check()] * 1001), "checks"),
    ("AccessService", "Consume", consume(request_id=""), "request_id"),
    ("AccessService", "Consume", consume(units=decimal_pb2.Decimal(value="0")), "units"),
    ("AccessService", "Reserve", reserve(0), "lifetime"),
    ("AccessService", "Reserve", reserve(86_401), "lifetime"),
    (
        "AccessService",
        "Commit",
        access_service_pb2.CommitRequest(request_id="r", reservation_id="no", units=TWO),
        "reservation_id",
    ),
    (
        "AccessService",
        "Commit",
        access_service_pb2.CommitRequest(request_id="r", reservation_id=new_id(), units=MINUS_ONE),
        "units",
    ),
    ("AccessService", "Release", access_service_pb2.ReleaseRequest(request_id="r"), "reservation_id"),
    ("FeatureService", "CreateFeature", feature(code="calls", name="Calls"), "feature.type"),
    (
        "FeatureService",
        "ListFeatures",
        feature_service_pb2.ListFeaturesRequest(page=page_pb2.PageRequest(page_size=1001)),
        "page.page_size",
    ),
    (
        "FeatureService",
        "ListEntitlements",
        feature_service_pb2.ListEntitlementsRequest(),
        "external_customer_id",
    ),
    (
        "FeatureService",
        "SetOverride",
        override(entitlement_pb2.FeatureTerms(reset_interval=77)),
        "terms.reset_interval",
    ),
    (
        "FeatureService",
        "SetOverride",
        override(entitlement_pb2.FeatureTerms(limit=decimal_pb2.Decimal(value="many"))),
        "terms.limit",
    ),
]
PROTOS = {"AccessService": access_service_pb2, "FeatureService": feature_service_pb2}


@pytest.mark.parametrize(("service", "method", "request_", "field"), REFUSED)
def test_wrong_fields(wire: grpc.Channel, service: str, method: str, request_: Message, field: str) -> None:
    """A request that can never succeed is refused before the database is asked, and names its field."""
    code, details = invoke(wire, service, method, request_, ORGANIZATION)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith(field)


@pytest.mark.parametrize(
    ("service", "method", "request_"),
    [
        ("AccessService", "Check", check()),
        ("AccessService", "Consume", consume()),
        ("FeatureService", "GetFeature", feature_service_pb2.GetFeatureRequest(code="calls")),
        ("FeatureService", "DeleteFeature", feature_service_pb2.DeleteFeatureRequest(code="calls")),
    ],
)
def test_no_organization_and_no_database(wire: grpc.Channel, service: str, method: str, request_: Message) -> None:
    assert invoke(wire, service, method, request_, ())[0] is grpc.StatusCode.UNAUTHENTICATED
    assert invoke(wire, service, method, request_, ORGANIZATION)[0] is grpc.StatusCode.UNAVAILABLE


def invoke(
    wire: grpc.Channel, service: str, method: str, request: Message, metadata: Any
) -> tuple[grpc.StatusCode, str]:
    """Code and message of a call that fails."""
    descriptor = PROTOS[service].DESCRIPTOR.services_by_name[service]
    call: Any = wire.unary_unary(f"/{descriptor.full_name}/{method}", request.__class__.SerializeToString)
    with pytest.raises(grpc.RpcError) as caught:
        call(request, metadata=metadata, timeout=5)
    return caught.value.code(), caught.value.details() or ""


@pytest.fixture(scope="module")
def wire() -> Iterator[grpc.Channel]:
    """A channel that repeats nothing, to a server on the loopback interface that has room for no watch."""
    database = Database(SETTINGS)
    clock = SystemClock()
    deps = Deps(database, clock, announce, Memory(database, clock))
    server = AsyncServer(SETTINGS)
    counting = Counting(deps, server.loop)
    watches = Watches(deps, limit=0, poll_seconds=0.01, ending=threading.Event())
    add_servicer(
        server.grpc, feature_service_pb2_grpc.add_FeatureServiceServicer_to_server, FeatureServicer(deps, CURRENT)
    )
    add_servicer(
        server.grpc,
        access_service_pb2_grpc.add_AccessServiceServicer_to_server,
        AccessServicer(deps, watches, counting, CURRENT),
    )
    counting.start()
    server.start(SERVICE_NAMES)
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as connected:
        yield connected
    server.drain()
    counting.stop()
    server.close()
    database.dispose()


def test_error_details(wire: grpc.Channel) -> None:
    """Over the wire an error carries its reason and its fields."""
    stub = access_service_pb2_grpc.AccessServiceStub(wire)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(check(feature_code=""), metadata=ORGANIZATION)
    assert error_info(caught.value) == ("FIELD_INVALID", {"field": "feature_code"})
    assert [violation.field for violation in field_violations(caught.value)] == ["feature_code"]
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(check())
    assert error_info(caught.value)[0] == "ORGANIZATION_REQUIRED"


def test_watch(wire: grpc.Channel) -> None:
    """A stream fails as a call does: too many customers, no room, no organization."""
    stub = access_service_pb2_grpc.AccessServiceStub(wire)
    crowd = access_service_pb2.WatchRequest(external_customer_ids=[str(number) for number in range(1001)])
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.Watch(crowd, metadata=ORGANIZATION))
    assert [violation.field for violation in field_violations(caught.value)] == ["external_customer_ids"]
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.Watch(access_service_pb2.WatchRequest(), metadata=ORGANIZATION))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error_info(caught.value)[0] == "TOO_MANY_WATCHES"
    assert retry_after_seconds(caught.value) == 5
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.Watch(access_service_pb2.WatchRequest()))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_deadline(wire: grpc.Channel) -> None:
    """A caller that has given up is not answered late."""
    stub = access_service_pb2_grpc.AccessServiceStub(wire)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(check(), metadata=ORGANIZATION, timeout=0.005)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
