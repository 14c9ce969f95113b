"""Organizations and API keys: messages to domain and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

from farebox.rating.v1 import change_service_pb2, organization_service_pb2
from farebox.rating.v1 import organization_pb2 as pb
from services.kernel.checks import inside
from services.kernel.errors import FieldViolation, InvalidArgumentError
from services.kernel.ids import OrganizationId, uuid_or_none
from services.rating.organizations.organization import (
    ApiKey,
    ApiKeyKind,
    DuplicateUsageEvents,
    KeyTerms,
    LateUsageEvents,
    Organization,
    Rotation,
    scopes_of,
)
from services.rating.shared.newest_changes import MAX_ORGANIZATIONS
from services.wire.masks import patched
from services.wire.values import instant_or_none_of, instant_to_pb

PATH = "organization"
# The fields that Farebox sets and nobody can change.
_GIVEN = ("id", "test_mode", "created_at")
_TEXTS = ("name", "default_currency", "timezone", "invoice_prefix")
_DAYS = ("invoice_grace_period_days", "net_payment_term_days")
_SETTINGS = (*_TEXTS, *_DAYS, "duplicate_events", "late_events")
_DEFAULTS = {field.name: field.default for field in fields(Organization) if field.name in _SETTINGS}
_DUPLICATES = {
    pb.Organization.DUPLICATE_EVENTS_ACCEPT: DuplicateUsageEvents.ACCEPT,
    pb.Organization.DUPLICATE_EVENTS_REJECT: DuplicateUsageEvents.REJECT,
}
_LATE = {
    pb.Organization.LATE_EVENTS_ADJUST: LateUsageEvents.ADJUST,
    pb.Organization.LATE_EVENTS_IGNORE: LateUsageEvents.IGNORE,
}
_KINDS = {
    pb.ApiKey.KIND_SECRET: ApiKeyKind.SECRET,
    pb.ApiKey.KIND_PUBLISHABLE: ApiKeyKind.PUBLISHABLE,
}
_DUPLICATES_TO_PB = {value: key for key, value in _DUPLICATES.items()}
_LATE_TO_PB = {value: key for key, value in _LATE.items()}
_KINDS_TO_PB = {value: key for key, value in _KINDS.items()}


def new_settings_from_pb(message: pb.Organization) -> dict[str, Any]:
    """The settings of a new organization."""
    with inside(PATH):
        return {"name": message.name, "test_mode": message.test_mode, **settings_from_pb(message)}


def settings_from_pb(message: pb.Organization) -> dict[str, Any]:
    """The settings that a message names; fields at their default value are left out."""
    names = (*_TEXTS, *_DAYS)
    settings: dict[str, Any] = {name: getattr(message, name) for name in names if getattr(message, name)}
    if message.duplicate_events:
        settings["duplicate_events"] = _known(_DUPLICATES, message.duplicate_events, "duplicate_events")
    if message.late_events:
        settings["late_events"] = _known(_LATE, message.late_events, "late_events")
    return settings


def revised_organization_from_pb(
    request: organization_service_pb2.UpdateOrganizationRequest, current: Organization
) -> Organization:
    """The new settings of an organization after a request that changes some, or a refusal that names its fields."""
    has_mask = request.HasField("update_mask")
    merged = patched(organization_to_pb(current), request, PATH, key="id", given=_GIVEN) if has_mask else None
    with inside(PATH):
        if merged is None:
            return replace(current, **settings_from_pb(request.organization))
        # A field that the mask names and the body does not set goes back to its default; a name has none.
        return replace(current, **{**_DEFAULTS, **settings_from_pb(merged), "name": merged.name})


def organization_to_pb(organization: Organization) -> pb.Organization:
    """The organization as it is."""
    return pb.Organization(
        id=organization.organization_id,
        name=organization.name,
        test_mode=organization.test_mode,
        default_currency=organization.default_currency,
        timezone=organization.timezone,
        invoice_grace_period_days=organization.invoice_grace_period_days,
        duplicate_events=_DUPLICATES_TO_PB[organization.duplicate_events],
        late_events=_LATE_TO_PB[organization.late_events],
        invoice_prefix=organization.invoice_prefix,
        created_at=instant_to_pb(organization.created_at),
        net_payment_term_days=organization.net_payment_term_days,
    )


def kind_from_pb(kind: int) -> ApiKeyKind:
    """What a key may do."""
    found: ApiKeyKind = _known(_KINDS, kind, "kind")
    return found


def key_terms_from_pb(request: organization_service_pb2.CreateApiKeyRequest) -> KeyTerms:
    """What a new key shall be."""
    scopes, within = scopes_of(request.scopes), frozenset(request.within_scopes)
    expires_at = instant_or_none_of(request, "expires_at")
    return KeyTerms(kind_from_pb(request.kind), request.name, scopes, expires_at, within=within)


def rotation_from_pb(request: organization_service_pb2.RotateApiKeyRequest) -> Rotation:
    """How a key is replaced."""
    overlap, expires_at = timedelta(seconds=request.overlap_seconds), instant_or_none_of(request, "expires_at")
    return Rotation(request.api_key_id, overlap, expires_at, frozenset(request.within_scopes))


def api_key_to_pb(key: ApiKey) -> pb.ApiKey:
    """What is stored of a key."""
    return pb.ApiKey(
        id=key.api_key_id,
        organization_id=key.organization_id,
        kind=_KINDS_TO_PB[key.kind],
        hint=key.hint,
        name=key.name,
        created_at=instant_to_pb(key.created_at),
        revoked_at=instant_to_pb(key.revoked_at),
        scopes=key.scopes,
        expires_at=instant_to_pb(key.expires_at),
        last_used_at=instant_to_pb(key.last_used_at),
        replaces_id=key.replaces_id or "",
    )


def _known(words: dict[Any, Any], value: int, field: str) -> Any:
    if value not in words:
        reason = "value_is_invalid" if value else "value_is_mandatory"
        raise InvalidArgumentError.of_field(field, reason, "is not one of the known values")
    return words[value]


def organizations_from_pb(request: change_service_pb2.ListNewestChangesRequest) -> list[OrganizationId]:
    """The organizations that are asked about, or a refusal of every id that is none."""
    ids = request.organization_ids
    if not 1 <= len(ids) <= MAX_ORGANIZATIONS:
        raise InvalidArgumentError.of_field(
            "organization_ids", "value_is_out_of_range", f"holds 1 to {MAX_ORGANIZATIONS} ids"
        )
    wrong = [
        FieldViolation(f"organization_ids[{place}]", "invalid_format", "is not a Farebox id")
        for place, text in enumerate(ids)
        if uuid_or_none(text) is None
    ]
    if wrong:
        raise InvalidArgumentError.of_fields(wrong)
    return [OrganizationId(text.lower()) for text in ids]


def newest_changes_to_pb(newest: Mapping[OrganizationId, int]) -> change_service_pb2.ListNewestChangesResponse:
    """The newest change of each organization."""
    return change_service_pb2.ListNewestChangesResponse(
        changes=[
            change_service_pb2.NewestChange(organization_id=organization, number=number)
            for organization, number in newest.items()
        ]
    )
