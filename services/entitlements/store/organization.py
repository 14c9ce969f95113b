"""An organization's time, its lock, and its revision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy.engine import Connection

from services.entitlements.domain.event import ClockMoved
from services.kernel.ids import OrganizationId


def lock(tx: Connection, organizations: Iterable[OrganizationId]) -> None:
    """Lock organizations in one order until the end of the transaction: their terms change one at a time."""
    ids = sorted(set(organizations))
    tx.exec_driver_sql(
        "INSERT INTO organizations (organization_id) SELECT unnest(%s::uuid[]) ON CONFLICT DO NOTHING", (ids,)
    )
    tx.exec_driver_sql(
        "SELECT 1 FROM organizations WHERE organization_id = ANY(%s::uuid[]) ORDER BY organization_id FOR UPDATE",
        (ids,),
    )


def times(tx: Connection, organizations: Iterable[OrganizationId], system: datetime) -> dict[OrganizationId, datetime]:
    """The time of each organization: its test clock's, or the machine's."""
    ids = set(organizations)
    rows = tx.exec_driver_sql(
        "SELECT organization_id::text, test_clock_now FROM organizations "
        "WHERE organization_id = ANY(%s::uuid[]) AND test_clock_now IS NOT NULL",
        (list(ids),),
    ).all()
    return {**dict.fromkeys(ids, system), **{OrganizationId(row[0]): row[1] for row in rows}}


def move_clock(tx: Connection, moved: ClockMoved) -> None:
    """Store a test clock's time, unless a later advance is known."""
    tx.exec_driver_sql(
        "INSERT INTO organizations (organization_id, test_clock_now, test_clock_revision) VALUES (%s, %s, %s) "
        "ON CONFLICT (organization_id) DO UPDATE SET test_clock_now = excluded.test_clock_now, "
        "test_clock_revision = excluded.test_clock_revision "
        "WHERE organizations.test_clock_revision < excluded.test_clock_revision",
        (moved.organization_id, moved.now, moved.revision),
    )


def revision(tx: Connection, organization: OrganizationId) -> int:
    """The organization's newest revision."""
    row = tx.exec_driver_sql("SELECT revision FROM revisions WHERE organization_id = %s", (organization,)).first()
    return row[0] if row else 0


def next_revisions(tx: Connection, counts: Mapping[OrganizationId, int]) -> dict[OrganizationId, int]:
    """Take the next revisions of organizations and answer the first of each; others wait until this transaction ends.

    So it is asked for as late as can be: what is left to do is to write what was decided before.
    """
    organizations = sorted(organization for organization, count in counts.items() if count)
    if not organizations:
        return {}
    rows = tx.exec_driver_sql(
        "INSERT INTO revisions (organization_id, revision) SELECT * FROM unnest(%s::uuid[], %s::bigint[]) "
        "ON CONFLICT (organization_id) DO UPDATE SET revision = revisions.revision + excluded.revision "
        "RETURNING organization_id::text, revision",
        (organizations, [counts[organization] for organization in organizations]),
    )
    return {OrganizationId(row[0]): row[1] - counts[OrganizationId(row[0])] + 1 for row in rows}
