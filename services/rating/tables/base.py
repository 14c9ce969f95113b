"""The metadata of the tables that rating's Core stores read and write; each file of tables adds its own."""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()


def organization_key() -> sa.Column[str]:
    """The column that leads every key of a tenant's table."""
    return sa.Column("organization_id", sa.Uuid(as_uuid=False), primary_key=True)


def instant(name: str, *, nullable: bool = False) -> sa.Column[object]:
    """An aware instant."""
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)
