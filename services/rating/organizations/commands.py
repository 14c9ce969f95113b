"""Organizations and their API keys."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection

from services.kernel.errors import FailedPreconditionError, InvalidArgumentError
from services.kernel.ids import OrganizationId, new_id, uuid_or_none
from services.rating.deps import Deps
from services.rating.organizations import store
from services.rating.organizations.clock_store import now_of
from services.rating.organizations.events import OrganizationChanged
from services.rating.organizations.organization import (
    HINT_LENGTH,
    MAX_TOKEN,
    MIN_TOKEN,
    TOKEN_BYTES,
    ApiKey,
    KeyTerms,
    Organization,
    Rotation,
    require_expiry,
    token_digest,
    token_of,
)


@dataclass(frozen=True, slots=True)
class ShownKey:
    """A new key: the only time it is shown in full.

    Attributes:
        api_key: what is stored of it.
        token: the key itself.
    """

    api_key: ApiKey
    token: str


@dataclass(frozen=True, slots=True)
class RotatedKey:
    """A key and its successor.

    Attributes:
        made: the successor, which is shown now.
        replaced: the key, with its end.
    """

    made: ShownKey
    replaced: ApiKey


def create_organization(deps: Deps, tx: Connection, settings: Mapping[str, Any]) -> Organization:
    """Create an organization; `settings` are the fields of `Organization` that differ from their defaults."""
    made = Organization(organization_id=OrganizationId(new_id()), created_at=deps.clock.now(), **settings)
    store.insert_organization(tx, made)
    deps.announce(tx, OrganizationChanged(made))
    return made


def update_organization(
    deps: Deps, tx: Connection, organization: OrganizationId, revise: Callable[[Organization], Organization]
) -> Organization:
    """Change settings: `revise` returns the new settings for the current ones, which are locked meanwhile."""
    current = store.organization(tx, organization, lock=True)
    changed = revise(current)
    if changed == current:
        return current
    store.save_organization(tx, changed)
    deps.announce(tx, OrganizationChanged(changed))
    return changed


def create_api_key(deps: Deps, tx: Connection, organization: OrganizationId, wanted: KeyTerms) -> ShownKey:
    """Make a random key; only its digest is stored.

    Raises:
        InvalidArgumentError: its end has passed or is too far away.
    """
    require_expiry(wanted.expires_at, deps.clock.now())
    owner = store.organization(tx, organization)
    token = token_of(wanted.kind, secrets.token_bytes(TOKEN_BYTES), test_mode=owner.test_mode)
    return ShownKey(keep_api_key(deps, tx, organization, wanted, token), token)


def keep_api_key(deps: Deps, tx: Connection, organization: OrganizationId, wanted: KeyTerms, token: str) -> ApiKey:
    """Store a key that was chosen elsewhere.

    Raises:
        InvalidArgumentError: it is too short to be a secret.
        FailedPreconditionError: `API_KEY_TAKEN`.
    """
    if not MIN_TOKEN <= len(token) <= MAX_TOKEN:
        raise InvalidArgumentError.of_field("token", "invalid_format", f"has {MIN_TOKEN} to {MAX_TOKEN} characters")
    key = ApiKey(
        api_key_id=new_id(),
        organization_id=organization,
        kind=wanted.kind,
        hint=token[:HINT_LENGTH],
        name=wanted.name,
        created_at=now_of(deps, tx, organization),
        scopes=wanted.scopes,
        expires_at=wanted.expires_at,
        replaces_id=wanted.replaces_id,
    )
    if not store.insert_api_key(tx, key, token_digest(token, deps.pepper)):
        raise FailedPreconditionError("API_KEY_TAKEN", "this key exists already")
    return key


def rotate_api_key(deps: Deps, tx: Connection, organization: OrganizationId, wanted: Rotation) -> RotatedKey:
    """Make a key that may do what another may, which works on for the overlap.

    Raises:
        NotFoundError: `API_KEY_UNKNOWN`.
        FailedPreconditionError: `API_KEY_INACTIVE`, the key does not work any more.
        PermissionDeniedError: `API_KEY_BEYOND_SCOPES`, the key may do more than the caller.
        InvalidArgumentError: the new key has no end although the other has one.
    """
    _require_id(wanted.api_key_id)
    now, old = deps.clock.now(), store.api_key(tx, organization, wanted.api_key_id)
    if not old.is_working(now):
        raise FailedPreconditionError("API_KEY_INACTIVE", "the key does not work any more; make a new one")
    if old.expires_at is not None and wanted.expires_at is None:
        raise InvalidArgumentError.of_field("expires_at", "value_is_mandatory", "is needed, since the key expires")
    terms = KeyTerms(old.kind, old.name, old.scopes, wanted.expires_at, old.api_key_id, wanted.within)
    made = create_api_key(deps, tx, organization, terms)
    replaced = old.replaced_at(now + wanted.overlap)
    store.save_expiry(tx, replaced)
    return RotatedKey(made, replaced)


def revoke_api_key(deps: Deps, tx: Connection, organization: OrganizationId, api_key_id: str) -> ApiKey:
    """Revoke a key; doing so twice changes nothing."""
    _require_id(api_key_id)
    return store.revoke_api_key(tx, organization, api_key_id, now_of(deps, tx, organization))


def _require_id(api_key_id: str) -> None:
    if uuid_or_none(api_key_id) is None:
        raise InvalidArgumentError.of_field("api_key_id", "invalid_format", "is not an id")
