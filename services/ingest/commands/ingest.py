"""Taking a batch in: what it is prepared with before the committer stores it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.engine import Connection

from services.chassis.db import Database
from services.ingest.commands.codec import EntryCodec
from services.ingest.commands.committer import Committer
from services.ingest.commands.prepare import Preparer
from services.ingest.commands.submission import Submission
from services.ingest.domain.catalog_update import TestClockReached
from services.ingest.domain.instant import to_us
from services.ingest.domain.usage_events import UsageEvents
from services.kernel.clock import Clock


class Announce(Protocol):
    """Writes domain events into the outbox."""

    def __call__(self, tx: Connection, event: TestClockReached) -> None:
        """Announce an event together with the change that it tells of."""


@dataclass(frozen=True)
class Deps:
    """What the commands work with.

    Attributes:
        db: the log.
        clock: the machine's clock.
        preparer: resolves and encodes events.
        committer: commits them.
        codec: writes what is announced.
        announce: writes a domain event into the outbox, in the caller's transaction.
    """

    db: Database
    clock: Clock
    preparer: Preparer
    committer: Committer
    codec: EntryCodec
    announce: Announce


def present_us(deps: Deps, organization: bytes, *, fresh: bool = False, asks: bool = True) -> tuple[int, int]:
    """The machine's time, and the organization's: its test clock's where it has one. See Preparer.now_us."""
    received_us = to_us(deps.clock.now())
    return received_us, deps.preparer.now_us(organization, received_us, fresh=fresh, asks=asks)


def prepare(deps: Deps, organization: bytes, received_us: int, events: UsageEvents, *, asks: bool) -> Submission:
    """A batch, ready for the committer.

    Raises:
        CatalogUnknownError: the database would have to be asked, and may not be.
    """
    preparation = deps.preparer.prepare(organization, events, received_us, asks=asks)
    return Submission(organization, events, received_us, preparation)
