"""Overrides: grant a customer or a subscription something else than its plan does, and return to the plan."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection

from services.entitlements.commands import resolution
from services.entitlements.commands.changes import Changes
from services.entitlements.commands.feature import require_feature
from services.entitlements.deps import Deps
from services.entitlements.domain.feature import require_text
from services.entitlements.domain.grant import Override, require_valid
from services.entitlements.domain.limits import MAX_CODE
from services.entitlements.domain.standing import Standing
from services.entitlements.store import grant, organization, standing, subscription
from services.kernel.errors import NotFoundError

# A standing, and the organization's time it was read at.
InForce = tuple[Standing, datetime]


def set_override(deps: Deps, tx: Connection, owner: str, override: Override) -> InForce | None:
    """Grant this from now on, whatever the plan says; a customer without a subscription is granted it with its first.

    Returns:
        What results for the subscription it is for, or for the first of them; None where there is none.

    Raises:
        InvalidArgumentError: a field is wrong.
        NotFoundError: `FEATURE_UNKNOWN`.
    """
    require_text(override.external_customer_id, "external_customer_id", MAX_CODE)
    require_text(override.external_subscription_id, "external_subscription_id", MAX_CODE, mandatory=False)
    require_valid(override.grant)
    organization.lock(tx, [owner])
    require_feature(tx, owner, override.feature_code)
    grant.save_override(tx, owner, override, at=deps.clock.now())
    _refresh(deps, tx, owner, override.external_customer_id)
    return _in_force(
        deps, tx, owner, override.external_customer_id, override.external_subscription_id, override.feature_code
    )


def remove_override(
    deps: Deps, tx: Connection, owner: str, customer: str, external_subscription_id: str, feature_code: str
) -> InForce | None:
    """Return to what the plan, or the customer's wider override, grants.

    Returns:
        What results for the subscription it was for, or for the first of them; None where nothing is granted.

    Raises:
        NotFoundError: `OVERRIDE_UNKNOWN`.
    """
    organization.lock(tx, [owner])
    if not grant.remove_override(tx, owner, customer, external_subscription_id, feature_code):
        raise NotFoundError(
            "OVERRIDE_UNKNOWN",
            "no override is set for this customer, subscription and feature",
            external_customer_id=customer,
            external_subscription_id=external_subscription_id,
            feature_code=feature_code,
        )
    _refresh(deps, tx, owner, customer)
    return _in_force(deps, tx, owner, customer, external_subscription_id, feature_code)


def _refresh(deps: Deps, tx: Connection, owner: str, customer: str) -> None:
    changes = Changes()
    resolution.refresh(tx, owner, list(subscription.active_of_customer(tx, owner, customer)), changes)
    changes.announce(deps, tx)


def _in_force(
    deps: Deps, tx: Connection, owner: str, customer: str, external_subscription_id: str, feature_code: str
) -> InForce | None:
    seen = standing.of_customer(tx, owner, customer, external_subscription_id, deps.clock.now())
    of_feature = (one for one in seen.standings[0] if one.entitlement and one.entitlement.feature_code == feature_code)
    found = next(of_feature, None)
    return (found, seen.at) if found else None
