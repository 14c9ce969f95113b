"""Add-ons in SQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection, Row

from services.chassis.page import Listed, Page
from services.kernel.errors import NotFoundError
from services.kernel.ids import OrganizationId
from services.rating.pricing.catalog import AddOn
from services.rating.shared.rows import lock_row, named_in, read_list
from services.rating.tables.catalog import ADD_ONS


def insert_add_on(tx: Connection, organization: OrganizationId, add_on: AddOn) -> bool:
    """Store a new add-on; False if its code is taken."""
    statement = insert(ADD_ONS).values(organization_id=organization, **_values(add_on)).on_conflict_do_nothing()
    return tx.execute(statement.returning(ADD_ONS.c.id)).first() is not None


def save_add_on(tx: Connection, organization: OrganizationId, add_on: AddOn) -> None:
    """Replace the content of an add-on."""
    own = (ADD_ONS.c.organization_id == organization) & (ADD_ONS.c.id == add_on.add_on_id)
    tx.execute(ADD_ONS.update().where(own).values(**_values(add_on)))


def delete_add_on(tx: Connection, organization: OrganizationId, add_on: AddOn) -> None:
    """Remove an add-on; what was invoiced stays."""
    tx.execute(ADD_ONS.delete().where(ADD_ONS.c.organization_id == organization, ADD_ONS.c.id == add_on.add_on_id))


def add_on(tx: Connection, organization: OrganizationId, code: str, *, lock: bool = False) -> AddOn:
    """The add-on with this code; with `lock`, nobody else changes it meanwhile.

    Raises:
        NotFoundError: `ADD_ON_UNKNOWN`.
    """
    statement = sa.select(ADD_ONS).where(ADD_ONS.c.organization_id == organization, ADD_ONS.c.code == code)
    row = lock_row(tx, statement, of=ADD_ONS) if lock else tx.execute(statement).first()
    if row is None:
        raise NotFoundError("ADD_ON_UNKNOWN", f"no add-on has the code {code!r}", code=code)
    return _add_on(row)


def add_ons_by_code(tx: Connection, organization: OrganizationId, codes: Collection[str]) -> dict[str, AddOn]:
    """The organization's add-ons with these codes, by code."""
    if not codes:
        return {}
    statement = sa.select(ADD_ONS).where(ADD_ONS.c.organization_id == organization, ADD_ONS.c.code.in_(list(codes)))
    return {row.code: _add_on(row) for row in tx.execute(statement)}


def list_add_ons(tx: Connection, organization: OrganizationId, page: Page, codes: Sequence[str] = ()) -> Listed[AddOn]:
    """The organization's add-ons, by code; if codes are given, only those."""
    chosen = named_in(ADD_ONS.c.code, codes, "codes")
    statement = sa.select(ADD_ONS).where(ADD_ONS.c.organization_id == organization, chosen)
    return read_list(tx, statement, ADD_ONS.c.code, page, _add_on)


def _values(add_on: AddOn) -> dict[str, Any]:
    return {
        "id": add_on.add_on_id,
        "code": add_on.code,
        "name": add_on.name,
        "invoice_display_name": add_on.invoice_display_name,
        "description": add_on.description,
        "amount_cents": add_on.amount_cents,
        "currency": add_on.currency,
        "tax_codes": list(add_on.tax_codes),
        "created_at": add_on.created_at,
    }


def _add_on(row: Row[Any]) -> AddOn:
    return AddOn(
        add_on_id=row.id,
        code=row.code,
        name=row.name,
        amount_cents=row.amount_cents,
        currency=row.currency,
        created_at=row.created_at,
        invoice_display_name=row.invoice_display_name,
        description=row.description,
        tax_codes=tuple(row.tax_codes),
    )
