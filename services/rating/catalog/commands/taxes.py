"""Taxes: created, changed, removed. What has been invoiced keeps its rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy.engine import Connection

from services.kernel.errors import AlreadyExistsError
from services.kernel.ids import OrganizationId, new_id
from services.rating.catalog.store import taxes as store
from services.rating.deps import Deps
from services.rating.organizations.clock_store import now_of
from services.rating.pricing.catalog import CatalogTax


def create_tax(deps: Deps, tx: Connection, organization: OrganizationId, draft: CatalogTax) -> CatalogTax:
    """Store a new tax.

    Raises:
        AlreadyExistsError: `TAX_EXISTS`.
    """
    made = replace(draft, tax_id=new_id(), created_at=now_of(deps, tx, organization))
    if not store.insert_tax(tx, organization, made):
        raise AlreadyExistsError("TAX_EXISTS", f"a tax has the code {made.tax.code!r}", code=made.tax.code)
    return made


def update_tax(
    tx: Connection, organization: OrganizationId, code: str, revise: Callable[[CatalogTax], CatalogTax]
) -> CatalogTax:
    """Change the tax with this code.

    Args:
        tx: the transaction.
        organization: the organization whose tax it is.
        code: the tax's code.
        revise: returns the new content for the current one, which is locked meanwhile.

    Raises:
        NotFoundError: `TAX_UNKNOWN`.
    """
    current = store.tax(tx, organization, code, lock=True)
    changed = replace(revise(current), tax_id=current.tax_id, created_at=current.created_at)
    store.save_tax(tx, organization, changed)
    return changed


def upsert_tax(deps: Deps, tx: Connection, organization: OrganizationId, draft: CatalogTax) -> CatalogTax:
    """Store a tax, or replace the content of the tax with its code."""
    made = replace(draft, tax_id=new_id(), created_at=now_of(deps, tx, organization))
    if store.insert_tax(tx, organization, made):
        return made
    return update_tax(tx, organization, made.tax.code, lambda _: draft)


def delete_tax(tx: Connection, organization: OrganizationId, code: str) -> CatalogTax:
    """Remove a tax; whatever named it falls back to the next level of taxes.

    Raises:
        NotFoundError: `TAX_UNKNOWN`.
    """
    removed = store.tax(tx, organization, code, lock=True)
    store.delete_tax(tx, organization, removed)
    return removed
