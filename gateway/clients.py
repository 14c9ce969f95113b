"""The gateway's side of gRPC: a channel for each service, a stub for each gRPC service, a deadline on every call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from farebox.entitlements.v1 import access_service_pb2_grpc, credit_service_pb2_grpc, feature_service_pb2_grpc
from farebox.ingest.v1 import usage_event_service_pb2_grpc
from farebox.margin.v1 import cost_model_service_pb2_grpc, margin_service_pb2_grpc
from farebox.rating.v1 import (
    audit_log_service_pb2_grpc,
    catalog_service_pb2_grpc,
    customer_service_pb2_grpc,
    invoice_service_pb2_grpc,
    kept_answer_service_pb2_grpc,
    organization_service_pb2_grpc,
    subscription_service_pb2_grpc,
    test_clock_service_pb2_grpc,
    usage_service_pb2_grpc,
)
from gateway.changes import Changes
from gateway.config import GatewaySettings
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.changes import BEHIND_KEY
from services.chassis.rpc.channel import channel_options

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)

# Longer than any answer that a person waits for, shorter than the 30 s after which load balancers give up.
DEADLINE_SECONDS = 20.0
# Advancing a clock by years closes every period on the way and waits for four services.
ADVANCE_DEADLINE_SECONDS = 600.0
# Readiness is checked every few seconds; a service that needs longer than this is not ready.
HEALTH_SECONDS = 1.0


# Which stub calls which gRPC service.
STUBS = {
    "UsageEventService": "events",
    "CatalogService": "catalog",
    "CustomerService": "customers",
    "SubscriptionService": "subscriptions",
    "UsageService": "usage",
    "InvoiceService": "invoices",
    "OrganizationService": "organizations",
    "KeptAnswerService": "kept_answers",
    "AuditLogService": "audit_log",
    "TestClockService": "test_clock",
    "AccessService": "access",
    "FeatureService": "features",
    "CreditService": "credits",
    "CostModelService": "cost_models",
    "MarginService": "margins",
}


class Clients:
    """The stubs of all four services; create it inside the running event loop.

    Attributes:
        events: the usage-event log (ingest).
        catalog, customers, subscriptions, usage, invoices, organizations, kept_answers, audit_log, test_clock: rating.
        access, features, credits: entitlements.
        cost_models, margins: margin.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._channels = {
            "ingest": _channel(settings.ingest_address),
            "rating": _channel(settings.rating_address),
            "entitlements": _channel(settings.entitlements_address),
            "margin": _channel(settings.margin_address),
        }
        ingest, rating, entitlements, margin = self._channels.values()
        self.events = usage_event_service_pb2_grpc.UsageEventServiceStub(ingest)
        self.catalog = catalog_service_pb2_grpc.CatalogServiceStub(rating)
        self.customers = customer_service_pb2_grpc.CustomerServiceStub(rating)
        self.subscriptions = subscription_service_pb2_grpc.SubscriptionServiceStub(rating)
        self.usage = usage_service_pb2_grpc.UsageServiceStub(rating)
        self.invoices = invoice_service_pb2_grpc.InvoiceServiceStub(rating)
        self.organizations = organization_service_pb2_grpc.OrganizationServiceStub(rating)
        self.kept_answers = kept_answer_service_pb2_grpc.KeptAnswerServiceStub(rating)
        self.audit_log = audit_log_service_pb2_grpc.AuditLogServiceStub(rating)
        self.test_clock = test_clock_service_pb2_grpc.TestClockServiceStub(rating)
        self.access = access_service_pb2_grpc.AccessServiceStub(entitlements)
        self.features = feature_service_pb2_grpc.FeatureServiceStub(entitlements)
        self.credits = credit_service_pb2_grpc.CreditServiceStub(entitlements)
        self.cost_models = cost_model_service_pb2_grpc.CostModelServiceStub(margin)
        self.margins = margin_service_pb2_grpc.MarginServiceStub(margin)

    async def readiness(self) -> Mapping[str, bool]:
        """Which services answer that they are serving; each is asked now."""
        names = list(self._channels)
        serving = await asyncio.gather(*(_is_serving(self._channels[name]) for name in names))
        return dict(zip(names, serving, strict=True))

    async def close(self) -> None:
        """Close the channels; calls in progress are cancelled."""
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))


def begin(
    method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
    request: Request,
    organization_id: str,
    changes: Changes,
    *,
    deadline: float = DEADLINE_SECONDS,
    further: tuple[tuple[str, str], ...] = (),
) -> grpc.aio.UnaryUnaryCall[Request, Response]:
    """Begin a call of `method` on behalf of an organization; await it for the answer.

    Args:
        method: a stub's method.
        request: its request message.
        organization_id: the organization for which the call is made.
        changes: the changes that the answer must take into account.
        deadline: seconds until the call is given up.
        further: further metadata.

    Awaiting it raises:
        grpc.RpcError: the service refused or could not be reached; `gateway.problem` translates it.
    """
    metadata = ((ORGANIZATION_KEY, organization_id), *changes.metadata_of(organization_id), *further)
    return method(request, metadata=metadata, timeout=deadline)


async def behind(call: grpc.aio.UnaryUnaryCall[Request, Response]) -> list[str]:
    """What a call's answer says of changes that it does not know (chassis.rpc.changes); nearly always nothing."""
    return [str(value) for key, value in await call.trailing_metadata() if key == BEHIND_KEY]


def _channel(target: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(target, options=channel_options())


async def _is_serving(channel: grpc.aio.Channel) -> bool:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    try:
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=""), timeout=HEALTH_SECONDS)
    except grpc.RpcError:
        # The error is the answer to the question, not a fault of the caller.
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
