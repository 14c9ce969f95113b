"""From events to what a commit writes: identity, hashes, route, row, announced entry. The service's hot loop."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy.engine import Connection

from services.chassis.db import Database
from services.ingest.commands.catalog_cache import CatalogCache, OrganizationCatalog
from services.ingest.commands.codec import EntryCodec
from services.ingest.commands.route import RouteKey, Routes, Target
from services.ingest.domain.billability import Reason
from services.ingest.domain.identity import content_hash, event_key
from services.ingest.domain.usage_event import UsageEvent
from services.ingest.store.rows import row_writer


class Prepared(NamedTuple):
    """One event, ready to be stored.

    Attributes:
        key: its identity.
        content_hash: of what it says.
        row: its row in the log, without the commit's number.
        entry: what is announced of it; empty if it is quarantined.
        target: where it goes.
        occurred_us: when it happened, the server's time filled in.
        reason: why it cannot be billed; None if it can.
        event: the event itself.
    """

    key: bytes
    content_hash: bytes
    row: bytes
    entry: bytes
    target: Target
    occurred_us: int
    reason: Reason | None
    event: UsageEvent


class Preparation(NamedTuple):
    """A prepared batch.

    Attributes:
        revision: of the catalog it was resolved against.
        rejects_duplicates: the organization's policy.
        events: in order.
        byte_size: of their rows and entries.
    """

    revision: int
    rejects_duplicates: bool
    events: list[Prepared]
    byte_size: int


class Preparer:
    """Prepares batches, with the catalog from memory where it can."""

    def __init__(self, db: Database, cache: CatalogCache, codec: EntryCodec) -> None:
        self._db = db
        self._cache = cache
        self._codec = codec

    def now_us(self, organization: bytes, received_us: int, *, fresh: bool = False) -> int:
        """The organization's present time: its test clock's, or the machine's.

        Args:
            organization: whose.
            received_us: the machine's time.
            fresh: whether to ask the database; what is in memory may lag behind a clock that was just advanced.
        """
        known = None if fresh else self._cache.find(organization)
        if known is None:
            known, _ = self._load(organization, [])
        clock = known.row.test_clock_us
        return received_us if clock is None else clock

    def prepare(self, organization: bytes, events: Sequence[UsageEvent], received_us: int) -> Preparation:
        """Prepare a batch outside any transaction."""
        # Read first: what is found afterwards is at least as new.
        revision = self._cache.revision
        keys = {event[1:4] for event in events}
        known = self._cache.find(organization)
        # Taken once: another thread may begin a new dictionary when the catalog changes.
        routes = known.routes if known else {}
        if known is None or not keys <= routes.keys():
            known, routes = self._load(organization, keys)
        return self._prepare(revision, known, routes, events, received_us)

    def prepare_again(
        self, tx: Connection, organization: bytes, events: Sequence[UsageEvent], received_us: int
    ) -> Preparation:
        """Prepare a batch inside the transaction that holds the catalog still."""
        known, routes = self._cache.load(tx, organization, {event[1:4] for event in events})
        return self._prepare(self._cache.revision, known, routes, events, received_us)

    def _load(self, organization: bytes, keys: Collection[RouteKey]) -> tuple[OrganizationCatalog, Routes]:
        with self._db.worker_transaction(quiet=True) as tx:
            return self._cache.load(tx, organization, keys)

    def _prepare(
        self,
        revision: int,
        known: OrganizationCatalog,
        routes: Routes,
        events: Sequence[UsageEvent],
        received_us: int,
    ) -> Preparation:
        organization = known.organization
        clock = known.row.test_clock_us
        now_us = received_us if clock is None else clock
        write_row, write_entry = row_writer(received_us), self._codec.writer(received_us)
        new = tuple.__new__
        prepared: list[Prepared] = []
        byte_size = 0
        for event in events:
            transaction_id, _, _, _, given_us, properties, amount = event
            text = transaction_id.encode()
            route = routes[event[1:4]]
            key = event_key(organization, text)
            digest = content_hash(text, route.salt, properties, amount)
            occurred_us = now_us if given_us is None else given_us
            target, reason = route.settle(event, occurred_us)
            row = write_row(target.place, key, digest, occurred_us, given_us is not None, text, properties, amount)
            entry = b"" if reason else write_entry(target.head, key, text, occurred_us, properties, amount)
            byte_size += len(row) + len(entry)
            # As Prepared(…), without the cost of its constructor, which is a Python function.
            prepared.append(new(Prepared, (key, digest, row, entry, target, occurred_us, reason, event)))
        return Preparation(revision, known.row.rejects_duplicates, prepared, byte_size)
