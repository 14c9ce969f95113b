"""Rating's benchmarks: `python -m benchmarks.rating`.

invoice_run             period close of 10,000 subscriptions with 3 charges each, invoices a second (reach: 1,000)
invoice_run_10x_events  its time with ten times the events, as a ratio to its time (reach: at most 1.1)

Usage is counted through the real command in batches, so that the aggregates are what a consumer leaves behind; the
number of events only changes what is in them. Each round works on a fresh copy of the database.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from benchmarks.harness import Row, report
from services.chassis.config import Settings
from services.chassis.db import Database
from services.chassis.migrate import migrate
from services.kernel.clock import FrozenClock
from services.kernel.ids import BillableMetricId, ChargeId, OrganizationId, PlanId, SubscriptionId, new_id
from services.kernel.money import currency
from services.local.postgres_server import PostgresServer
from services.rating.agreements.subscription_change import NewSubscription
from services.rating.catalog.commands.metrics import create_metric
from services.rating.catalog.commands.plans import create_plan
from services.rating.clock.due import run_due
from services.rating.deps import Deps
from services.rating.main import announce_all
from services.rating.organizations.commands import create_organization
from services.rating.pricing.catalog import MetricVersion, PlanVersion
from services.rating.pricing.charges import Graduated, Standard, Tier
from services.rating.pricing.metric import Aggregation, BillableMetric
from services.rating.pricing.plan import Charge, Plan
from services.rating.shared.usage_log import UsageEntry, UsageEventPage, UsageEventsWanted
from services.rating.subscriptions.commands import create_subscription
from services.rating.usage.commands.count import Memory, count_usage

SUBSCRIPTIONS = 10_000
EVENTS = 3
ROUNDS = 5
BATCH = 5000
JANUARY = datetime(2024, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2024, 2, 1, tzinfo=UTC)
CODES = ("calls", "tokens", "peak")
REACH_RATE = 1000.0
REACH_TIME = 1.1


class _NoLog:
    """A log that is never asked, since nothing is voided here."""

    def page(self, wanted: UsageEventsWanted, *, size: int, token: str) -> UsageEventPage:  # noqa: ARG002 - a protocol's
        """No events."""
        return UsageEventPage(())


def deps_of(db: Database) -> Deps:
    """Dependencies of the commands, without ingest."""
    return Deps(
        db=db,
        clock=FrozenClock(FEBRUARY),
        announce=lambda tx, event: announce_all(tx, [event]),
        announce_all=announce_all,
        pepper="benchmark",
        shard_positions=dict,
        usage_log=_NoLog(),
        known_features=lambda _, codes: codes,
        newest_change=lambda _: None,
    )


def catalog(deps: Deps) -> OrganizationId:
    """An organization with three metrics and a plan that charges for all of them."""
    with deps.db.worker_transaction() as tx:
        organization = create_organization(deps, tx, {"name": "Bench", "test_mode": False}).organization_id
        metrics = (
            BillableMetric(CODES[0], Aggregation.COUNT),
            BillableMetric(CODES[1], Aggregation.SUM, "tokens"),
            BillableMetric(CODES[2], Aggregation.MAX, "size"),
        )
        for metric in metrics:
            create_metric(
                deps, tx, organization, MetricVersion(BillableMetricId(new_id()), 1, metric, metric.code, "", JANUARY)
            )
        usd = currency("USD")
        tiers = (Tier(Decimal(10), Decimal("0.10")), Tier(None, Decimal("0.05")))
        charges = (
            Charge(ChargeId(new_id()), CODES[0], Standard(Decimal("0.10")), code="calls"),
            Charge(ChargeId(new_id()), CODES[1], Graduated(tiers), code="tokens"),
            Charge(ChargeId(new_id()), CODES[2], Standard(Decimal("0.25")), code="peak"),
        )
        plan = Plan("pro", usd, base_amount=Decimal(30), charges=charges, name="Pro")
        create_plan(deps, tx, organization, PlanVersion(PlanId(new_id()), plan, JANUARY))
    return organization


def subscribe(deps: Deps, organization: OrganizationId) -> list[SubscriptionId]:
    """Ten thousand customers on the plan since January."""
    ids = []
    for first in range(0, SUBSCRIPTIONS, 200):
        with deps.db.worker_transaction() as tx:
            for number in range(first, first + 200):
                wanted = NewSubscription(f"c{number}", "pro", external_id=f"c{number}", starts_at=JANUARY)
                change = create_subscription(deps, tx, organization, wanted)
                ids.append(change.agreement.subscription_id)
    return ids


def count(deps: Deps, organization: OrganizationId, subscriptions: list[SubscriptionId], events: int) -> float:
    """Count this many events of each metric for every subscription; returns events a second."""
    entries = _entries(organization, subscriptions, events)
    memory, total = Memory(), len(subscriptions) * len(CODES) * events
    started = time.perf_counter()
    while batch := [entry for _, entry in zip(range(BATCH), entries, strict=False)]:
        with deps.db.worker_transaction() as tx:
            count_usage(deps, tx, memory, batch)
    return total / (time.perf_counter() - started)


def _entries(organization: OrganizationId, subscriptions: list[SubscriptionId], events: int) -> Iterator[UsageEntry]:
    properties: Mapping[str, Any] = {"tokens": 17, "size": 3}
    for subscription in subscriptions:
        for code in CODES:
            for number in range(events):
                name = f"{subscription}-{code}-{number}"
                at = JANUARY + timedelta(minutes=number)
                yield UsageEntry(
                    organization, subscription, code, name, b"", is_void=False, occurred_at=at, properties=properties
                )


class Databases:
    """Copies of prepared databases."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    @contextmanager
    def copy(self, original: str) -> Iterator[Database]:
        """A fresh copy of a database, dropped afterwards."""
        name = f"{original}_copy"
        self._run(f"CREATE DATABASE {name} TEMPLATE {original} OWNER farebox_rating STRATEGY file_copy")
        db = self.open(name)
        yield db
        db.dispose()
        self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def keep(self, original: str, name: str) -> Database:
        """A permanent copy."""
        self._run(f"CREATE DATABASE {name} TEMPLATE {original} OWNER farebox_rating")
        return self.open(name)

    def open(self, name: str) -> Database:
        """A connection to a database."""
        url = self._server.service_url("rating", name)
        return Database(Settings(database_url=SecretStr(url), statement_timeout_ms=600_000))

    def settle(self, name: str) -> None:
        """Do what autovacuum would do in time, so that no round pays for the way its database was made."""
        with psycopg.connect(make_conninfo(self._server.admin_url, dbname=name), autocommit=True) as admin:
            admin.execute("VACUUM (FREEZE, ANALYZE)")

    def _run(self, statement: str) -> None:
        with psycopg.connect(self._server.admin_url, autocommit=True) as admin:
            admin.execute(statement.encode())


def close_run(databases: Databases, original: str) -> float:
    """Seconds that the close run of all periods takes."""
    with databases.copy(original) as db:
        deps = deps_of(db)
        with db.worker_transaction() as tx:
            # A copy's pages are cold; those of a database in use are not.
            tx.exec_driver_sql("SELECT count(*) FROM usage_aggregates")
        started = time.perf_counter()
        report_ = run_due(deps, FEBRUARY)
        seconds = time.perf_counter() - started
        assert report_.finalized == SUBSCRIPTIONS, report_
    return seconds


def prepare(server: PostgresServer) -> Databases:
    """Two databases that differ only in the number of events."""
    server.provision(("rating",))
    migrate("services.rating", server.service_url("rating"))
    databases = Databases(server)
    db = databases.open("farebox_rating")
    deps = deps_of(db)
    organization = catalog(deps)
    subscriptions = subscribe(deps, organization)
    with db.worker_transaction() as tx:
        tx.exec_driver_sql("DELETE FROM outbox")
    db.dispose()
    for name, events in (("few", EVENTS), ("many", 10 * EVENTS)):
        copy = databases.keep("farebox_rating", name)
        speed = count(deps_of(copy), organization, subscriptions, events)
        print(f"counted {name}: {speed:,.0f} events/s")
        with copy.worker_session() as session:
            session.exec_driver_sql("DELETE FROM outbox")
        copy.dispose()
        databases.settle(name)
    return databases


def main() -> None:
    """Run both benchmarks in turns and report."""
    with PostgresServer.temporary() as server:
        databases = prepare(server)
        close_run(databases, "few")
        seconds: dict[str, list[float]] = {"few": [], "many": []}
        for number in range(ROUNDS):
            # The order changes with each round, so that neither always finds the other's dirt.
            for name in ("few", "many") if number % 2 else ("many", "few"):
                seconds[name].append(close_run(databases, name))
    few, many = statistics.median(seconds["few"]), statistics.median(seconds["many"])
    # Two runs side by side share the machine's mood, which moves the medians more than the events do.
    slower = statistics.median(many / few for few, many in zip(seconds["few"], seconds["many"], strict=True))
    speed = SUBSCRIPTIONS / few
    report(
        [
            Row("invoice_run", round(speed / REACH_RATE, 3), round(speed, 1), "invoices/s", REACH_RATE, ROUNDS, 1.0),
            Row("invoice_run_10x_events", round(slower, 3), round(many, 3), "s", round(few, 3), ROUNDS),
        ]
    )


if __name__ == "__main__":
    main()
