"""The billing side of rating on the wire, without a database: codes, reasons and fields."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import grpc
import grpc_testing
import pytest
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from farebox.common.v1 import page_pb2
from farebox.rating.v1 import invoice_service_pb2, invoice_service_pb2_grpc, usage_service_pb2
from services.chassis.config import Settings
from services.chassis.db import Database
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.errors import field_violations
from services.chassis.rpc.server import Server
from services.kernel.clock import FrozenClock
from services.kernel.errors import UnavailableError
from services.rating.main import add_servicers
from services.rating.rpc.invoice import InvoiceServicer
from services.rating.rpc.usage import UsageServicer
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rating.server import NOW, build_test_deps, decimal

ORGANIZATION = ((ORGANIZATION_KEY, "018d0000-0000-7000-8000-000000000001"),)
INVOICES: ServiceDescriptor = invoice_service_pb2.DESCRIPTOR.services_by_name["InvoiceService"]
USAGE: ServiceDescriptor = usage_service_pb2.DESCRIPTOR.services_by_name["UsageService"]
METHODS = [*INVOICES.methods, *USAGE.methods]


class AwayDatabase:
    """A database that nobody can reach."""

    @contextmanager
    def transaction(self, _: str) -> Iterator[Any]:
        """Never opens."""
        raise UnavailableError("DATABASE_UNAVAILABLE", "the service cannot reach its database")
        yield

    worker_transaction = transaction


DEPS = build_test_deps(cast("Database", AwayDatabase()), FrozenClock(NOW))


def called(method: MethodDescriptor, request: Any, metadata: Any = ORGANIZATION) -> tuple[grpc.StatusCode, str]:
    """Code and message that a servicer answers, called without a network."""
    servicers = {INVOICES: InvoiceServicer(DEPS), USAGE: UsageServicer(DEPS)}
    server = grpc_testing.server_from_dictionary(servicers, grpc_testing.strict_real_time())
    call = server.invoke_unary_unary(method, metadata, request, PATIENCE_SECONDS)
    _, _, code, message = call.termination()
    return code, message


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_call_without_an_organization_is_refused_or_invalid(method: MethodDescriptor) -> None:
    code, _ = called(method, GetMessageClass(method.input_type)(), metadata=())
    assert code in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.INVALID_ARGUMENT}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_database_that_is_away_is_said_to_be_unavailable(method: MethodDescriptor) -> None:
    code, message = called(method, GetMessageClass(method.input_type)())
    assert code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INVALID_ARGUMENT}, message


@pytest.fixture(scope="module")
def channel() -> Iterator[grpc.Channel]:
    """A loopback server, since grpcio-testing carries no error details."""
    server = Server(Settings(drain_notice_seconds=0, drain_seconds=1))
    add_servicers(server.grpc, DEPS)
    server.start(())
    with open_channel(f"127.0.0.1:{server.port}") as opened:
        yield opened
    server.drain()


TOO_LARGE = page_pb2.PageRequest(page_size=1001)
INVALID = [
    ("RecordPayment", invoice_service_pb2.RecordPaymentRequest(id="x"), "payment_state"),
    ("ListInvoices", invoice_service_pb2.ListInvoicesRequest(issued_from="soon"), "issued_from"),
    ("ListInvoices", invoice_service_pb2.ListInvoicesRequest(subscription_id="x"), "subscription_id"),
    (
        "ListInvoices",
        invoice_service_pb2.ListInvoicesRequest(page=page_pb2.PageRequest(page_size=1001)),
        "page.page_size",
    ),
    ("ExplainFee", invoice_service_pb2.ExplainFeeRequest(page=page_pb2.PageRequest(skip=1)), "page.skip"),
    (
        "CreateOneOffInvoice",
        invoice_service_pb2.CreateOneOffInvoiceRequest(items=[{"name": "x", "units": decimal("a lot")}]),
        "items[0].units",
    ),
]


def test_every_wrong_field_of_a_one_off_invoice_is_named(channel: grpc.Channel) -> None:
    """Of every item, at once: whoever typed them corrects them in one go."""
    items = [
        {"units": decimal("-1"), "unit_amount_cents": -1},
        {"name": "fine", "units": decimal("1"), "unit_amount_cents": 100},
        {"name": "x" * 300, "units": decimal("a lot"), "unit_amount_cents": 10**14},
    ]
    with pytest.raises(grpc.RpcError) as caught:
        invoice_service_pb2_grpc.InvoiceServiceStub(channel).CreateOneOffInvoice(
            invoice_service_pb2.CreateOneOffInvoiceRequest(items=items), metadata=ORGANIZATION, timeout=PATIENCE_SECONDS
        )
    assert sorted(violation.field for violation in field_violations(caught.value)) == [
        *("items[0].name", "items[0].unit_amount_cents", "items[0].units"),
        *("items[2].name", "items[2].unit_amount_cents", "items[2].units"),
    ]


@pytest.mark.parametrize(
    ("name", "request_", "field"), INVALID, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_wrong_field_is_named(channel: grpc.Channel, name: str, request_: Any, field: str) -> None:
    method = INVOICES.methods_by_name[name]
    call = channel.unary_unary(
        f"/{INVOICES.full_name}/{name}",
        request_serializer=type(request_).SerializeToString,
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    with pytest.raises(grpc.RpcError) as caught:
        call(request_, metadata=ORGANIZATION, timeout=PATIENCE_SECONDS)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in field_violations(caught.value)] == [field]
