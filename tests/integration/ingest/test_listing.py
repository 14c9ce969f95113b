"""Lists of events read what they return, however long the log is, and return what a look through all of it would."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import Connection

from services.chassis.db import Database
from services.chassis.page import Page, read_page
from services.ingest.domain import identity
from services.ingest.queries.events import list_usage_events
from services.ingest.store import commits, log
from services.ingest.store.stored_usage_events import Filter
from services.kernel.ids import OrganizationId, new_id
from services.kernel.instant import to_us
from services.wire.shards import SHARD_COUNT
from tests.support.servers import Templates, settings_of

OTHER = OrganizationId(new_id())
START = datetime(2026, 1, 1, tzinfo=UTC)
A_COMMIT = 100
COMMITS = 150
# Two neighbours, far from the beginning.
RARE_COMMITS = (100, 101)
# The log's smallest readable part is 32 pages, some 1,500 of these events, and a commit may touch two of them.
A_FEW_PARTS = 4 * 1_500
_ROWS_READ = """
SELECT coalesce(sum(pg_stat_get_xact_tuples_returned(oid) + pg_stat_get_xact_tuples_fetched(oid)), 0)
FROM pg_class WHERE relnamespace = 'usage_partitions'::regnamespace AND relkind = 'r'
"""
_STORE = """
INSERT INTO usage_events (commit_id, organization_id, shard, subscription_id, external_customer_id,
    external_subscription_id, code, event_key, content_hash, occurred_at, occurred_at_given, received_at,
    transaction_id, properties)
SELECT %s, %s, e.shard, NULL, e.customer, e.named, e.code, e.key, gen_random_uuid(), e.at, true, now(), e.key::text, ''
FROM unnest(%s::smallint[], %s::text[], %s::text[], %s::text[], %s::uuid[], %s::timestamptz[])
    AS e(shard, customer, named, code, key, at)
"""
_TOUCH = """
INSERT INTO usage_event_commits SELECT organization_id, shard, commit_id, min(occurred_at), max(occurred_at)
FROM usage_events WHERE commit_id = %s GROUP BY 1, 2, 3
"""


@dataclass(frozen=True)
class Sent:
    """An event as it was stored."""

    commit_id: int
    key: uuid.UUID
    customer: str
    named: str
    code: str
    at: datetime


def store(tx: Connection, organization: OrganizationId, places: list[tuple[str, str, str]], at: datetime) -> list[Sent]:
    """One commit of events, each of a customer, a named subscription and a metric."""
    commit_id = log.begin_commit(tx).commit_id
    sent = [
        Sent(commit_id, uuid.UUID(new_id()), *place, at + timedelta(seconds=number))
        for number, place in enumerate(places)
    ]
    shards = [identity.shard_of(organization, event.customer, SHARD_COUNT) for event in sent]
    columns = [[getattr(event, name) for event in sent] for name in ("customer", "named", "code", "key", "at")]
    tx.exec_driver_sql(_STORE, (commit_id, organization, shards, *columns))
    tx.exec_driver_sql(_TOUCH, (commit_id,))
    return sent


class Counting:
    """A database that counts the rows of the log which a list reads."""

    def __init__(self, db: Database) -> None:
        self.rows_read = 0
        self._db = db

    @contextmanager
    def transaction(self, organization: OrganizationId) -> Iterator[Connection]:
        with self._db.transaction(organization) as tx:
            # The counters go on from one transaction of a connection to the next.
            before = int(tx.exec_driver_sql(_ROWS_READ).scalar_one())
            yield tx
            self.rows_read = int(tx.exec_driver_sql(_ROWS_READ).scalar_one()) - before


@pytest.fixture(scope="module")
def organization() -> OrganizationId:
    return OrganizationId(new_id())


@pytest.fixture(scope="module")
def filled(templates: Templates, organization: OrganizationId) -> Iterator[tuple[Database, list[Sent]]]:
    """A log of common customers and rare ones; what belongs to others lies between; the newest is not noted yet."""
    url = templates.clone("ingest")
    db, sent = Database(settings_of(url, "nats://unused")), []
    for number in range(COMMITS):
        places = [(f"customer-{place % 9}", f"sub-{place % 2}", f"metric-{place % 3}") for place in range(A_COMMIT)]
        if number in RARE_COMMITS:
            places[7:9] = [("rare", "", "metric-0"), ("", "lost", "rare")]
        with db.worker_transaction() as tx:
            store(tx, OTHER, places[:7], START)
            sent += store(tx, organization, places, START + timedelta(minutes=number))
        if number == COMMITS - 5:
            note_all(db)
    with psycopg.connect(url, autocommit=True) as owner:
        # As the server does by itself after a while: what is new in the log is found by its parts.
        owner.execute("VACUUM (ANALYZE) usage_events")
    yield db, sorted(sent, key=lambda event: (event.commit_id, event.key))
    db.dispose()
    templates.drop(url)


def note_all(db: Database) -> None:
    """Note what is there: one turn sees it, and the following ones note it."""
    for _ in range(2 * COMMITS // commits.NOTED_COMMITS + 3):
        with db.worker_transaction() as tx:
            commits.note_next(tx)


def listed(db: Any, organization: OrganizationId, wanted: Filter, **page: Any) -> list[uuid.UUID]:
    answer = list_usage_events(db, organization, wanted, Page(**page))
    return [uuid.UUID(bytes=event.key) for event in answer.items]


WANTED: dict[str, tuple[Filter, Callable[[Sent], bool]]] = {
    "all": (Filter(), lambda _: True),
    "customer": (Filter(customer="customer-3"), lambda event: event.customer == "customer-3"),
    "rare": (Filter(customer="rare"), lambda event: event.customer == "rare"),
    "nobody": (Filter(customer="nobody"), lambda _: False),
    "code": (Filter(code="metric-1"), lambda event: event.code == "metric-1"),
    "rare code": (Filter(code="rare"), lambda event: event.code == "rare"),
    "customer and code": (
        Filter(customer="customer-4", code="metric-2"),
        lambda event: (event.customer, event.code) == ("customer-4", "metric-2"),
    ),
    "span": (
        Filter(from_us=to_us(START + timedelta(minutes=20)), until_us=to_us(START + timedelta(minutes=21))),
        lambda event: START + timedelta(minutes=20) <= event.at < START + timedelta(minutes=21),
    ),
    "customer and span": (
        Filter(customer="customer-5", from_us=to_us(START + timedelta(minutes=55))),
        lambda event: event.customer == "customer-5" and event.at >= START + timedelta(minutes=55),
    ),
}


@pytest.mark.parametrize("name", WANTED)
def test_pages_are_what_a_look_through_everything_finds(
    filled: tuple[Database, list[Sent]], organization: OrganizationId, name: str
) -> None:
    """By numbers or by tokens, noted or not: the pages of a list are the events that are wanted, in their order."""
    db, sent = filled
    wanted, is_wanted = WANTED[name]
    expected = [event.key for event in sent if is_wanted(event)]
    for skip in (0, 1, 99, 350, len(expected) - 1, len(expected), 5_000):
        if skip >= 0:
            assert listed(db, organization, wanted, size=70, skip=skip) == expected[skip : skip + 70], skip
    seen, token = [], ""
    while True:
        answer = list_usage_events(db, organization, wanted, read_page(170, token))
        seen += [uuid.UUID(bytes=event.key) for event in answer.items]
        token = answer.next_token
        if not token:
            break
    assert seen == expected


def test_a_list_reads_what_it_returns_and_not_the_log(
    filled: tuple[Database, list[Sent]], organization: OrganizationId
) -> None:
    """What is nowhere costs no look, what is rare is looked for where it is, and a deep page is not far."""
    db, sent = filled
    note_all(db)

    def rows(of: OrganizationId, wanted: Filter, **page: Any) -> int:
        counting = Counting(db)
        list_usage_events(counting, of, wanted, Page(**page))  # type: ignore[arg-type]
        return counting.rows_read

    assert len(sent) > 2 * A_FEW_PARTS
    assert rows(OTHER, Filter(customer="nobody")) == 0
    assert rows(OTHER, Filter(customer="rare")) == 0
    assert rows(organization, Filter(code="nothing")) == 0
    assert rows(organization, Filter(external_subscription_id="nobody"), size=5) <= A_FEW_PARTS
    assert rows(organization, Filter(customer="rare")) <= A_FEW_PARTS
    assert rows(organization, Filter(code="rare")) <= A_FEW_PARTS
    for skip in (0, 4_000):
        assert rows(organization, Filter(code="metric-1"), size=50, skip=skip) <= A_FEW_PARTS, skip


def test_events_of_an_unknown_subscription_are_found_in_quarantine(
    database_for: Callable[[str], Database], organization: OrganizationId
) -> None:
    """An event that names a subscription which nobody has is filed under the customer whom it names."""
    db = database_for("ingest")
    with db.worker_transaction() as tx:
        store(tx, organization, [("customer-1", "sub-1", "metric")] * 5, START)
        [event] = store(tx, organization, [("acme", "unknown", "metric")], START)
        tx.exec_driver_sql(
            "INSERT INTO quarantined_usage_events (organization_id, event_key, reason, field, description, code, "
            "external_customer_id, external_subscription_id, quarantined_at) "
            "VALUES (%s, %s, 'SUBSCRIPTION_UNKNOWN', '', '', 'metric', 'acme', 'unknown', now())",
            (organization, event.key),
        )
    note_all(db)
    assert listed(db, organization, Filter(external_subscription_id="unknown")) == [event.key]


def test_what_commits_later_than_its_number_is_noted_too(
    database_for: Callable[[str], Database], organization: OrganizationId
) -> None:
    """Nothing is noted past a commit that is under way, whatever its number."""
    db = database_for("ingest")
    find = partial(listed, db, organization, Filter(customer="slow"))
    with db.worker_transaction() as slow:
        sent = store(slow, organization, [("slow", "", "metric")], START)
        with db.worker_transaction() as tx:
            store(tx, organization, [("fast", "", "metric")], START)
        note_all(db)
        assert find() == []
    assert find() == [event.key for event in sent], "what is not noted yet is looked for"
    note_all(db)
    with db.transaction(organization) as tx:
        assert commits.noted_until(tx) == sent[0].commit_id + 1
    assert find() == [event.key for event in sent]
