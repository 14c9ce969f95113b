"""The metadata of rating's database, with the chassis's tables; each file of tables adds its own."""

from __future__ import annotations

import sqlalchemy as sa

from services.chassis import follower, idempotency, lease, outbox

METADATA = sa.MetaData()

OUTBOX, OUTBOX_HEAD = outbox.tables(METADATA)
INBOX, DEAD_LETTERS = follower.tables(METADATA)
MEMBERS, LEASES = lease.tables(METADATA)
REQUESTS = idempotency.table(METADATA)


def organization_key() -> sa.Column[str]:
    """The column that leads every key of a tenant's table."""
    return sa.Column("organization_id", sa.Uuid(as_uuid=False), primary_key=True)


def instant(name: str, *, nullable: bool = False) -> sa.Column[object]:
    """An aware instant."""
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)
