"""Features: create, change, remove."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy.engine import Connection

from services.entitlements.commands import resolution
from services.entitlements.commands.changes import Changes
from services.entitlements.deps import Deps
from services.entitlements.domain.feature import Feature, require_valid, revise
from services.entitlements.domain.limits import MAX_FEATURES
from services.entitlements.store import feature as feature_store
from services.entitlements.store import organization as organization_store
from services.entitlements.store import subscription as subscription_store
from services.kernel.errors import AlreadyExistsError, NotFoundError, ResourceExhaustedError
from services.kernel.ids import OrganizationId, new_id


def create_feature(deps: Deps, tx: Connection, organization: OrganizationId, draft: Feature) -> Feature:
    """Create a feature; the code of a removed feature may be used again.

    Raises:
        InvalidArgumentError: a field is wrong.
        AlreadyExistsError: `FEATURE_EXISTS`.
        ResourceExhaustedError: `TOO_MANY_FEATURES`.
    """
    require_valid(draft)
    organization_store.lock(tx, [organization])
    known = feature_store.find(tx, organization, draft.code)
    if known is not None and known.deleted_at is None:
        raise AlreadyExistsError("FEATURE_EXISTS", f"a feature has the code {draft.code!r}", code=draft.code)
    return _save(deps, tx, organization, known, draft)


def update_feature(
    deps: Deps, tx: Connection, organization: OrganizationId, code: str, change: Callable[[Feature], Feature]
) -> Feature:
    """Change a feature under its lock, so that two partial changes at the same time both take effect.

    Args:
        deps: the service's dependencies.
        tx: the transaction.
        organization: the organization whose feature it is.
        code: the feature's code.
        change: returns the new content for the current feature; may raise InvalidArgumentError.

    Raises:
        NotFoundError: `FEATURE_UNKNOWN`.
        InvalidArgumentError: a field is wrong.
        FailedPreconditionError: `FEATURE_TYPE_FIXED`.
    """
    organization_store.lock(tx, [organization])
    known = require_feature(tx, organization, code)
    draft = change(known)
    require_valid(draft)
    return _save(deps, tx, organization, known, draft)


def delete_feature(deps: Deps, tx: Connection, organization: OrganizationId, code: str) -> Feature:
    """Remove a feature; every customer who has it loses it.

    Raises:
        NotFoundError: `FEATURE_UNKNOWN`.
    """
    organization_store.lock(tx, [organization])
    known = require_feature(tx, organization, code)
    feature_store.delete(tx, organization, code, at=deps.clock.now())
    _refresh(deps, tx, organization, code)
    return known


def require_feature(tx: Connection, organization: OrganizationId, code: str) -> Feature:
    """The feature with this code, or a NotFoundError `FEATURE_UNKNOWN`."""
    known = feature_store.find(tx, organization, code)
    if known is None or known.deleted_at is not None:
        raise NotFoundError("FEATURE_UNKNOWN", f"no feature has code {code!r}", code=code)
    return known


def _save(deps: Deps, tx: Connection, organization: OrganizationId, known: Feature | None, draft: Feature) -> Feature:
    if known is None and feature_store.count(tx, organization) >= MAX_FEATURES:
        raise ResourceExhaustedError("TOO_MANY_FEATURES", f"an organization has at most {MAX_FEATURES} features")
    feature = revise(known, draft) if known else replace(draft, id=new_id(), created_at=deps.clock.now())
    feature_store.save(tx, organization, feature)
    _refresh(deps, tx, organization, feature.code)
    return feature


def _refresh(deps: Deps, tx: Connection, organization: OrganizationId, code: str) -> None:
    changes = Changes()
    resolution.refresh(tx, organization, subscription_store.concerned_by_feature(tx, organization, code), changes)
    changes.announce(deps, tx)
