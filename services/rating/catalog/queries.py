"""Reading the catalog."""

from __future__ import annotations

from collections.abc import Sequence

from services.chassis.page import Listed, Page
from services.kernel.ids import OrganizationId
from services.rating.catalog.store import add_ons, coupons, metrics, plans, taxes
from services.rating.deps import Deps
from services.rating.pricing.catalog import AddOn, CatalogTax, Coupon, MetricVersion, PlanVersion


def get_metric(deps: Deps, organization: OrganizationId, code: str) -> MetricVersion:
    """The metric with this code."""
    with deps.db.transaction(organization) as tx:
        return metrics.metric(tx, organization, code)


def list_metrics(deps: Deps, organization: OrganizationId, page: Page, codes: Sequence[str]) -> Listed[MetricVersion]:
    """The organization's metrics, sorted by code, or those with these codes."""
    with deps.db.transaction(organization) as tx:
        return metrics.list_metrics(tx, organization, page, codes)


def get_plan(deps: Deps, organization: OrganizationId, code: str, version: int) -> PlanVersion:
    """One version of a plan, withdrawn or not; version 0 means the one on sale."""
    with deps.db.transaction(organization) as tx:
        if version:
            return plans.plan_version(tx, organization, code, version)
        return plans.current_plan(tx, organization, code)


def list_plans(deps: Deps, organization: OrganizationId, page: Page, codes: Sequence[str]) -> Listed[PlanVersion]:
    """Current versions of the plans on sale, sorted by code, or those with these codes."""
    with deps.db.transaction(organization) as tx:
        return plans.list_plans(tx, organization, page, codes)


def list_plan_versions(deps: Deps, organization: OrganizationId, code: str) -> list[PlanVersion]:
    """All versions of a plan, newest first."""
    with deps.db.transaction(organization) as tx:
        return plans.list_plan_versions(tx, organization, code)


def get_tax(deps: Deps, organization: OrganizationId, code: str) -> CatalogTax:
    """The tax with this code."""
    with deps.db.transaction(organization) as tx:
        return taxes.tax(tx, organization, code)


def list_taxes(deps: Deps, organization: OrganizationId, page: Page, codes: Sequence[str]) -> Listed[CatalogTax]:
    """The organization's taxes, sorted by code, or those with these codes."""
    with deps.db.transaction(organization) as tx:
        return taxes.list_taxes(tx, organization, page, codes)


def get_add_on(deps: Deps, organization: OrganizationId, code: str) -> AddOn:
    """The add-on with this code."""
    with deps.db.transaction(organization) as tx:
        return add_ons.add_on(tx, organization, code)


def list_add_ons(deps: Deps, organization: OrganizationId, page: Page, codes: Sequence[str]) -> Listed[AddOn]:
    """The organization's add-ons, sorted by code, or those with these codes."""
    with deps.db.transaction(organization) as tx:
        return add_ons.list_add_ons(tx, organization, page, codes)


def get_coupon(deps: Deps, organization: OrganizationId, code: str) -> Coupon:
    """The coupon with this code, unless it was withdrawn."""
    with deps.db.transaction(organization) as tx:
        return coupons.coupon(tx, organization, code)


def list_coupons(deps: Deps, organization: OrganizationId, page: Page, codes: Sequence[str]) -> Listed[Coupon]:
    """The organization's coupons, sorted by code, or those with these codes."""
    with deps.db.transaction(organization) as tx:
        return coupons.list_coupons(tx, organization, page, codes)
