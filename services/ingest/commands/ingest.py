"""Taking a batch in: prepare it in the caller's thread, let the committer store it, answer event by event."""

from __future__ import annotations

from collections.abc import Sequence
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
from services.ingest.domain.outcome import Answer
from services.ingest.domain.usage_event import UsageEvent
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


def present_us(deps: Deps, organization: bytes, *, fresh: bool = False) -> tuple[int, int]:
    """The machine's time, and the organization's: its test clock's where it has one, `fresh` from the database."""
    received_us = to_us(deps.clock.now())
    return received_us, deps.preparer.now_us(organization, received_us, fresh=fresh)


def ingest(deps: Deps, organization: bytes, received_us: int, events: Sequence[UsageEvent]) -> list[Answer]:
    """Store a batch and say what became of each event, once that is committed.

    Raises:
        ResourceExhaustedError: too much waits; nothing of the batch is stored.
        UnavailableError: the batch was not committed, or its outcome is unknown; sending it again is safe.
    """
    if not events:
        return []
    preparation = deps.preparer.prepare(organization, events, received_us)
    return deps.committer.commit(Submission(organization, events, received_us, preparation))
