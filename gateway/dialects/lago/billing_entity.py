"""Billing entities: an organization is its one billing entity, `default`, with the organization's settings."""

from __future__ import annotations

from typing import Annotated, ClassVar

from farebox.rating.v1 import organization_service_pb2 as rpc
from farebox.rating.v1.organization_pb2 import Organization as OrganizationMessage
from gateway.dialects.lago.common import Identified
from gateway.dialects.lago.organization import SETTING_NAMES, OrganizationSettings, update_organization
from gateway.engine.paging import PageQuery
from gateway.listing import paged
from gateway.operation import ByCode, Listed, Nothing, Request, operation
from gateway.problem import not_found
from gateway.projection import project
from gateway.schema import Instant, keys, of

# The code of the one entity.
DEFAULT = "default"


class BillingEntityChange(OrganizationSettings, kw_only=True):
    """Changes of the billing entity, which are the organization's; what is not named stays as it is."""

    NOT_OFFERED: ClassVar = keys(
        "address_line1 address_line2 city country email email_settings invoice_custom_section_codes legal_name "
        "legal_number logo_url phone state tax_codes tax_identification_number zipcode"
    )
    FIXED: ClassVar = {
        "document_numbering": "per_billing_entity",
        "eu_tax_management": False,
        "finalize_zero_amount_invoice": True,
    }


class BillingEntity(Identified, kw_only=True):
    """Who sends the invoices of an organization. An organization does not say when it was changed last."""

    code: str = DEFAULT
    name: str
    is_default: bool = True
    default_currency: str
    timezone: str
    net_payment_term: Annotated[int, of("net_payment_term_days")]
    document_numbering: str = "per_billing_entity"
    document_number_prefix: Annotated[str, of("invoice_prefix")]
    finalize_zero_amount_invoice: bool = True
    invoice_grace_period: Annotated[int, of("invoice_grace_period_days")]
    created_at: Instant | None
    updated_at: Annotated[Instant | None, of("created_at")]


async def find_all(request: Request[Nothing, PageQuery, Nothing]) -> Listed[BillingEntity]:
    """List billing entities: an organization has one."""
    return paged(request.query, [await _find(request)])


async def find(request: Request[ByCode, Nothing, Nothing]) -> BillingEntity:
    """Find the billing entity, whose code is `default`."""
    _require_default(request.path)
    return await _find(request)


async def change(request: Request[ByCode, Nothing, BillingEntityChange]) -> BillingEntity:
    """Change the billing entity, and with it the organization."""
    _require_default(request.path)
    return billing_entity_to_api(await update_organization(request.call, request.body))


async def _find(request: Request[ByCode, Nothing, Nothing] | Request[Nothing, PageQuery, Nothing]) -> BillingEntity:
    asked = rpc.GetOrganizationRequest()
    answer = await request.call.ask(request.call.clients.organizations.GetOrganization, asked)
    return billing_entity_to_api(answer.organization)


def _require_default(path: ByCode) -> None:
    if path.code != DEFAULT:
        raise not_found("billing_entity", f"an organization has one billing entity, {DEFAULT!r}")


def billing_entity_to_api(organization: OrganizationMessage) -> BillingEntity:
    """An organization as a billing entity."""
    return project(BillingEntity, organization)


OPERATIONS = (
    operation("GET", "/billing_entities", find_all, answer_root="billing_entities"),
    operation("GET", "/billing_entities/{code}", find, answer_root="billing_entity"),
    operation("PUT", "/billing_entities/{code}", change, root="billing_entity", names=SETTING_NAMES),
)
