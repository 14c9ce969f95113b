"""Entitlements' tests: a database of the service, or its whole process, with callers of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy.engine import Connection

from farebox.common.v1 import decimal_pb2
from farebox.entitlements.v1 import access_service_pb2, entitlement_pb2
from services.chassis.db import Database
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.changes import AFTER_CHANGE_KEY
from services.chassis.wait import wait_until
from services.entitlements import consumers
from services.entitlements.commands.consumption import count
from services.entitlements.deps import Deps
from services.entitlements.domain.access import Access, Question
from services.entitlements.domain.counting import Command, Commit, Consume, Counted, Release, Reserve
from services.entitlements.domain.event import AccessChanged, DomainEvent
from services.entitlements.domain.limits import DEFAULT_HOLD
from services.entitlements.main import Parts, announce
from services.entitlements.memory.memory import Memory
from services.entitlements.queries import access as queries
from services.kernel.clock import FrozenClock
from services.kernel.errors import FareboxError
from services.kernel.ids import OrganizationId, new_id
from services.kernel.period import Period
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rating.events import RatingLog, fresh_ids, gate, limit, plan_changed, subscription_changed

PLAN, SUBSCRIPTION = fresh_ids(2)
NOON = datetime(2026, 5, 10, 12, tzinfo=UTC)
# The process runs on the machine's clock: its billing period must hold the present.
NOW = datetime.now(UTC)
PERIOD = Period(NOW - timedelta(days=10), NOW + timedelta(days=20))


@dataclass
class Running:
    """A running process and its callers."""

    parts: Parts
    access: Any
    features: Any
    organization: str
    log: RatingLog

    @property
    def metadata(self) -> list[tuple[str, str]]:
        return [(ORGANIZATION_KEY, self.organization)]

    def check(self, feature: str = "calls") -> entitlement_pb2.Access:
        return self.check_after(0, feature)[0]

    def check_after(self, change: int, feature: str = "calls") -> tuple[entitlement_pb2.Access, dict[str, str]]:
        """An answer as of a change of rating's log, and what is told beside it."""
        request = access_service_pb2.CheckRequest(external_customer_id="acme", feature_code=feature)
        metadata = [*self.metadata, (AFTER_CHANGE_KEY, str(change))]
        answer, call = self.access.Check.with_call(request, metadata=metadata, timeout=PATIENCE_SECONDS)
        return answer.access, dict(call.trailing_metadata())

    def consume(self, units: str, request_id: str) -> access_service_pb2.ConsumeResponse:
        request = access_service_pb2.ConsumeRequest(
            request_id=request_id,
            external_customer_id="acme",
            feature_code="calls",
            units=decimal_pb2.Decimal(value=units),
        )
        return self.access.Consume(request, metadata=self.metadata)

    def until_used(self, units: str) -> None:
        wait_until(lambda: self.check().used.value == units, timeout=PATIENCE_SECONDS, what=f"{units} units to count")

    def sell(self) -> None:
        sold = self.log.announce(
            plan_changed(self.organization, PLAN, [gate("sso"), limit("calls", "100")]),
            subscription_changed(self.organization, SUBSCRIPTION, PLAN, period=PERIOD),
        )
        assert self.check_after(sold)[0].allowed


class World:
    """One database of the service with a frozen clock.

    Attributes:
        deps: of the service.
        clock: stands still until the test moves it.
        organization: the tenant.
        log: rating's.
        announced: every domain event, in order.
        test_clock: where the organization's test clock stands, for tests that advance one.
    """

    def __init__(self, db: Database) -> None:
        self.announced: list[DomainEvent] = []
        self.test_clock: datetime | None = None
        self.clock = FrozenClock(NOON)
        self.deps = Deps(db, self.clock, self._announce, Memory(db, self.clock))
        self.organization = OrganizationId(new_id())
        self.log = RatingLog()

    def _announce(self, tx: Connection, events: Sequence[DomainEvent]) -> None:
        announce(tx, events)
        self.announced.extend(events)

    def now(self) -> datetime:
        """The organization's time."""
        return self.test_clock or self.clock.now()

    def apply(self, *events: tuple[str, bytes]) -> None:
        """Take over announcements of rating in one batch."""
        with self.deps.db.worker_transaction() as tx:
            consumers.apply(self.deps, tx, self.log.messages(*events))

    def check(self, feature: str, units: str = "1", *, customer: str = "acme", subscription: str = "") -> Access:
        """The answer to one question."""
        return self.ask(Question(customer, feature, subscription, Decimal(units)))[0]

    def ask(self, *questions: Question) -> list[Access]:
        """The answers to questions, at one revision."""
        answered = queries.check(self.deps, self.organization, questions)
        return [replace(answer.access, revision=answered.revision) for answer in answered.answers]

    def count(self, command: Command) -> Counted:
        """Do one command by itself, or raise why it cannot be done."""
        with self.deps.db.transaction(self.organization) as tx:
            (result,) = count(self.deps, tx, self.organization, [command])
            if isinstance(result, FareboxError):
                raise result
        return replace(result, access=replace(result.access, revision=result.revision))

    def consume(self, feature: str, units: str, *, customer: str = "acme") -> Access:
        """Count units at once, or be refused."""
        return self.count(Consume(Question(customer, feature, "", Decimal(units)), new_id())).access

    def reserve(self, feature: str, units: str, lifetime: timedelta = DEFAULT_HOLD) -> Counted:
        """Hold units, or be refused."""
        return self.count(Reserve(Question("acme", feature, "", Decimal(units)), lifetime))

    def commit(self, hold_id: str, units: str) -> Access:
        """Turn a hold into what was really used."""
        return self.count(Commit(hold_id, Decimal(units), new_id())).access

    def release(self, hold_id: str) -> Access:
        """Give a hold back."""
        return self.count(Release(hold_id)).access

    def changes(self) -> list[AccessChanged]:
        """What was announced of access since the last look."""
        found = [event for event in self.announced if isinstance(event, AccessChanged)]
        self.announced.clear()
        return found
