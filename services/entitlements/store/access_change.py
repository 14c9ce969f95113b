"""Whose answers were altered: written in the transaction that alters them, read by every replica.

A reader gets each change once, in any order of the commits: it stores the snapshot of its last query, and asks for the
changes that were not visible in it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.engine import Connection

from services.kernel.ids import OrganizationId

# Means every customer of the organization.
EVERYBODY = ""
# Rows deleted at a time, so that no transaction becomes long.
FORGET_BATCH = 5000


class AccessChange(NamedTuple):
    """The answers of a customer were altered.

    Attributes:
        organization: the organization of the customer.
        customer: the customer by the organization's id, or `EVERYBODY`.
        revision: the newest revision of the alteration; 0 if it has none.
    """

    organization: OrganizationId
    customer: str
    revision: int


def add(
    tx: Connection, customers: Mapping[OrganizationId, Collection[str]], revisions: Mapping[OrganizationId, int]
) -> None:
    """Record whose answers a transaction has altered.

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
    """The snapshot of what is visible now."""
    seen: str = tx.exec_driver_sql("SELECT pg_current_snapshot()::text").scalar_one()
    return seen


def since(tx: Connection, seen: str) -> tuple[str, Sequence[AccessChange]]:
    """The snapshot of this query, and the changes that were not visible in an earlier one."""
    rows = tx.exec_driver_sql(
        "SELECT pg_current_snapshot()::text, c.organization_id::text, c.external_customer_id, c.revision "
        "FROM (SELECT) AS once LEFT JOIN access_changes c ON c.xid >= pg_snapshot_xmin(%(seen)s::pg_snapshot) "
        "AND NOT pg_visible_in_snapshot(c.xid, %(seen)s::pg_snapshot)",
        {"seen": seen},
    ).all()
    return rows[0][0], [AccessChange(OrganizationId(row[1]), row[2], row[3]) for row in rows if row[1] is not None]


def forget(tx: Connection, before: datetime) -> int:
    """Delete the oldest changes made before an instant, at most `FORGET_BATCH`; returns how many."""
    return tx.exec_driver_sql(
        "DELETE FROM access_changes WHERE ctid = ANY(ARRAY(SELECT ctid FROM access_changes ORDER BY xid LIMIT %s)) "
        "AND changed_at < %s",
        (FORGET_BATCH, before),
    ).rowcount
