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
    """The organization to which a presented key belongs; once a minute its use is noted.

    Uses a worker transaction, since the caller does not name an organization.

    Raises:
        UnauthenticatedError: `API_KEY_INVALID`, for an unknown, a revoked and an expired key alike.
    """
    digest, now = token_digest(token[:MAX_TOKEN], deps.pepper), deps.clock.now()
    with deps.db.worker_transaction() as tx:
        key = store.api_key_by_digest(tx, digest)
        if key is None or not key.is_working(now):
            raise UnauthenticatedError("API_KEY_INVALID", "the key is unknown, was revoked or has expired")
        if key.is_use_news(now):
            store.note_use(tx, key, now)
        return Authenticated(key, store.organization(tx, key.organization_id))
