"""What the operator of a Farebox does inside its network, by gRPC: make an organization and its keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from farebox.rating.v1 import organization_service_pb2, organization_service_pb2_grpc
from farebox.rating.v1.organization_pb2 import ApiKey, Organization
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.channel import open_channel

# Local, and the services have just said that they are ready.
CALL_SECONDS = 20.0


@dataclass(frozen=True)
class Tenant:
    """A fresh test-mode organization.

    Attributes:
        organization_id: its Farebox id.
        secret_key: `sk_test_…`.
        publishable_key: `pk_test_…`.
    """

    organization_id: str
    secret_key: str
    publishable_key: str


def create_tenant(rating_address: str, name: str, **settings: Any) -> Tenant:
    """Make a test-mode organization with one key of each kind; `settings` are further fields of Organization."""
    with open_channel(rating_address) as connection:
        stub: Any = organization_service_pb2_grpc.OrganizationServiceStub(connection)
        fields = {"default_currency": "USD", "timezone": "UTC", **settings}
        wanted = Organization(name=name, test_mode=True, **fields)
        request = organization_service_pb2.CreateOrganizationRequest(organization=wanted)
        organization = stub.CreateOrganization(request, timeout=CALL_SECONDS).organization
        return Tenant(
            organization.id,
            _create_key(stub, organization.id, ApiKey.KIND_SECRET),
            _create_key(stub, organization.id, ApiKey.KIND_PUBLISHABLE),
        )


def _create_key(stub: Any, organization_id: str, kind: ApiKey.Kind) -> str:
    request = organization_service_pb2.CreateApiKeyRequest(kind=kind, name="demo")
    answer = stub.CreateApiKey(request, metadata=((ORGANIZATION_KEY, organization_id),), timeout=CALL_SECONDS)
    return str(answer.token)
