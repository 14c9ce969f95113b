"""From events to what a commit writes: identity, hashes, route, row, announced entry. The service's hot loop."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy.engine import Connection

from services.chassis.db import Database
from services.ingest.domain.billability import Reason
from services.ingest.domain.identity import content_hashes, event_keys
from services.ingest.domain.usage_events import Place, UsageEvents
from services.ingest.pipeline.catalog_cache import CatalogCache, OrganizationCatalog
from services.ingest.pipeline.resolve import Route, Routes, Target, settle_all
from services.ingest.store.copy_rows import write_rows
from services.ingest.store.encoding import write_entries
from services.kernel.ids import OrganizationId


@dataclass(slots=True)
class PreparedUsageEvents:
    """Events that are ready to be stored, as columns.

    Attributes:
        events: the events themselves.
        keys: their identities.
        content_hashes: the hashes of their contents.
        rows: their rows in the log, without the number of the commit.
        entries: their announced entries; empty for events that cannot be billed.
        targets: where they go.
        occurred_us: when they occurred, with the server's time filled in.
        reasons: by index, why they cannot be billed.
    """

    events: UsageEvents
    keys: list[bytes]
    content_hashes: list[bytes]
    rows: list[bytes]
    entries: list[bytes]
    targets: list[Target]
    occurred_us: list[int]
    reasons: dict[int, Reason]

    def __len__(self) -> int:
        return len(self.keys)

    def select(self, indices: Sequence[int]) -> PreparedUsageEvents:
        """Some of the events, in the order of their indices."""
        return PreparedUsageEvents(
            self.events.select(indices),
            [self.keys[index] for index in indices],
            [self.content_hashes[index] for index in indices],
            [self.rows[index] for index in indices],
            [self.entries[index] for index in indices],
            [self.targets[index] for index in indices],
            [self.occurred_us[index] for index in indices],
            {position: self.reasons[index] for position, index in enumerate(indices) if index in self.reasons},
        )


class Preparation(NamedTuple):
    """A prepared batch.

    Attributes:
        revision: the revision of the catalog it was resolved against.
        are_duplicates_rejected: whether the organization wants duplicates answered as errors.
        events: the prepared events, in order.
        byte_size: the size of their rows and entries.
        present_us: the organization's time, which was given to events without a time.
    """

    revision: int
    are_duplicates_rejected: bool
    events: PreparedUsageEvents
    byte_size: int
    present_us: int


class CatalogUnknownError(Exception):
    """The catalog in memory does not hold enough, and the database must not be asked."""


class Preparer:
    """Prepares batches, with the catalog from memory if possible."""

    def __init__(self, db: Database, cache: CatalogCache) -> None:
        self._db = db
        self._cache = cache

    def now_us(
        self, organization: OrganizationId, received_us: int, *, must_ask: bool = False, may_ask: bool = True
    ) -> int:
        """The organization's present time: its test clock's if it has one, otherwise the machine's.

        Args:
            organization: whose time it is.
            received_us: the machine's time.
            must_ask: whether the database must be asked, since memory may lag behind a clock that was just advanced.
            may_ask: whether the database may be asked.

        Raises:
            CatalogUnknownError: the database would have to be asked, which `may_ask` forbids.
        """
        known = None if must_ask else self._cache.find(organization)
        if known is None:
            known, _ = self._load(organization, [], may_ask=may_ask)
        clock_us = known.row.test_clock_us
        return received_us if clock_us is None else clock_us

    def prepare(
        self, organization: OrganizationId, events: UsageEvents, received_us: int, *, may_ask: bool = True
    ) -> Preparation:
        """Prepare a batch outside any transaction.

        Raises:
            CatalogUnknownError: the database would have to be asked, which `may_ask` forbids.
        """
        # Read first: whatever is read afterwards is at least as new.
        revision = self._cache.revision
        known = self._cache.find(organization)
        routes = _in_memory(known.routes, events.places) if known else None
        if known is None or routes is None:
            known, by_place = self._load(organization, set(events.places), may_ask=may_ask)
            routes = [by_place[place] for place in events.places]
        return _prepare(revision, known, routes, events, received_us)

    def prepare_again(
        self, tx: Connection, organization: OrganizationId, events: UsageEvents, received_us: int
    ) -> Preparation:
        """Prepare a batch inside the transaction that holds the catalog still."""
        known, by_place = self._cache.load(tx, organization, set(events.places))
        routes = [by_place[place] for place in events.places]
        return _prepare(self._cache.revision, known, routes, events, received_us)

    def _load(
        self, organization: OrganizationId, places: Collection[Place], *, may_ask: bool
    ) -> tuple[OrganizationCatalog, Routes]:
        if not may_ask:
            raise CatalogUnknownError
        with self._db.worker_transaction(quiet=True) as tx:
            return self._cache.load(tx, organization, places)


def _in_memory(routes: Routes, places: Sequence[Place]) -> list[Route] | None:
    """The routes of all places, or None if one of them is not in memory.

    The caller takes the dictionary once, since another thread may start a new one when the catalog changes.
    """
    try:
        return [routes[place] for place in places]
    except KeyError:
        return None


def _prepare(
    revision: int, known: OrganizationCatalog, routes: list[Route], events: UsageEvents, received_us: int
) -> Preparation:
    clock_us = known.row.test_clock_us
    now_us = received_us if clock_us is None else clock_us
    occurred_us = [now_us if given is None else given for given in events.occurred_us]
    texts = [transaction_id.encode() for transaction_id in events.transaction_ids]
    targets, reasons = settle_all(routes, events, occurred_us)
    keys = event_keys(known.organization, texts)
    hashes = content_hashes(texts, [route.salt for route in routes], events.properties, events.amounts)
    columns = [target.columns for target in targets]
    rows = write_rows(received_us, events, texts, columns, keys, hashes, occurred_us)
    heads = [target.head for target in targets]
    entries = write_entries(revision, received_us, heads, keys, texts, occurred_us, events.properties, events.amounts)
    for index in reasons:
        entries[index] = b""
    prepared = PreparedUsageEvents(events, keys, hashes, rows, entries, targets, occurred_us, reasons)
    byte_size = sum(map(len, rows)) + sum(map(len, entries))
    return Preparation(revision, known.row.are_duplicates_rejected, prepared, byte_size, now_us)
