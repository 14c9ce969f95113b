"""The servicer by itself: which code and message an error leaves its plain methods with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import grpc
import grpc_testing
import pytest

from farebox.ingest.v1 import usage_event_service_pb2 as pb
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.ingest.rpc.usage_event import UsageEventServicer
from services.kernel.ids import new_id
from tests.support.chassis.freshness import PretendedFreshness

SERVICE = pb.DESCRIPTOR.services_by_name["UsageEventService"]


@pytest.fixture
def server() -> Any:
    servicer = UsageEventServicer(SimpleNamespace(db=None), SimpleNamespace(), PretendedFreshness())  # type: ignore[arg-type]
    return grpc_testing.server_from_dictionary({SERVICE: servicer}, grpc_testing.strict_real_time())


def _call(server: Any, method: str, request: Any, *, organization: str = "") -> tuple[Any, str]:
    metadata = [(ORGANIZATION_KEY, organization)] if organization else []
    call = server.invoke_unary_unary(SERVICE.methods_by_name[method], metadata, request, 5)
    _, _, code, message = call.termination()
    return code, message


def test_call_without_organization_is_refused(server: Any) -> None:
    code, message = _call(server, "GetUsageEvent", pb.GetUsageEventRequest(transaction_id="x"))
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert ORGANIZATION_KEY in message


def test_foreign_page_token_names_the_field(server: Any) -> None:
    request = pb.ListUsageEventsRequest()
    request.page.page_token = "%%%"
    code, message = _call(server, "ListUsageEvents", request, organization=new_id())
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "page.page_token" in message
