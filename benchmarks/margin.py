"""Costing against counting: `python -m benchmarks.margin`.

margin_cost        events a second that margin costs, against those that rating counts of the same messages, in turns
margin_cost_grown  the same with so many entries in the ledger (`BENCH_LEDGER`), against an almost empty one

Messages are applied as the follower applies them, one process's worth, without the bus: what is measured is the
service's own work and its database's. Each round has events of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

import grpc
from pydantic import SecretStr

from benchmarks.harness import compare, rate, report
from benchmarks.rating import JANUARY, catalog, deps_of
from farebox.ingest.v1.domain_events_pb2 import UsageEventEntry, UsageEventsAccepted
from services.chassis.config import Settings
from services.chassis.db import Database
from services.chassis.followed import Apply, Message
from services.chassis.migrate import migrate
from services.kernel.clock import SystemClock
from services.kernel.ids import new_id
from services.local.postgres_server import PostgresServer
from services.margin.commands.cost_model import create_cost_model
from services.margin.commands.usage import save_metric
from services.margin.consumers import usage_logs
from services.margin.convert import price_catalog
from services.margin.deps import Deps
from services.margin.domain.cost_model import CostModel, PerUnit
from services.margin.domain.projection import Metric
from services.margin.main import announce
from services.rating.agreements.subscription_change import NewSubscription
from services.rating.consumers import usage_applier
from services.rating.subscriptions.commands import create_subscription
from services.wire.shards import SHARD_COUNT
from services.wire.usage_log import UsageLogClient

IS_SHORT = bool(os.environ.get("BENCH_SHORT"))
CUSTOMERS = 200
# As the follower takes them: messages of some hundred events, a few thousand events a transaction.
MESSAGE_EVENTS, MESSAGES = 500, 16
TRANSACTIONS = 3 if IS_SHORT else 12
ROUNDS = 3 if IS_SHORT else 5
LEDGER = int(os.environ.get("BENCH_LEDGER", "300000" if IS_SHORT else "5000000"))
CODE = "tokens"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_FILL = """
INSERT INTO cost_entries (organization_id, id, kind, source, source_id, external_customer_id, subscription_id, code,
    provider, model, token_type, units, unit_amount, amount, currency, price_id, entry_count, occurred_at,
    parent_transaction_id, request_id, operation_key)
SELECT %(organization)s, md5(n::text)::uuid, 'original', 'usage_event',
    '01890000-' || lpad(to_hex(n), 12, '0'), 'c' || n %% 200, NULL, 'tokens', '', '', '', 1, 1, 1, 'USD', NULL, 1,
    %(since)s + n * interval '1 second', '', '', '' FROM generate_series(1, %(count)s) AS n
"""


class World:
    """One organization with customers, in the databases of rating and of margin."""

    def __init__(self, rating: Database, margin: Database) -> None:
        """Fill migrated databases."""
        self._databases = {"rating": rating, "margin": margin}
        rating_deps = deps_of(rating)
        self.organization = catalog(rating_deps)
        self._subscriptions = []
        for number in range(CUSTOMERS):
            with rating.worker_transaction() as tx:
                wanted = NewSubscription(f"c{number}", "pro", external_id=f"c{number}", starts_at=JANUARY)
                change = create_subscription(rating_deps, tx, self.organization, wanted)
                self._subscriptions.append(change.agreement.subscription_id)
        deps = Deps(margin, SystemClock(), announce, price_catalog.book())
        with margin.worker_transaction() as tx:
            save_metric(deps, tx, Metric(self.organization, CODE, is_sum=True, field_name="tokens"))
            rule = PerUnit(Decimal("0.000001"))
            create_cost_model(deps, tx, self.organization, CostModel("", "cost", CODE, rule, "USD", EPOCH, EPOCH))
        client = UsageLogClient(grpc.insecure_channel("127.0.0.1:1"))
        self._effects: dict[str, Apply] = {
            "rating": usage_applier(rating_deps),
            "margin": usage_logs(deps, client)[0].apply,
        }
        self.number = 0

    def drain(self, service: str) -> float:
        """Events a second that a service applies."""
        batches = [list(self._messages()) for _ in range(TRANSACTIONS)]

        def work() -> None:
            for messages in batches:
                with self._databases[service].worker_transaction() as tx:
                    self._effects[service](tx, messages)

        return rate(TRANSACTIONS * MESSAGES * MESSAGE_EVENTS, work)

    def _messages(self) -> Iterator[Message]:
        for _ in range(MESSAGES):
            self.number += 1
            shard = self.number % SHARD_COUNT
            batch = UsageEventsAccepted(shard=shard, first_number=self.number, last_number=self.number)
            batch.entries.extend(self._entry(n) for n in range(MESSAGE_EVENTS))
            yield Message("", self.number, self.number, batch.SerializeToString(), log=f"usage.{shard}")

    def _entry(self, n: int) -> UsageEventEntry:
        entry = UsageEventEntry(
            organization_id=self.organization,
            kind=UsageEventEntry.KIND_ACCEPTED,
            event_key=os.urandom(16),
            transaction_id=new_id(),
            external_customer_id=f"c{n % CUSTOMERS}",
            subscription_id=self._subscriptions[n % CUSTOMERS],
            code=CODE,
            properties=b'{"tokens": 1, "model": "gpt-4o", "region": "eu-west-1"}',
        )
        entry.occurred_at.FromSeconds(int(JANUARY.timestamp()) + n)
        return entry

    def grow(self, entries: int) -> None:
        """Put entries into the ledger as if they had been costed long ago."""
        with self._databases["margin"].worker_transaction() as tx:
            tx.exec_driver_sql(_FILL, {"organization": self.organization, "count": entries, "since": EPOCH})


@contextmanager
def world(server: PostgresServer) -> Iterator[World]:
    """A world in databases of its own."""
    databases = []
    for service in ("rating", "margin"):
        url = server.clone_database(service)
        migrate(f"services.{service}", url)
        databases.append(
            Database(Settings(database_url=SecretStr(url), database_pool_size=2, statement_timeout_ms=600_000))
        )
    yield World(*databases)
    for database in databases:
        database.dispose()


def main() -> None:
    """Run both rows."""
    with PostgresServer.temporary() as server:
        server.provision(("rating", "margin"))
        with world(server) as few, world(server) as many:
            drain = partial(compare, unit="events/s", rounds=ROUNDS)
            rows = [drain("margin_cost", lambda: few.drain("margin"), lambda: few.drain("rating"), reach=0.8)]
            many.grow(LEDGER)
            rows.append(
                drain("margin_cost_grown", lambda: many.drain("margin"), lambda: few.drain("margin"), reach=0.9)
            )
    report(rows)


if __name__ == "__main__":
    main()
