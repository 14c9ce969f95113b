"""From events to what a commit writes: identity, hashes, route, row, announced entry. The service's hot loop."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy.engine import Connection

from services.chassis.db import Database
from services.ingest.commands.catalog_cache import CatalogCache, OrganizationCatalog
from services.ingest.commands.codec import EntryCodec
from services.ingest.commands.route import Route, Routes, Target
from services.ingest.domain.billability import Reason
from services.ingest.domain.identity import content_hashes, event_keys
from services.ingest.domain.usage_events import Place, UsageEvents
from services.ingest.store.rows import write_rows


@dataclass(slots=True)
class PreparedEvents:
    """Events that are ready to be stored, as columns.

    Attributes:
        events: the events themselves.
        keys: their identities.
        content_hashes: of what they say.
        rows: their rows in the log, without the commit's number.
        entries: what is announced of them; empty for those that cannot be billed.
        targets: where they go.
        occurred_us: when they happened, the server's time filled in.
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

    def select(self, indices: Sequence[int]) -> PreparedEvents:
        """Some of the events, in the order of their indices."""
        return PreparedEvents(
            self.events.select(indices),
            [self.keys[index] for index in indices],
            [self.content_hashes[index] for index in indices],
            [self.rows[index] for index in indices],
            [self.entries[index] for index in indices],
            [self.targets[index] for index in indices],
            [self.occurred_us[index] for index in indices],
            {place: self.reasons[index] for place, index in enumerate(indices) if index in self.reasons},
        )


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
    events: PreparedEvents
    byte_size: int


class CatalogUnknownError(Exception):
    """The catalog in memory does not know enough, and the database was not to be asked."""


class Preparer:
    """Prepares batches, with the catalog from memory where it can."""

    def __init__(self, db: Database, cache: CatalogCache, codec: EntryCodec) -> None:
        self._db = db
        self._cache = cache
        self._codec = codec

    def now_us(self, organization: bytes, received_us: int, *, fresh: bool = False, asks: bool = True) -> int:
        """The organization's present time: its test clock's, or the machine's.

        Args:
            organization: whose.
            received_us: the machine's time.
            fresh: what is in memory may lag behind a clock that was just advanced, and will not do.
            asks: whether the database may be asked.

        Raises:
            CatalogUnknownError: the database would have to be asked, and may not be.
        """
        known = None if fresh else self._cache.find(organization)
        if known is None:
            known, _ = self._load(organization, [], asks=asks)
        clock = known.row.test_clock_us
        return received_us if clock is None else clock

    def prepare(self, organization: bytes, events: UsageEvents, received_us: int, *, asks: bool = True) -> Preparation:
        """Prepare a batch outside any transaction.

        Raises:
            CatalogUnknownError: the database would have to be asked, and may not be.
        """
        # Read first: what is found afterwards is at least as new.
        revision = self._cache.revision
        known = self._cache.find(organization)
        found = _in_memory(known.routes, events.places) if known else None
        if known is None or found is None:
            known, routes = self._load(organization, set(events.places), asks=asks)
            found = [routes[place] for place in events.places]
        return self._prepare(revision, known, found, events, received_us)

    def prepare_again(self, tx: Connection, organization: bytes, events: UsageEvents, received_us: int) -> Preparation:
        """Prepare a batch inside the transaction that holds the catalog still."""
        known, routes = self._cache.load(tx, organization, set(events.places))
        found = [routes[place] for place in events.places]
        return self._prepare(self._cache.revision, known, found, events, received_us)

    def _load(self, organization: bytes, keys: Collection[Place], *, asks: bool) -> tuple[OrganizationCatalog, Routes]:
        if not asks:
            raise CatalogUnknownError
        with self._db.worker_transaction(quiet=True) as tx:
            return self._cache.load(tx, organization, keys)

    def _prepare(
        self, revision: int, known: OrganizationCatalog, found: list[Route], events: UsageEvents, received_us: int
    ) -> Preparation:
        clock = known.row.test_clock_us
        now_us = received_us if clock is None else clock
        occurred_us = [now_us if given is None else given for given in events.occurred_us]
        texts = [one.encode() for one in events.transaction_ids]
        targets, reasons = _settle(found, events, occurred_us)
        keys = event_keys(known.organization, texts)
        hashes = content_hashes(texts, [route.salt for route in found], events.properties, events.amounts)
        places = [target.place for target in targets]
        rows = write_rows(received_us, events, texts, places, keys, hashes, occurred_us)
        entries = self._codec.entries(
            received_us,
            [target.head for target in targets],
            keys,
            texts,
            occurred_us,
            events.properties,
            events.amounts,
        )
        for index in reasons:
            entries[index] = b""
        prepared = PreparedEvents(events, keys, hashes, rows, entries, targets, occurred_us, reasons)
        byte_size = sum(map(len, rows)) + sum(map(len, entries))
        return Preparation(revision, known.row.rejects_duplicates, prepared, byte_size)


def _in_memory(routes: Routes, places: Sequence[Place]) -> list[Route] | None:
    """The routes of all places, or None if one of them has to be asked for."""
    # The dictionary is taken once: another thread may begin a new one when the catalog changes.
    try:
        return [routes[place] for place in places]
    except KeyError:
        return None


def _settle(
    routes: Sequence[Route], events: UsageEvents, occurred_us: Sequence[int]
) -> tuple[list[Target], dict[int, Reason]]:
    """Where the events go and, by index, why some of them cannot be billed."""
    # None where the common case does not decide.
    targets = [
        route.only if route.starts_us <= at_us < route.ends_us and route.suits(raw) else None
        for route, at_us, raw in zip(routes, occurred_us, events.properties, strict=True)
    ]
    settled: dict[int, Target] = {}
    reasons: dict[int, Reason] = {}
    if None in targets:
        for index in [index for index, target in enumerate(targets) if target is None]:
            settled[index], reason = routes[index].settle(events.one(index), occurred_us[index])
            if reason is not None:
                reasons[index] = reason
    return [settled[index] if target is None else target for index, target in enumerate(targets)], reasons
