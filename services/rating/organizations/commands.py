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
    ApiKeyKind,
    Organization,
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


def create_api_key(deps: Deps, tx: Connection, organization: OrganizationId, kind: ApiKeyKind, name: str) -> ShownKey:
    """Make a random key; only its digest is stored."""
    owner = store.organization(tx, organization)
    token = token_of(kind, secrets.token_bytes(TOKEN_BYTES), test_mode=owner.test_mode)
    return ShownKey(keep_api_key(deps, tx, organization, kind, name, token), token)


def keep_api_key(
    deps: Deps, tx: Connection, organization: OrganizationId, kind: ApiKeyKind, name: str, token: str
) -> ApiKey:
    """Store a key that was chosen elsewhere.

    Raises:
        InvalidArgumentError: it is too short to be a secret.
        FailedPreconditionError: `API_KEY_TAKEN`.
    """
    if not MIN_TOKEN <= len(token) <= MAX_TOKEN:
        raise InvalidArgumentError.of_field("token", "invalid_format", f"has {MIN_TOKEN} to {MAX_TOKEN} characters")
    key = ApiKey(new_id(), organization, kind, token[:HINT_LENGTH], name, now_of(deps, tx, organization))
    if not store.insert_api_key(tx, key, token_digest(token, deps.pepper)):
        raise FailedPreconditionError("API_KEY_TAKEN", "this key exists already")
    return key


def revoke_api_key(deps: Deps, tx: Connection, organization: OrganizationId, api_key_id: str) -> ApiKey:
    """Revoke a key; doing so twice changes nothing."""
    if uuid_or_none(api_key_id) is None:
        raise InvalidArgumentError.of_field("api_key_id", "invalid_format", "is not an id")
    return store.revoke_api_key(tx, organization, api_key_id, now_of(deps, tx, organization))
