"""Reading customers and their coupons."""

from __future__ import annotations

from services.chassis.page import Listed, Page
from services.kernel.ids import OrganizationId
from services.rating.catalog.store.coupons import list_applied
from services.rating.customers import store
from services.rating.customers.customer import Customer
from services.rating.deps import Deps
from services.rating.pricing.catalog import AppliedCoupon


def get_customer(deps: Deps, organization: OrganizationId, external_id: str) -> Customer:
    """The customer with this external id."""
    with deps.db.transaction(organization) as tx:
        return store.customer(tx, organization, external_id)


def list_customers(deps: Deps, organization: OrganizationId, page: Page) -> Listed[Customer]:
    """The organization's customers, newest first."""
    with deps.db.transaction(organization) as tx:
        return store.list_customers(tx, organization, page)


def list_applied_coupons(
    deps: Deps, organization: OrganizationId, page: Page, external_customer_id: str
) -> Listed[AppliedCoupon]:
    """Coupons in customers' hands, newest first; all customers' for an empty id."""
    with deps.db.transaction(organization) as tx:
        return list_applied(tx, organization, page, external_customer_id)
