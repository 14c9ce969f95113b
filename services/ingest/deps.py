"""What the log's commands are given: built once in `main.py` and passed as an argument."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.engine import Connection

from services.chassis.bus import Bus
from services.chassis.db import Database
from services.ingest.domain.catalog_update import TestClockReached
from services.ingest.pipeline.commit import Committer
from services.ingest.pipeline.prepare import Preparer
from services.kernel.clock import Clock
from services.kernel.ids import OrganizationId
from services.kernel.instant import to_us


class Announce(Protocol):
    """Writes domain events into the outbox."""

    def __call__(self, tx: Connection, event: TestClockReached) -> None:
        """Announce an event in the transaction of the change that it reports."""


@dataclass(frozen=True)
class Deps:
    """Dependencies of a command.

    Attributes:
        db: the log.
        clock: the machine's clock.
        preparer: resolves and encodes events.
        committer: commits them.
        announce: writes a domain event into the outbox, in the caller's transaction.
        bus: where the shards are published.
        wake: wakes the job that publishes the shards.
        owner_url: the URL of the database for the owner of its tables, who alone may change the partitions.
    """

    db: Database
    clock: Clock
    preparer: Preparer
    committer: Committer
    announce: Announce
    bus: Bus
    wake: threading.Event
    owner_url: str

    def now_us(self, organization: OrganizationId) -> int:
        """The organization's present time in microseconds since 1970, from the database."""
        return self.preparer.now_us(organization, to_us(self.clock.now()), must_ask=True)
