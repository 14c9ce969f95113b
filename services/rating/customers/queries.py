"""Reading customers and their coupons."""

from __future__ import annotations

from services.chassis.page import Listed, Page
from services.kernel.ids import OrganizationId
from services.rating.catalog.store.coupons import AppliedCouponsWanted, list_applied
from services.rating.customers import store
from services.rating.customers.customer import Customer
from services.rating.deps import Deps
from services.rating.pricing.catalog import AppliedCoupon


def get_customer(deps: Deps, organization: OrganizationId, external_id: str) -> Customer:
    """The customer with this external id."""
    with deps.db.transaction(organization) as tx:
        return store.customer(tx, organization, external_id)


def list_customers(
    deps: Deps, organization: OrganizationId, page: Page, wanted: store.CustomersWanted
) -> Listed[Customer]:
    """The organization's customers, newest first."""
    with deps.db.transaction(organization) as tx:
        return store.list_customers(tx, organization, page, wanted)


def list_applied_coupons(
    deps: Deps, organization: OrganizationId, page: Page, wanted: AppliedCouponsWanted
) -> Listed[AppliedCoupon]:
    """Applied coupons, newest first."""
    with deps.db.transaction(organization) as tx:
        return list_applied(tx, organization, page, wanted)
