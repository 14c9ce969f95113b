"""Taxes and coupons of the catalog, and coupons in customers' hands."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.engine import Connection

from services.kernel.errors import AlreadyExistsError
from services.kernel.ids import OrganizationId, new_id
from services.rating.catalog.store import coupons as store
from services.rating.catalog.store.taxes import upsert_tax as keep_tax
from services.rating.deps import Deps
from services.rating.organizations.clock_store import now_of
from services.rating.pricing.catalog import CatalogTax, Coupon


def upsert_tax(deps: Deps, tx: Connection, organization: OrganizationId, draft: CatalogTax) -> CatalogTax:
    """Keep a tax, or change the one with its code; what is invoiced keeps the rate it was invoiced with."""
    return keep_tax(tx, organization, replace(draft, tax_id=new_id(), created_at=now_of(deps, tx, organization)))


def create_coupon(deps: Deps, tx: Connection, organization: OrganizationId, draft: Coupon) -> Coupon:
    """Keep a new coupon.

    Raises:
        AlreadyExistsError: `COUPON_EXISTS`.
    """
    made = replace(draft, coupon_id=new_id(), created_at=now_of(deps, tx, organization))
    if not store.insert_coupon(tx, organization, made):
        raise AlreadyExistsError("COUPON_EXISTS", f"a coupon has the code {made.terms.code!r}", code=made.terms.code)
    return made
