"""Taxes in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection, Row

from services.chassis.page import Listed, Page
from services.kernel.ids import OrganizationId
from services.rating.pricing.catalog import CatalogTax
from services.rating.pricing.tax import Tax, applicable_taxes
from services.rating.shared.rows import read_list
from services.rating.tables.catalog import TAXES


def upsert_tax(tx: Connection, organization: OrganizationId, tax: CatalogTax) -> CatalogTax:
    """Keep a tax, or replace the one with its code, which keeps its id and its age."""
    changing = {
        "name": tax.tax.name,
        "description": tax.description,
        "rate_percent": tax.tax.rate_percent,
        "applied_to_organization": tax.applied_to_organization,
    }
    statement = insert(TAXES).values(
        organization_id=organization, id=tax.tax_id, code=tax.tax.code, created_at=tax.created_at, **changing
    )
    statement = statement.on_conflict_do_update(index_elements=[TAXES.c.organization_id, TAXES.c.code], set_=changing)
    return _tax(tx.execute(statement.returning(TAXES)).one())


def taxes_by_code(
    tx: Connection, organization: OrganizationId, codes: Iterable[str] | None = None
) -> dict[str, CatalogTax]:
    """Taxes by code; all of the organization's when no codes are given."""
    statement = sa.select(TAXES).where(TAXES.c.organization_id == organization)
    if codes is not None:
        statement = statement.where(TAXES.c.code.in_(list(codes)))
    return {row.code: _tax(row) for row in tx.execute(statement)}


@dataclass(frozen=True, slots=True)
class TaxLevels:
    """An organization's taxes, to find those of a fee.

    Attributes:
        by_code: all of them.
        organization: those that hold for every fee that names none of its own.
    """

    by_code: Mapping[str, Tax]
    organization: tuple[Tax, ...]

    def of(self, *levels: Sequence[str]) -> tuple[Tax, ...]:
        """The taxes of the first level of codes that names any, else the organization's."""
        named = [[self.by_code[code] for code in level if code in self.by_code] for level in levels]
        return applicable_taxes(*named, self.organization)


def tax_levels(tx: Connection, organization: OrganizationId) -> TaxLevels:
    """The organization's taxes by level."""
    known = taxes_by_code(tx, organization)
    default = sorted((each.tax for each in known.values() if each.applied_to_organization), key=lambda tax: tax.code)
    return TaxLevels({code: each.tax for code, each in known.items()}, tuple(default))


def list_taxes(tx: Connection, organization: OrganizationId, page: Page) -> Listed[CatalogTax]:
    """The organization's taxes, by code."""
    statement = sa.select(TAXES).where(TAXES.c.organization_id == organization)
    return read_list(tx, statement, TAXES.c.code, page, _tax)


def _tax(row: Row[Any]) -> CatalogTax:
    return CatalogTax(
        tax_id=row.id,
        tax=Tax(row.code, row.rate_percent, row.name),
        created_at=row.created_at,
        description=row.description,
        applied_to_organization=row.applied_to_organization,
    )
