"""Learns from the database whose answers were altered, by whichever replica; one small query a look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from sqlalchemy.engine import Connection

from services.chassis.db import DATABASE_ERRORS, Database
from services.entitlements.store import access_change as store
from services.entitlements.store.access_change import AccessChange

# Who has not looked for so long begins anew, instead of reading all that happened since.
MAX_PAUSE_SECONDS = 30.0


class MissedChangesError(Exception):
    """Whatever is known is worth nothing: changes may have been missed."""


class ChangeReader:
    """Reads what changed since it last looked, on a connection of its own; for one thread at a time."""

    def __init__(self, db: Database, ticks: Callable[[], float]) -> None:
        self._db = db
        self._ticks = ticks
        self._opened = ExitStack()
        self._connection: Connection | None = None
        self._seen = ""
        self._looked_at = 0.0

    def begin(self) -> None:
        """Begin to look, from now on."""
        self.close()
        self._connection = self._opened.enter_context(self._db.worker_session())
        self._seen = store.snapshot(self._connection)
        self._looked_at = self._ticks()

    def read(self) -> Sequence[AccessChange]:
        """What changed since the look before.

        Raises:
            MissedChangesError: nobody has looked for too long, or the connection to what was looked at is lost:
                another server may answer now.
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
        """Look no more."""
        self._connection = None
        self._opened.close()
