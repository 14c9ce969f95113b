"""One organization in test mode: its keys, its clock, and how to reach the server it lives on."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Self

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from farebox.rating.v1.organization_pb2 import ApiKey, Organization
from farebox.rating.v1.organization_service_pb2 import CreateApiKeyRequest, CreateOrganizationRequest
from farebox.rating.v1.organization_service_pb2_grpc import OrganizationServiceStub
from farebox.rating.v1.test_clock_service_pb2 import AdvanceTestClockRequest, GetTestClockRequest, SetTestClockRequest
from farebox.rating.v1.test_clock_service_pb2_grpc import TestClockServiceStub
from farebox.testing.rest import Rest
from services.chassis.rpc.calls import ORGANIZATION_KEY

# Local, and the services have reported that they are ready; a killed service is back within this time.
CALL_SECONDS = 20.0
# Moving a clock a long way closes many periods, and waits for four services.
ADVANCE_SECONDS = 120.0

Instant = datetime | str


class Farebox:
    """A fresh organization in test mode on a running server: what one test has for itself.

    Attributes:
        url: where the gateway answers; an SDK calls it the host.
        organization_id: its Farebox id.
        secret_key: `sk_test_…`, may do everything.
        publishable_key: `pk_test_…`, for browsers.
        channel: opens a gRPC channel to a service by its name, for the stubs of `farebox.<service>.v1`.
    """

    def __init__(
        self,
        url: str,
        channel: Callable[[str], grpc.Channel],
        *,
        organization_id: str,
        secret_key: str,
        publishable_key: str,
    ) -> None:
        """An organization that exists already; see the class."""
        self.url = url
        self.channel = channel
        self.organization_id = organization_id
        self.secret_key = secret_key
        self.publishable_key = publishable_key

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The gRPC metadata of a call on the organization's behalf."""
        return ((ORGANIZATION_KEY, self.organization_id),)

    @cached_property
    def rest(self) -> Rest:
        """Plain HTTP with the secret key; closed by `close`."""
        return Rest(self.url, self.secret_key)

    @property
    def now(self) -> datetime:
        """The organization's present time: its own clock's, or the machine's as long as it has none."""
        answer = self._clock.GetTestClock(GetTestClockRequest(), metadata=self.metadata, timeout=CALL_SECONDS)
        return answer.now.ToDatetime(tzinfo=UTC)

    def set_clock(self, now: Instant) -> None:
        """Start the organization's own clock at any instant, also a past one, before it has data.

        Args:
            now: an aware datetime, or RFC 3339 text such as `2024-01-01T00:00:00Z`.
        """
        request = SetTestClockRequest(request_id=str(uuid.uuid4()), now=_timestamp(now))
        self._clock.SetTestClock(request, metadata=self.metadata, timeout=CALL_SECONDS)

    def advance_clock(self, to: Instant) -> None:
        """Move the clock forward; when this returns, everything due on the way has happened in every service.

        Args:
            to: an aware datetime, or RFC 3339 text; at most ten years after the present.
        """
        request = AdvanceTestClockRequest(request_id=str(uuid.uuid4()), to=_timestamp(to))
        self._clock.AdvanceTestClock(request, metadata=self.metadata, timeout=ADVANCE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the HTTP connection, if one was opened; the organization itself stays."""
        if "rest" in self.__dict__:
            self.rest.close()

    @property
    def _clock(self) -> TestClockServiceStub:
        return TestClockServiceStub(self.channel("rating"))


def create_organization(url: str, channel: Callable[[str], grpc.Channel], name: str, **settings: Any) -> Farebox:
    """Make a test-mode organization with one key of each kind, as an operator of the server does.

    Args:
        url: where the gateway answers.
        channel: opens a channel to a service by its name.
        name: what it is called.
        settings: further fields of `farebox.rating.v1.Organization`.
    """
    stub = OrganizationServiceStub(channel("rating"))
    fields = {"default_currency": "USD", "timezone": "UTC", **settings}
    request = CreateOrganizationRequest(organization=Organization(name=name, test_mode=True, **fields))
    organization = stub.CreateOrganization(request, timeout=CALL_SECONDS).organization
    return Farebox(
        url,
        channel,
        organization_id=organization.id,
        secret_key=_create_key(stub, organization.id, ApiKey.KIND_SECRET),
        publishable_key=_create_key(stub, organization.id, ApiKey.KIND_PUBLISHABLE),
    )


def _create_key(stub: OrganizationServiceStub, organization_id: str, kind: ApiKey.Kind) -> str:
    request = CreateApiKeyRequest(kind=kind, name="test")
    answer = stub.CreateApiKey(request, metadata=((ORGANIZATION_KEY, organization_id),), timeout=CALL_SECONDS)
    return str(answer.token)


def _timestamp(instant: Instant) -> Timestamp:
    """The instant as a protobuf timestamp.

    Raises:
        ValueError: a datetime without a timezone, or text that is not RFC 3339.
    """
    stamp = Timestamp()
    if isinstance(instant, str):
        stamp.FromJsonString(instant)
    elif instant.tzinfo is None:
        raise ValueError(f"{instant} has no timezone; say which instant it is")
    else:
        stamp.FromDatetime(instant)
    return stamp
