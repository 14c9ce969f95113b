"""Whose answers were altered: written in the transaction that alters them, read by every replica.

A reader is told each change once, in whatever order the transactions that made them commit: it keeps the snapshot of
its last look, and asks for what that snapshot could not see.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.engine import Connection

from services.kernel.ids import OrganizationId

# Stands for every customer of the organization.
EVERYBODY = ""
# Rows forgotten at a time, so that forgetting never holds a long transaction.
FORGET_BATCH = 5000


class AccessChange(NamedTuple):
    """Somebody's answers were altered.

    Attributes:
        organization: whose customer.
        customer: the customer by the organization's id, or `EVERYBODY`.
        revision: the newest revision that the alteration was given; 0 where it was given none.
    """

    organization: OrganizationId
    customer: str
    revision: int


def add(
    tx: Connection, customers: Mapping[OrganizationId, Collection[str]], revisions: Mapping[OrganizationId, int]
) -> None:
    """Write down whose answers a transaction has altered.

    Args:
        tx: the transaction.
        customers: by organization.
        revisions: the newest that the transaction gave, by organization.
    """
    rows = [
        (organization, customer, revisions.get(organization, 0))
        for organization, altered in customers.items()
        for customer in sorted(altered)
    ]
    if rows:
        tx.exec_driver_sql(
            "INSERT INTO access_changes (organization_id, external_customer_id, revision) "
            "SELECT * FROM unnest(%s::uuid[], %s::text[], %s::bigint[])",
            tuple(list(column) for column in zip(*rows, strict=True)),
        )


def snapshot(tx: Connection) -> str:
    """What can be seen now."""
    seen: str = tx.exec_driver_sql("SELECT pg_current_snapshot()::text").scalar_one()
    return seen


def since(tx: Connection, seen: str) -> tuple[str, Sequence[AccessChange]]:
    """The snapshot of this look, and the changes that an earlier one could not see."""
    rows = tx.exec_driver_sql(
        "SELECT pg_current_snapshot()::text, c.organization_id::text, c.external_customer_id, c.revision "
        "FROM (SELECT) AS once LEFT JOIN access_changes c ON c.xid >= pg_snapshot_xmin(%(seen)s::pg_snapshot) "
        "AND NOT pg_visible_in_snapshot(c.xid, %(seen)s::pg_snapshot)",
        {"seen": seen},
    ).all()
    return rows[0][0], [AccessChange(OrganizationId(row[1]), row[2], row[3]) for row in rows if row[1] is not None]


def forget(tx: Connection, before: datetime) -> int:
    """Forget the oldest changes made before an instant, at most `FORGET_BATCH`; how many they were."""
    return tx.exec_driver_sql(
        "DELETE FROM access_changes WHERE ctid = ANY(ARRAY(SELECT ctid FROM access_changes ORDER BY xid LIMIT %s)) "
        "AND changed_at < %s",
        (FORGET_BATCH, before),
    ).rowcount
