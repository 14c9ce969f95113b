"""Overrides: give a customer or a subscription terms that replace its plan's, and return to the plan."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection

from services.entitlements.commands import resolution
from services.entitlements.commands.changes import Changes
from services.entitlements.commands.feature import require_feature
from services.entitlements.deps import Deps
from services.entitlements.domain.feature import require_text
from services.entitlements.domain.feature_terms import Override, require_valid
from services.entitlements.domain.limits import MAX_CODE
from services.entitlements.domain.standing import Standing
from services.entitlements.store import feature_terms as terms_store
from services.entitlements.store import organization as organization_store
from services.entitlements.store import standing as standing_store
from services.entitlements.store import subscription as subscription_store
from services.kernel.errors import NotFoundError
from services.kernel.ids import OrganizationId

# A standing, and the organization's time at which it was read.
InForce = tuple[Standing, datetime]


def set_override(deps: Deps, tx: Connection, organization: OrganizationId, override: Override) -> InForce | None:
    """Give these terms from now on, instead of the plan's; a customer without subscription gets them with its first.

    Returns:
        The result for its subscription, or for the first of several; None if there is none.

    Raises:
        InvalidArgumentError: a field is wrong.
        NotFoundError: `FEATURE_UNKNOWN`.
    """
    require_text(override.external_customer_id, "external_customer_id", MAX_CODE)
    require_text(override.external_subscription_id, "external_subscription_id", MAX_CODE, is_mandatory=False)
    require_valid(override.terms)
    organization_store.lock(tx, [organization])
    require_feature(tx, organization, override.feature_code)
    terms_store.save_override(tx, organization, override, at=deps.clock.now())
    _refresh(deps, tx, organization, override.external_customer_id)
    return _in_force(
        deps, tx, organization, override.external_customer_id, override.external_subscription_id, override.feature_code
    )


def remove_override(
    deps: Deps,
    tx: Connection,
    organization: OrganizationId,
    customer: str,
    external_subscription_id: str,
    feature_code: str,
) -> InForce | None:
    """Return to the terms of the plan, or to those of the customer's override for all subscriptions.

    Returns:
        The result for its subscription, or for the first of several; None if nothing is left.

    Raises:
        NotFoundError: `OVERRIDE_UNKNOWN`.
    """
    organization_store.lock(tx, [organization])
    if not terms_store.remove_override(tx, organization, customer, external_subscription_id, feature_code):
        raise NotFoundError(
            "OVERRIDE_UNKNOWN",
            "no override is set for this customer, subscription and feature",
            external_customer_id=customer,
            external_subscription_id=external_subscription_id,
            feature_code=feature_code,
        )
    _refresh(deps, tx, organization, customer)
    return _in_force(deps, tx, organization, customer, external_subscription_id, feature_code)


def _refresh(deps: Deps, tx: Connection, organization: OrganizationId, customer: str) -> None:
    changes = Changes()
    active = list(subscription_store.active_of_customer(tx, organization, customer))
    resolution.refresh(tx, organization, active, changes)
    changes.announce(deps, tx)


def _in_force(
    deps: Deps,
    tx: Connection,
    organization: OrganizationId,
    customer: str,
    external_subscription_id: str,
    feature_code: str,
) -> InForce | None:
    seen = standing_store.of_customer(tx, organization, customer, external_subscription_id, deps.clock.now())
    of_feature = (
        standing
        for standing in seen.standings[0]
        if standing.entitlement and standing.entitlement.feature_code == feature_code
    )
    first = next(of_feature, None)
    return (first, seen.at) if first else None
