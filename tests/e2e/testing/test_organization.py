"""What a test is given: an organization of its own, with a clock that moves when it is told to."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from farebox.rating.v1.customer_service_pb2 import ListCustomersRequest
from farebox.rating.v1.customer_service_pb2_grpc import CustomerServiceStub
from farebox.testing import Farebox, FareboxServer
from tests.support.patience import PATIENCE_SECONDS

JANUARY, FEBRUARY = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)


def customer_ids(farebox: Farebox) -> list[str]:
    """By gRPC, as the organization."""
    stub = CustomerServiceStub(farebox.channel("rating"))
    listed = stub.ListCustomers(ListCustomersRequest(), metadata=farebox.metadata, timeout=PATIENCE_SECONDS)
    return [customer.external_id for customer in listed.customers]


def test_organizations_are_apart(farebox: Farebox, farebox_server: FareboxServer) -> None:
    """What one test makes, no other sees, neither by REST nor by gRPC."""
    with farebox_server.new_organization("Other", default_currency="EUR") as other:
        farebox.rest.post("/customers", {"customer": {"external_id": "acme", "name": "Acme"}})
        assert customer_ids(farebox) == ["acme"]
        assert customer_ids(other) == []
        assert other.rest.get("/customers")["customers"] == []
        assert other.secret_key != farebox.secret_key


def test_its_clock_moves_when_told(farebox: Farebox) -> None:
    """The organization's time is what the test says, by datetime or by text."""
    assert farebox.now > FEBRUARY
    farebox.set_clock(JANUARY)
    assert farebox.now == JANUARY
    farebox.advance_clock("2024-02-01T00:00:00Z")
    assert farebox.now == FEBRUARY


def test_an_instant_has_a_timezone(farebox: Farebox) -> None:
    """A datetime without a timezone is refused instead of being taken for this machine's time."""
    with pytest.raises(ValueError, match="no timezone"):
        farebox.set_clock(datetime(2024, 1, 1))  # noqa: DTZ001 - the point of the test
