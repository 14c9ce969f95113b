"""Rating with a virtual clock: organizations in several zones, what they sell, and the run of what is due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from benchmarks.simulate.offers import Offer, metric_draft, offers
from benchmarks.simulate.usage_log import UsageFeed
from services.chassis.db import Database
from services.kernel.clock import FrozenClock
from services.kernel.ids import OrganizationId
from services.rating.catalog.commands.metrics import create_metric
from services.rating.catalog.commands.plans import create_plan
from services.rating.clock.due import DueReport, run_due
from services.rating.deps import Deps
from services.rating.main import announce_all
from services.rating.organizations.commands import create_organization
from services.rating.shared.usage_log import UsageEventPage, UsageEventsWanted

# Zone, currency, days of grace: clocks put forward by an hour, by half an hour, at midnight, and never; currencies
# of two, no and three decimals; invoices final at once and after a while.
MARKETS = (
    ("America/New_York", "USD", 0),
    ("Europe/Paris", "EUR", 3),
    ("Australia/Lord_Howe", "AUD", 0),
    ("America/Santiago", "JPY", 1),
    ("Asia/Kathmandu", "KWD", 0),
)

# A change may leave a period to close and that a draft to finalize; beyond that nothing moves any more.
MAX_PASSES = 5

_NEXT_DUE = """
SELECT least(
    (SELECT min(due_at) FROM subscriptions WHERE due_at IS NOT NULL),
    (SELECT min(period_end) FROM billing_periods WHERE state = 'open'),
    (SELECT min(grace_ends_at) FROM invoices WHERE state = 'draft'))
"""


@dataclass(frozen=True)
class Market:
    """An organization and where its customers live."""

    organization: OrganizationId
    zone: str
    currency: str


class _NoLog:
    """A usage-event log that is never asked: nothing is voided, so nothing is counted again."""

    def page(self, wanted: UsageEventsWanted, *, size: int, token: str) -> UsageEventPage:
        raise AssertionError(f"the log was asked for {wanted} ({size}, {token!r})")


class World:
    """One database of rating, and a clock that the simulation moves.

    Attributes:
        deps: what rating's commands are given.
        clock: the virtual time.
        feed: where usage goes in.
        markets: the organizations.
        offers: what every one of them sells.
    """

    def __init__(self, db: Database, starts_at: datetime) -> None:
        self.clock = FrozenClock(starts_at)
        self.deps = Deps(
            db=db,
            clock=self.clock,
            announce=lambda tx, event: announce_all(tx, [event]),
            announce_all=announce_all,
            pepper="simulation",
            shard_positions=dict,
            usage_log=_NoLog(),
            known_features=lambda _, codes: codes,
            newest_change=lambda _: None,
            clock_followers=(),
        )
        self.feed = UsageFeed(self.deps)
        self.offers: list[Offer] = offers()
        self.markets = [self._open(*market) for market in MARKETS]

    @property
    def now(self) -> datetime:
        """The virtual time."""
        return self.clock.now()

    def next_due(self) -> datetime | None:
        """When the next thing falls due anywhere."""
        with self.deps.db.worker_transaction() as tx:
            found: datetime | None = tx.exec_driver_sql(_NEXT_DUE).scalar_one()
        return found

    def move_to(self, at: datetime) -> None:
        """Move the clock."""
        self.clock.move_to(at)

    def run_due(self) -> DueReport:
        """Do what is due in all organizations, as the job of every replica does, until nothing is left."""
        report = DueReport()
        for _ in range(MAX_PASSES):
            report += run_due(self.deps, self.now)
            due = self.next_due()
            if due is None or due > self.now:
                return report
        raise AssertionError(f"at {self.now} something stays due since {due}")

    def _open(self, zone: str, currency: str, grace_days: int) -> Market:
        settings = {
            "name": zone,
            "test_mode": False,
            "timezone": zone,
            "default_currency": currency,
            "invoice_grace_period_days": grace_days,
        }
        with self.deps.db.worker_transaction() as tx:
            organization = create_organization(self.deps, tx, settings).organization_id
        with self.deps.db.transaction(organization) as tx:
            create_metric(self.deps, tx, organization, metric_draft())
            for offer in self.offers:
                create_plan(self.deps, tx, organization, offer.draft(currency))
        return Market(organization, zone, currency)
