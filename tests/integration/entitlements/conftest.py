"""A world on a real database: rating's announcements are applied as by its follower, commands as by servicers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy.engine import Connection

from services.chassis.db import Database
from services.entitlements import consumers
from services.entitlements.commands import consumption
from services.entitlements.deps import Deps
from services.entitlements.domain.access import Access, Question
from services.entitlements.domain.event import AccessChanged, DomainEvent
from services.entitlements.main import announce
from services.entitlements.queries import access as queries
from services.kernel.clock import FrozenClock
from services.kernel.ids import OrganizationId, new_id
from tests.support.rating.events import RatingLog

NOON = datetime(2026, 5, 10, 12, tzinfo=UTC)


class World:
    """One database of the service with a frozen clock.

    Attributes:
        deps: of the service.
        clock: stands until moved.
        organization: the tenant.
        log: rating's.
        announced: every domain event, in order.
    """

    def __init__(self, db: Database) -> None:
        self.announced: list[DomainEvent] = []
        self.clock = FrozenClock(NOON)
        self.deps = Deps(db, self.clock, self._announce)
        self.organization = OrganizationId(new_id())
        self.log = RatingLog()

    def _announce(self, tx: Connection, events: Sequence[DomainEvent]) -> None:
        announce(tx, events)
        self.announced.extend(events)

    def apply(self, *events: tuple[str, bytes]) -> None:
        """Take over announcements of rating in one batch."""
        with self.deps.db.worker_transaction() as tx:
            consumers.apply(self.deps, tx, self.log.messages(*events))

    def check(self, feature: str, units: str = "1", *, customer: str = "acme", subscription: str = "") -> Access:
        """The answer to one question."""
        question = Question(customer, feature, subscription, Decimal(units))
        return queries.check(self.deps, self.organization, [question])[0]

    def consume(self, feature: str, units: str, *, customer: str = "acme") -> Access:
        """Count units at once, or be refused."""
        with self.deps.db.transaction(self.organization) as tx:
            question = Question(customer, feature, "", Decimal(units))
            return consumption.consume(self.deps, tx, self.organization, question, new_id())

    def changes(self) -> list[AccessChanged]:
        """What was announced of access since the last look."""
        found = [event for event in self.announced if isinstance(event, AccessChanged)]
        self.announced.clear()
        return found


@pytest.fixture
def world(database_for: Callable[[str], Database]) -> World:
    """A fresh world."""
    return World(database_for("entitlements"))
