"""Test clocks in SQL: an organization's time, and which services have reached it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from services.kernel.errors import NotFoundError
from services.kernel.ids import OrganizationId
from services.rating.deps import Deps
from services.rating.tables.catalog import ORGANIZATIONS
from services.rating.tables.subscriptions import CUSTOMERS, TEST_CLOCK_ACKNOWLEDGEMENTS


@dataclass(frozen=True, slots=True)
class ClockRow:
    """An organization's test clock.

    Attributes:
        test_mode: whether it may have one.
        now: its time; None if it was never set.
        revision: how often it was moved.
    """

    test_mode: bool
    now: datetime | None
    revision: int


def clock_of(tx: Connection, organization: OrganizationId, *, lock: bool = False) -> ClockRow:
    """The organization's clock; with `lock`, it cannot move until the transaction ends.

    Raises:
        NotFoundError: `ORGANIZATION_UNKNOWN`.
    """
    columns = ORGANIZATIONS.c.test_mode, ORGANIZATIONS.c.test_clock_now, ORGANIZATIONS.c.test_clock_revision
    statement = sa.select(*columns).where(ORGANIZATIONS.c.organization_id == organization)
    row = tx.execute(statement.with_for_update(key_share=True) if lock else statement).first()
    if row is None:
        raise NotFoundError("ORGANIZATION_UNKNOWN", "no organization has this id", organization_id=organization)
    return ClockRow(row.test_mode, row.test_clock_now, row.test_clock_revision)


def now_of(deps: Deps, tx: Connection, organization: OrganizationId) -> datetime:
    """The organization's time: its test clock's, or the machine's if it has none."""
    return clock_of(tx, organization).now or deps.clock.now()


def test_clocks(tx: Connection, organizations: Iterable[OrganizationId]) -> dict[OrganizationId, datetime]:
    """The times of organizations' test clocks; organizations without one are left out."""
    columns = ORGANIZATIONS.c.organization_id, ORGANIZATIONS.c.test_clock_now
    chosen = ORGANIZATIONS.c.organization_id.in_(list(organizations)), ORGANIZATIONS.c.test_clock_now.is_not(None)
    return {OrganizationId(row[0]): row[1] for row in tx.execute(sa.select(*columns).where(*chosen))}


def set_clock(tx: Connection, organization: OrganizationId, now: datetime) -> int:
    """Set the clock to an instant; returns its new revision."""
    statement = (
        ORGANIZATIONS.update()
        .where(ORGANIZATIONS.c.organization_id == organization)
        .values(test_clock_now=now, test_clock_revision=ORGANIZATIONS.c.test_clock_revision + 1)
        .returning(ORGANIZATIONS.c.test_clock_revision)
    )
    return int(tx.execute(statement).scalar_one())


def has_data(tx: Connection, organization: OrganizationId) -> bool:
    """Whether the organization has customers: everything that depends on time belongs to a customer."""
    statement = sa.select(sa.literal(1)).where(CUSTOMERS.c.organization_id == organization).limit(1)
    return tx.execute(statement).first() is not None


def acknowledge(
    tx: Connection, organization: OrganizationId, service: str, revision: int, reached_at: datetime
) -> None:
    """Note that a service has done everything due up to a revision; an older report changes nothing."""
    table = TEST_CLOCK_ACKNOWLEDGEMENTS
    statement = insert(table).values(
        organization_id=organization, service=service, revision=revision, reached_at=reached_at
    )
    statement = statement.on_conflict_do_update(
        index_elements=[table.c.organization_id, table.c.service],
        set_={"revision": statement.excluded.revision, "reached_at": statement.excluded.reached_at},
        where=table.c.revision < statement.excluded.revision,
    )
    tx.execute(statement)


def waiting_for(tx: Connection, organization: OrganizationId, services: Iterable[str], revision: int) -> frozenset[str]:
    """Which of the services have not yet reached a revision."""
    table = TEST_CLOCK_ACKNOWLEDGEMENTS
    reached = tx.execute(
        sa.select(table.c.service).where(table.c.organization_id == organization, table.c.revision >= revision)
    ).scalars()
    return frozenset(services) - frozenset(reached)


def logs_behind(tx: Connection, positions: Mapping[str, int]) -> frozenset[str]:
    """Which of the followed logs have not been applied up to the given number yet."""
    rows = tx.exec_driver_sql("SELECT log, last_number FROM inbox WHERE log = ANY(%s)", (list(positions),))
    applied: dict[str, int] = {row.log: row.last_number for row in rows}
    return frozenset(name for name, number in positions.items() if applied.get(name, 0) < number)
