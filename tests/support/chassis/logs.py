"""A publisher and a consumer of numbered logs, with the chassis's tables and one of their own."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy.engine import Connection

from services.chassis import schema
from services.chassis.bus import Bus
from services.chassis.db import Database
from services.chassis.followed import Apply, Log, Message, Source
from services.chassis.outbox import announce
from services.wire.streams import RATING
from tests.support.chassis.operations import Operations

ORGANIZATION = str(uuid.uuid4())
SUBJECT = "rating.thing.changed"


@dataclass
class Side:
    """A publisher or a consumer with a database of its own."""

    db: Database
    bus: Bus

    def seen(self) -> list[int]:
        """The numbers whose messages had their effect, in order of their numbers."""
        with self.db.worker_transaction() as tx:
            return list(tx.exec_driver_sql("SELECT n FROM seen ORDER BY n").scalars())

    def sizes(self) -> dict[int, int]:
        """How many bytes the message of a number had when it had its effect."""
        with self.db.worker_transaction() as tx:
            return {row.n: row.size for row in tx.exec_driver_sql("SELECT n, size FROM seen")}

    def post(self, numbers: Iterable[int], *, size: int = 0, subject: str = SUBJECT) -> None:
        """Announce numbers, each in a transaction of its own and filled up to a size."""
        for number in numbers:
            with self.db.transaction(ORGANIZATION) as tx:
                announce(tx, subject, str(number).encode().ljust(size))

    def dead_letters(self) -> list[tuple[str, int, str]]:
        """The dead letters: log, number, error."""
        with self.db.worker_transaction() as tx:
            rows = tx.exec_driver_sql("SELECT log, number, error FROM dead_letters ORDER BY log, number")
            return [tuple(row) for row in rows]


def make_tables(operations: Operations) -> None:
    """Create the tables that both sides have."""
    schema.publishing_tables(operations)
    schema.following_tables(operations)
    operations.execute("CREATE TABLE seen (n int, size int)")
    schema.grant(operations, "seen")


def remember(tx: Connection, messages: Sequence[Message]) -> None:
    """The effect of a message: its number is seen. A body that is no number fails for its own content."""
    for message in messages:
        tx.exec_driver_sql("INSERT INTO seen VALUES (%s, %s)", (int(message.body), len(message.body)))


def log_of(apply: Apply = remember, source: Source | None = None) -> Log:
    """The log of the publisher."""
    return Log("rating", RATING, "rating.>", apply, source)


@dataclass
class FakeSource:
    """A source that has every number, and tells what it was asked for.

    Attributes:
        published: the last number that it says to have sent to the bus.
        asked: what was fetched from it, each the first and the last number.
    """

    published: int = 0
    asked: list[tuple[int, int]] = field(default_factory=list)

    @property
    def as_source(self) -> Source:
        """As a log knows it."""
        return Source(self._replay, lambda: self.published, self._beyond)

    def _replay(self, first: int, last: int) -> Iterable[Message]:
        self.asked.append((first, last))
        return [Message(SUBJECT, number, number, str(number).encode()) for number in range(first, last + 1)]

    def _beyond(self, message: Message, number: int) -> Iterable[Message]:
        """Of the numbers in a body, one a word, those beyond a number."""
        words = message.body.split()[number - message.first + 1 :]
        return [replace(message, first=number + 1, body=b" ".join(words))]
