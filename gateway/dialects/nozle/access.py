"""`can`: may this customer do this now? One reply suits every version of the SDK."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.entitlements.v1 import access_service_pb2 as rpc
from farebox.entitlements.v1.entitlement_pb2 import Access as AccessMessage
from gateway.operation import Nothing, Request, operation
from gateway.projection import callers_names, exact, json_number, patch, project
from gateway.schema import Code, DecimalInput, ExactNumber, Instant, Words, keys, of
from services.kernel.money import ZERO

REASON = Words(AccessMessage.Reason, "REASON_")


class AccessQuestion(Struct, kw_only=True):
    """Who asks, and for what."""

    NOT_OFFERED: ClassVar = keys("entity_id")

    customer_id: Annotated[Code, of("external_customer_id")]
    feature: Annotated[Code, of("feature_code")]
    subscription_id: Annotated[Code, of("external_subscription_id")] | UnsetType = UNSET
    units: DecimalInput | UnsetType = UNSET


class Configuration(Struct):
    """The value of a configuration."""

    value: str


class Access(Struct, kw_only=True):
    """Whether the customer may; `limit` and `remaining` are always present, and null if unlimited.

    `hard` is null if no limit decided.
    """

    allowed: bool
    reason: Annotated[str, REASON.told] | None
    feature: Annotated[str, of("feature_code")]
    used: ExactNumber
    limit: ExactNumber | None
    remaining: ExactNumber | None
    overage: Annotated[bool, Meta(description="Whether more was used than the limit; `overage_units` says how much.")]
    overage_units: ExactNumber
    hard: bool | None
    resets_at: Instant | None
    revision: int
    valid_until: Instant | None
    subscription_id: Annotated[str | None, of("external_subscription_id")]
    configuration: Configuration | UnsetType = UNSET


def access_to_api(access: AccessMessage) -> Access:
    """An access as the SDKs read it."""
    overage = exact(access.overage)
    return project(
        Access,
        access,
        overage=overage > ZERO,
        overage_units=json_number(overage),
        configuration=Configuration(access.value) if access.value else UNSET,
    )


async def can(request: Request[Nothing, AccessQuestion, Nothing]) -> Access:
    """Ask whether a customer may use a feature now.

    `units` asks about more than one; nothing is consumed.
    """
    asked, _ = patch(rpc.CheckRequest(), request.query)
    return access_to_api(await request.call.check(asked))


OPERATIONS = (operation("GET", "/can", can, names=callers_names(AccessQuestion, rpc.CheckRequest)),)
