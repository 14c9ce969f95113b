"""Learns from the database whose answers were altered, by any replica, with one small query each time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from sqlalchemy.engine import Connection

from services.chassis.db import DATABASE_ERRORS, Database
from services.entitlements.store import access_change as store
from services.entitlements.store.access_change import AccessChange

# After a longer pause a reader starts again, instead of reading everything that has happened since.
MAX_PAUSE_SECONDS = 30.0


class MissedChangesError(Exception):
    """Changes may have been missed, so nothing that is known can be used."""


class ChangeReader:
    """Reads what has changed since its last query, on a connection of its own; for one thread at a time."""

    def __init__(self, db: Database, ticks: Callable[[], float]) -> None:
        self._db = db
        self._ticks = ticks
        self._opened = ExitStack()
        self._connection: Connection | None = None
        self._seen = ""
        self._looked_at = 0.0

    def begin(self) -> None:
        """Begin to watch: the next `read` returns the changes since now."""
        self.close()
        self._connection = self._opened.enter_context(self._db.worker_session())
        self._seen = store.snapshot(self._connection)
        self._looked_at = self._ticks()

    def read(self) -> Sequence[AccessChange]:
        """The changes since the last query.

        Raises:
            MissedChangesError: the last query is too long ago, or the connection is lost, after which another server
                may answer.
        """
        now = self._ticks()
        if self._connection is None or now - self._looked_at > MAX_PAUSE_SECONDS:
            raise MissedChangesError
        try:
            self._seen, changes = store.since(self._connection, self._seen)
        except DATABASE_ERRORS as error:
            self.close()
            raise MissedChangesError from error
        self._looked_at = now
        return changes

    def close(self) -> None:
        """Stop watching."""
        self._connection = None
        self._opened.close()
