"""Features: create, change, remove."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.engine import Connection

from services.entitlements.commands import resolution
from services.entitlements.commands.changes import Changes
from services.entitlements.deps import Deps
from services.entitlements.domain.feature import Feature, require_valid, revise
from services.entitlements.domain.limits import MAX_FEATURES
from services.entitlements.store import feature, organization, subscription
from services.kernel.errors import NotFoundError, ResourceExhaustedError
from services.kernel.ids import new_id


def upsert_feature(deps: Deps, tx: Connection, owner: str, wanted: Feature) -> Feature:
    """Create a feature, or change the one with this code.

    Raises:
        InvalidArgumentError: a field is wrong.
        FailedPreconditionError: `FEATURE_TYPE_FIXED`.
        ResourceExhaustedError: `TOO_MANY_FEATURES`.
    """
    require_valid(wanted)
    organization.lock(tx, [owner])
    known = feature.find(tx, owner, wanted.code)
    if known is None and feature.count(tx, owner) >= MAX_FEATURES:
        raise ResourceExhaustedError("TOO_MANY_FEATURES", f"an organization has at most {MAX_FEATURES} features")
    result = revise(known, wanted) if known else replace(wanted, id=new_id(), created_at=deps.clock.now())
    feature.save(tx, owner, result)
    _refresh(deps, tx, owner, result.code)
    return result


def delete_feature(deps: Deps, tx: Connection, owner: str, code: str) -> Feature:
    """Remove a feature; whoever has it loses it.

    Raises:
        NotFoundError: `FEATURE_UNKNOWN`.
    """
    organization.lock(tx, [owner])
    known = require_feature(tx, owner, code)
    feature.delete(tx, owner, code, at=deps.clock.now())
    _refresh(deps, tx, owner, code)
    return known


def require_feature(tx: Connection, owner: str, code: str) -> Feature:
    """The feature with this code, or a NotFoundError `FEATURE_UNKNOWN`."""
    known = feature.find(tx, owner, code)
    if known is None or known.deleted_at is not None:
        raise NotFoundError("FEATURE_UNKNOWN", f"no feature has code {code!r}", code=code)
    return known


def _refresh(deps: Deps, tx: Connection, owner: str, code: str) -> None:
    changes = Changes()
    resolution.refresh(tx, owner, subscription.concerned_by_feature(tx, owner, code), changes)
    changes.announce(deps, tx)
