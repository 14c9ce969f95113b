"""The caller's own organization: settings that apply unless a customer or a plan says otherwise."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.rating.v1 import organization_service_pb2 as rpc
from farebox.rating.v1.organization_pb2 import Organization as OrganizationMessage
from gateway.call import Call
from gateway.dialects.lago.common import Identified, Name
from gateway.operation import Nothing, Request, operation
from gateway.projection import callers_names, given, patch, project
from gateway.schema import Count, CurrencyCode, Instant, Words, keys, of

DUPLICATES = Words(OrganizationMessage.DuplicateEvents, "DUPLICATE_EVENTS_")
LATE = Words(OrganizationMessage.LateEvents, "LATE_EVENTS_")

Duplicates = Annotated[
    str,
    DUPLICATES.meta,
    Meta(description="Whether an event that is stored already is a success (`accept`) or an error (`reject`)."),
]
Late = Annotated[
    str,
    LATE.meta,
    Meta(
        description="Whether usage of an invoiced period is billed on the next invoice (`adjust`) or never (`ignore`)."
    ),
]
GraceDays = Annotated[Count, Meta(description="Days a draft invoice stays open for late events.")]
TermDays = Annotated[Count, Meta(description="Days from issue until an invoice is due.")]
Prefix = Annotated[str, Meta(max_length=10, description="Letters before the running number on invoices.")]
Zone = Annotated[str, Meta(max_length=255, description="IANA zone, e.g. `Europe/Paris`.")]


class OrganizationBilling(Struct, kw_only=True):
    """How customers without terms of their own are billed."""

    NOT_OFFERED: ClassVar = keys(
        "document_locale invoice_footer subscription_invoice_issuing_date_adjustment "
        "subscription_invoice_issuing_date_anchor"
    )

    invoice_grace_period: Annotated[GraceDays, of("invoice_grace_period_days")] | UnsetType = UNSET


class OrganizationSettings(Struct, kw_only=True):
    """Settings that an organization shares with its billing entity."""

    name: Name | UnsetType = UNSET
    default_currency: CurrencyCode | UnsetType = UNSET
    timezone: Zone | UnsetType = UNSET
    net_payment_term: Annotated[TermDays, of("net_payment_term_days")] | UnsetType = UNSET
    document_number_prefix: Annotated[Prefix, of("invoice_prefix")] | UnsetType = UNSET
    billing_configuration: OrganizationBilling | UnsetType = UNSET


class OrganizationChange(OrganizationSettings, kw_only=True):
    """Changes of the organization; what is not named stays as it is."""

    NOT_OFFERED: ClassVar = keys(
        "address_line1 address_line2 city country email email_settings legal_name legal_number state "
        "tax_identification_number webhook_url webhook_urls zipcode"
    )
    FIXED: ClassVar = {"document_numbering": "per_organization", "finalize_zero_amount_invoice": True}

    duplicate_events: Duplicates | UnsetType = UNSET
    late_events: Late | UnsetType = UNSET


class OrganizationBillingTerms(Struct, kw_only=True):
    """How customers without terms of their own are billed."""

    invoice_grace_period: Annotated[int, of("invoice_grace_period_days")]


class Organization(Identified, kw_only=True):
    """A business that bills its customers."""

    name: str
    test_mode: bool
    default_currency: str
    timezone: str
    net_payment_term: Annotated[int, of("net_payment_term_days")]
    document_number_prefix: Annotated[str, of("invoice_prefix")]
    billing_configuration: OrganizationBillingTerms
    duplicate_events: Annotated[str, DUPLICATES.told] | None
    late_events: Annotated[str, LATE.told] | None
    created_at: Instant | None


async def find(request: Request[Nothing, Nothing, Nothing]) -> Organization:
    """Find the organization whose key is used."""
    call, asked = request.call, rpc.GetOrganizationRequest()
    return organization_to_api((await call.ask(call.clients.organizations.GetOrganization, asked)).organization)


async def change(request: Request[Nothing, Nothing, OrganizationChange]) -> Organization:
    """Change settings of the organization.

    What the body does not name stays as it is. Keys are cached for a second, so it may take that long until every
    gateway knows the change.
    """
    return organization_to_api(await update_organization(request.call, request.body))


async def update_organization(call: Call, body: OrganizationSettings) -> OrganizationMessage:
    """The organization after a change of its settings."""
    message = rpc.UpdateOrganizationRequest(request_id=call.mutation_id)
    _, paths = patch(message.organization, body, skip=("billing_configuration",))
    billing = given(body.billing_configuration)
    if billing is not None:
        paths += patch(message.organization, billing)[1]
    message.update_mask.paths.extend(paths)
    return (await call.ask(call.clients.organizations.UpdateOrganization, message)).organization


def organization_to_api(organization: OrganizationMessage) -> Organization:
    """An organization as Lago's clients read it, with our settings."""
    return project(Organization, organization, billing_configuration=project(OrganizationBillingTerms, organization))


SETTING_NAMES = callers_names(OrganizationChange, OrganizationMessage, "organization.") | {
    "organization.invoice_grace_period_days": "billing_configuration.invoice_grace_period"
}
OPERATIONS = (
    operation("GET", "/organizations", find, answer_root="organization"),
    operation("PUT", "/organizations", change, root="organization", names=SETTING_NAMES),
)
