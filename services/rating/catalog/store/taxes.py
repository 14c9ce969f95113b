"""Taxes in SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection, Row

from services.chassis.page import Listed, Page
from services.kernel.errors import NotFoundError
from services.kernel.ids import OrganizationId
from services.rating.pricing.catalog import CatalogTax, PlanVersion
from services.rating.pricing.tax import Tax, applicable_taxes
from services.rating.shared.rows import lock_row, named_in, read_list
from services.rating.tables.catalog import TAXES
from services.rating.tables.subscriptions import CUSTOMERS


def insert_tax(tx: Connection, organization: OrganizationId, tax: CatalogTax) -> bool:
    """Store a new tax; False if its code is taken."""
    statement = insert(TAXES).values(
        organization_id=organization,
        id=tax.tax_id,
        code=tax.tax.code,
        created_at=tax.created_at,
        **_changing(tax),
    )
    return tx.execute(statement.on_conflict_do_nothing().returning(TAXES.c.id)).first() is not None


def save_tax(tx: Connection, organization: OrganizationId, tax: CatalogTax) -> None:
    """Replace the content of a tax."""
    own = (TAXES.c.organization_id == organization) & (TAXES.c.id == tax.tax_id)
    tx.execute(TAXES.update().where(own).values(**_changing(tax)))


def _changing(tax: CatalogTax) -> dict[str, Any]:
    return {
        "name": tax.tax.name,
        "description": tax.description,
        "rate_percent": tax.tax.rate_percent,
        "applied_to_organization": tax.applied_to_organization,
    }


def tax(tx: Connection, organization: OrganizationId, code: str, *, lock: bool = False) -> CatalogTax:
    """The tax with this code; with `lock`, nobody else changes it meanwhile.

    Raises:
        NotFoundError: `TAX_UNKNOWN`.
    """
    statement = sa.select(TAXES).where(TAXES.c.organization_id == organization, TAXES.c.code == code)
    row = lock_row(tx, statement, of=TAXES) if lock else tx.execute(statement).first()
    if row is None:
        raise NotFoundError("TAX_UNKNOWN", f"no tax has the code {code!r}", code=code)
    return _tax(row)


def delete_tax(tx: Connection, organization: OrganizationId, removed: CatalogTax) -> None:
    """Remove a tax, and its code wherever a plan, charge or customer names it: later invoices are without it."""
    tx.execute(TAXES.delete().where(TAXES.c.organization_id == organization, TAXES.c.id == removed.tax_id))
    code = removed.tax.code
    holds = CUSTOMERS.c.organization_id == organization, CUSTOMERS.c.tax_codes.contains([code])
    tx.execute(CUSTOMERS.update().where(*holds).values(tax_codes=sa.func.array_remove(CUSTOMERS.c.tax_codes, code)))
    tx.exec_driver_sql(_REMOVE_FROM_PLANS, {"organization": organization, "code": code})


# A plan's document names taxes at its top level and in its charges.
_REMOVE_FROM_PLANS = """
UPDATE plans SET content = jsonb_set(
    content || jsonb_build_object('tax_codes', (content->'tax_codes') - %(code)s::text),
    '{charges}',
    (
        SELECT coalesce(
            jsonb_agg(
                charge || jsonb_build_object('tax_codes', coalesce(charge->'tax_codes', '[]') - %(code)s::text)
                ORDER BY place
            ),
            '[]'
        )
        FROM jsonb_array_elements(content->'charges') WITH ORDINALITY AS kept(charge, place)
    )
)
WHERE organization_id = %(organization)s AND (
    content->'tax_codes' ? %(code)s::text
    OR EXISTS (
        SELECT FROM jsonb_array_elements(content->'charges') AS kept(charge) WHERE charge->'tax_codes' ? %(code)s::text
    )
)
"""


def taxes_by_code(tx: Connection, organization: OrganizationId, codes: Collection[str]) -> dict[str, CatalogTax]:
    """The organization's taxes with these codes, by code."""
    if not codes:
        return {}
    statement = sa.select(TAXES).where(TAXES.c.organization_id == organization, TAXES.c.code.in_(list(codes)))
    return {row.code: _tax(row) for row in tx.execute(statement)}


@dataclass(frozen=True, slots=True)
class TaxLevels:
    """An organization's taxes, to find those of a fee.

    Attributes:
        by_code: the taxes that some level names.
        organization: the taxes that apply to every fee that names none of its own.
    """

    by_code: Mapping[str, Tax]
    organization: tuple[Tax, ...]

    def of(self, *levels: Sequence[str]) -> tuple[Tax, ...]:
        """The taxes of the first level of codes that names any, otherwise the organization's."""
        named = [[self.by_code[code] for code in level if code in self.by_code] for level in levels]
        return applicable_taxes(*named, self.organization)

    def taxed(self, version: PlanVersion, customer_codes: Sequence[str]) -> PlanVersion:
        """A plan version with its taxes, and those of charges that name their own, for a customer with these taxes."""
        charges = tuple(
            replace(charge, taxes=self.of(charge.tax_codes, version.tax_codes, customer_codes))
            if charge.tax_codes
            else charge
            for charge in version.plan.charges
        )
        taxes = self.of(version.tax_codes, customer_codes)
        return replace(version, plan=replace(version.plan, taxes=taxes, charges=charges))


def tax_codes_of(version: PlanVersion) -> set[str]:
    """The codes of taxes that a plan version and its charges name."""
    return {*version.tax_codes, *(code for charge in version.plan.charges for code in charge.tax_codes)}


def tax_levels(tx: Connection, organization: OrganizationId, codes: Collection[str]) -> TaxLevels:
    """The taxes that these codes name, and those of the organization."""
    chosen = TAXES.c.code.in_(list(codes)) | TAXES.c.applied_to_organization
    rows = tx.execute(sa.select(TAXES).where(TAXES.c.organization_id == organization, chosen))
    known = {row.code: _tax(row) for row in rows}
    default = sorted(
        (known_tax.tax for known_tax in known.values() if known_tax.applied_to_organization), key=lambda tax: tax.code
    )
    return TaxLevels({code: known_tax.tax for code, known_tax in known.items()}, tuple(default))


def list_taxes(
    tx: Connection, organization: OrganizationId, page: Page, codes: Sequence[str] = ()
) -> Listed[CatalogTax]:
    """The organization's taxes, by code; if codes are given, only those."""
    chosen = named_in(TAXES.c.code, codes, "codes")
    statement = sa.select(TAXES).where(TAXES.c.organization_id == organization, chosen)
    return read_list(tx, statement, TAXES.c.code, page, _tax)


def _tax(row: Row[Any]) -> CatalogTax:
    return CatalogTax(
        tax_id=row.id,
        tax=Tax(row.code, row.rate_percent, row.name),
        created_at=row.created_at,
        description=row.description,
        applied_to_organization=row.applied_to_organization,
    )
