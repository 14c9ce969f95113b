"""Features, and what subscriptions are entitled to of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.chassis.page import MAX_PAGE_SIZE, Listed, Page
from services.entitlements.deps import Deps
from services.entitlements.domain.feature import Feature
from services.entitlements.domain.standing import Standing
from services.entitlements.store import feature as feature_store
from services.entitlements.store import standing as standing_store
from services.kernel.errors import InvalidArgumentError, NotFoundError
from services.kernel.ids import OrganizationId


def get_feature(deps: Deps, organization: OrganizationId, code: str) -> Feature:
    """The feature with this code, or a NotFoundError `FEATURE_UNKNOWN`."""
    with deps.db.transaction(organization) as tx:
        feature = feature_store.find(tx, organization, code)
    if feature is None or feature.deleted_at is not None:
        raise NotFoundError("FEATURE_UNKNOWN", f"no feature has code {code!r}", code=code)
    return feature


def find_features(deps: Deps, organization: OrganizationId, codes: Sequence[str]) -> Listed[Feature]:
    """The features with these codes, by code.

    Raises:
        InvalidArgumentError: there are more than `MAX_PAGE_SIZE` codes.
    """
    if len(codes) > MAX_PAGE_SIZE:
        raise InvalidArgumentError.of_field("codes", "value_is_too_long", f"has at most {MAX_PAGE_SIZE} codes")
    with deps.db.transaction(organization) as tx:
        found = feature_store.by_codes(tx, organization, codes)
    kept = [found[code] for code in sorted(found) if found[code].deleted_at is None]
    return Listed(tuple(kept), total=len(kept))


def list_features(deps: Deps, organization: OrganizationId, page: Page) -> Listed[Feature]:
    """A page of features by code, and how many there are in all."""
    with deps.db.transaction(organization) as tx:
        features, total = feature_store.page(tx, organization, page)
    return Listed.of(features, page, lambda feature: (feature.code,), total=total)


def list_entitlements(
    deps: Deps, organization: OrganizationId, customer: str, external_subscription_id: str
) -> tuple[Sequence[Standing], datetime]:
    """What active subscriptions are entitled to now, and what time that is.

    Raises:
        InvalidArgumentError: neither a customer nor a subscription is named.
    """
    if not customer and not external_subscription_id:
        raise InvalidArgumentError.of_field(
            "external_customer_id", "value_is_mandatory", "name a customer or a subscription"
        )
    with deps.db.transaction(organization) as tx:
        seen = standing_store.of_customer(tx, organization, customer, external_subscription_id, deps.clock.now())
    return seen.standings[0], seen.at
