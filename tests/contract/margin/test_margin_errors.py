"""What margin refuses, and how: code, reason and the wrong field. None of it reaches a database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import grpc_testing
import pytest

from farebox.margin.v1 import alert_service_pb2 as alert_pb
from farebox.margin.v1 import alert_service_pb2_grpc as alert_grpc
from farebox.margin.v1 import cost_model_service_pb2 as cost_pb
from farebox.margin.v1 import cost_model_service_pb2_grpc as cost_grpc
from farebox.margin.v1 import margin_service_pb2 as margin_pb
from farebox.margin.v1 import margin_service_pb2_grpc as margin_grpc
from services.chassis.config import Settings
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.errors import error_info, field_violations
from services.margin.main import Parts, build
from services.margin.rpc.alert import AlertServicer
from services.margin.rpc.cost_model import CostModelServicer
from services.margin.rpc.margin import MarginServicer
from tests.support.patience import PATIENCE_SECONDS

METADATA = ((ORGANIZATION_KEY, "0197a000-0000-7000-8000-00000000ac3e"),)
# A port that nothing listens on: a call that gets as far as the database is UNAVAILABLE.
NOWHERE = {"database_url": "postgresql://nobody@127.0.0.1:1/nothing", "nats_url": "nats://127.0.0.1:1"}
SETTINGS = Settings.model_validate({**NOWHERE, "drain_notice_seconds": 0, "drain_seconds": 1})


@pytest.fixture(scope="module")
def parts() -> Iterator[Parts]:
    built = build(SETTINGS)
    built.server.start([])
    yield built
    built.server.drain()
    built.close()


@pytest.fixture(scope="module")
def wire(parts: Parts) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{parts.server.port}") as channel:
        yield channel


def costs(method: str, **request: Any) -> tuple[type, str, Any]:
    return cost_grpc.CostModelServiceStub, method, getattr(cost_pb, f"{method}Request")(**request)


def margins(method: str, **request: Any) -> tuple[type, str, Any]:
    return margin_grpc.MarginServiceStub, method, getattr(margin_pb, f"{method}Request")(**request)


def alerts(method: str, **request: Any) -> tuple[type, str, Any]:
    return alert_grpc.AlertServiceStub, method, getattr(alert_pb, f"{method}Request")(**request)


def decimal(value: str) -> dict[str, str]:
    return {"value": value}


WRONG = [
    (costs("CreateCostModel", cost_model={"metric_code": "m"}), "cost_model.rule"),
    (
        costs("CreateCostModel", cost_model={"per_unit": {"unit_amount": decimal("1,5")}}),
        "cost_model.per_unit.unit_amount",
    ),
    (costs("CreateCostModel", cost_model={"per_model": {}, "currency": "XXX"}), "cost_model.currency"),
    (costs("SetProviderPrice", price={"amount_per_million": decimal("x")}), "price.amount_per_million"),
    (costs("SetProviderPrice", price={"token_type": 77}), "price.token_type"),
    (costs("RecordCostEvents", cost_events=[{"amount": decimal("NaN")}]), "cost_events[0].amount"),
    (costs("ListCostEntries", page={"page_size": -1}), "page.page_size"),
    (costs("ListCostModels", page={"page_token": "!"}), "page.page_token"),
    (margins("ListMargins"), "group_by"),
    (margins("GetMarginTrend", granularity=9), "granularity"),
    (margins("GetMarginSummary", period={"start": {"seconds": 2**61}}), "period.start"),
    (alerts("CreateAlert", alert={"code": "low"}), "alert.metric"),
    (alerts("CreateAlert", alert={"code": "low", "metric": 1}), "alert.warning_threshold"),
    (
        alerts(
            "CreateAlert", alert={"metric": 1, "warning_threshold": decimal("1"), "raise_after": {"seconds": 2**61}}
        ),
        "alert.raise_after",
    ),
]


@pytest.mark.parametrize(("call", "field"), WRONG, ids=lambda value: value if isinstance(value, str) else value[1])
def test_a_wrong_field_is_named(wire: grpc.Channel, call: tuple[type, str, Any], field: str) -> None:
    error = _error(wire, call)
    assert (error.code(), error_info(error)[0]) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert [violation.field for violation in field_violations(error)] == [field]


@pytest.mark.parametrize(
    "call", [costs("ListCostModels"), margins("GetMarginSummary"), alerts("ListAlerts")], ids=lambda call: call[1]
)
def test_a_call_without_an_organization_is_refused(wire: grpc.Channel, call: tuple[type, str, Any]) -> None:
    error = _error(wire, call, metadata=())
    assert (error.code(), error_info(error)[0]) == (grpc.StatusCode.UNAUTHENTICATED, "ORGANIZATION_REQUIRED")


def test_without_its_database_the_service_says_so(wire: grpc.Channel) -> None:
    error = _error(wire, margins("GetMarginSummary"))
    assert (error.code(), error_info(error)[0]) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")


def test_every_method_of_the_proto_is_served(parts: Parts) -> None:
    """A method that is only inherited from the generated base would answer UNIMPLEMENTED."""
    services = [cost_pb.DESCRIPTOR, margin_pb.DESCRIPTOR, alert_pb.DESCRIPTOR]
    served = {"CostModelService": CostModelServicer, "MarginService": MarginServicer, "AlertService": AlertServicer}
    for file in services:
        for name, service in file.services_by_name.items():
            assert {method.name for method in service.methods} <= vars(served[name]).keys()
    assert {f"farebox.margin.v1.{name}" for name in served} == set(parts.service_names)


def test_the_status_of_a_servicer_without_a_server(parts: Parts) -> None:
    service = margin_pb.DESCRIPTOR.services_by_name["MarginService"]
    server = grpc_testing.server_from_dictionary({service: MarginServicer(parts.deps)}, grpc_testing.strict_real_time())
    method = service.methods_by_name["ListMargins"]
    call = server.invoke_unary_unary(method, METADATA, margin_pb.ListMarginsRequest(), 5)
    _, _, code, details = call.termination()
    assert (code, details) == (grpc.StatusCode.INVALID_ARGUMENT, "group_by: names a grouping")


def _error(wire: grpc.Channel, call: tuple[type, str, Any], metadata: Any = METADATA) -> grpc.RpcError:
    stub, method, request = call
    with pytest.raises(grpc.RpcError) as caught:
        getattr(stub(wire), method)(request, metadata=metadata, timeout=PATIENCE_SECONDS)
    return caught.value
