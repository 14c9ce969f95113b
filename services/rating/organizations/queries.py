"""Reading organizations and keys."""

from __future__ import annotations

from dataclasses import dataclass

from services.chassis.page import Listed, Page
from services.kernel.errors import UnauthenticatedError
from services.kernel.ids import OrganizationId
from services.rating.deps import Deps
from services.rating.organizations import store
from services.rating.organizations.organization import MAX_TOKEN, ApiKey, Organization, token_digest


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The organization to which a presented key belongs."""

    api_key: ApiKey
    organization: Organization


def get_organization(deps: Deps, organization: OrganizationId) -> Organization:
    """The caller's organization."""
    with deps.db.transaction(organization) as tx:
        return store.organization(tx, organization)


def list_api_keys(deps: Deps, organization: OrganizationId, page: Page) -> Listed[ApiKey]:
    """The organization's keys, newest first."""
    with deps.db.transaction(organization) as tx:
        return store.list_api_keys(tx, organization, page)


def authenticate(deps: Deps, token: str) -> Authenticated:
    """The organization to which a presented key belongs.

    Uses a worker transaction, since the caller does not name an organization.

    Raises:
        UnauthenticatedError: `API_KEY_INVALID`, for an unknown and for a revoked key alike.
    """
    digest = token_digest(token[:MAX_TOKEN], deps.pepper)
    with deps.db.worker_transaction() as tx:
        key = store.api_key_by_digest(tx, digest)
        if key is None or key.revoked_at is not None:
            raise UnauthenticatedError("API_KEY_INVALID", "the key is unknown or was revoked")
        return Authenticated(key, store.organization(tx, key.organization_id))
