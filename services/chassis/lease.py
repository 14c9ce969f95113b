"""Leases: at any time one of a service's replicas reads each log, and replicas share the logs evenly.

A lease only decides who does the work, never whether the work is right. A holder that was declared dead too early can
do no harm, because the inbox position is locked and checked with every effect (chassis.follower).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from services.chassis.db import DATABASE_ERRORS, Database
from services.chassis.job import Job
from services.chassis.log import logger
from services.kernel.ids import new_id

log = logger(__name__)

# A dead replica's logs are taken over after this; recovery is promised within 10 s.
LEASE_SECONDS = 5.0
# Three attempts fit into a lease, so that one slow statement does not lose it.
RENEW_SECONDS = 1.5


class Leases:
    """Keeps this process's fair share of the named leases, and reports when one is won or lost."""

    def __init__(
        self,
        db: Database,
        names: Sequence[str],
        *,
        on_won: Callable[[str], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._db = db
        self._names = list(names)
        self._on_won = on_won
        self._on_lost = on_lost
        self._holder = new_id()
        self._held: set[str] = set()
        self._job = Job("leases", self._turn, pause_seconds=RENEW_SECONDS)

    def start(self) -> None:
        """Begin to take part."""
        self._job.start()

    def stop(self) -> None:
        """Give every lease back, so that another replica takes over at once."""
        self._job.stop()
        self._settle(set())
        try:
            with self._db.worker_transaction() as tx:
                tx.exec_driver_sql("UPDATE consumer_leases SET expires_at = now() WHERE holder = %s", (self._holder,))
                tx.exec_driver_sql("DELETE FROM consumer_members WHERE holder = %s", (self._holder,))
        except DATABASE_ERRORS as error:
            log.warning("leases_expire_by_themselves", error=repr(error))

    def _turn(self, _: threading.Event) -> bool:
        # Until the database answers, nobody can apply anything either: the position is stored there.
        self._settle(self._renew())
        return True

    def _settle(self, held: set[str]) -> None:
        """Report what was lost and won; what could not be reported stays as it was until the next renewal."""
        for name in sorted(self._held - held):
            if self._told(self._on_lost, name):
                self._held.discard(name)
        for name in sorted(held - self._held):
            if self._told(self._on_won, name):
                self._held.add(name)

    def _told(self, tell: Callable[[str], None], name: str) -> bool:
        try:
            tell(name)
        except Exception:
            # Only this name is affected: the other leases are reported and renewed all the same.
            log.exception("lease_not_told", name=name)
            return False
        return True

    def _renew(self) -> set[str]:
        """Show that we live, return leases beyond our share, renew the rest, and take free leases up to our share."""
        with self._db.worker_transaction() as tx:
            tx.exec_driver_sql(
                "INSERT INTO consumer_members VALUES (%s, now()) "
                "ON CONFLICT (holder) DO UPDATE SET seen_at = excluded.seen_at",
                (self._holder,),
            )
            tx.exec_driver_sql(
                "DELETE FROM consumer_members WHERE seen_at < now() - make_interval(secs => %s)",
                (LEASE_SECONDS,),
            )
            members = tx.exec_driver_sql("SELECT count(*) FROM consumer_members").scalar_one()
            share = -(-len(self._names) // members)
            tx.exec_driver_sql(
                "INSERT INTO consumer_leases (name) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING",
                (self._names,),
            )
            return set(
                tx.exec_driver_sql(
                    """
                    WITH mine AS (
                        SELECT name FROM consumer_leases
                        WHERE name = ANY(%(names)s) AND (holder = %(holder)s OR coalesce(expires_at, now()) <= now())
                        ORDER BY (holder IS NOT DISTINCT FROM %(holder)s) DESC, name
                        LIMIT %(share)s FOR UPDATE SKIP LOCKED),
                    given_back AS (
                        UPDATE consumer_leases SET expires_at = now()
                        WHERE holder = %(holder)s AND name <> ALL(SELECT name FROM mine))
                    UPDATE consumer_leases SET holder = %(holder)s,
                        expires_at = now() + make_interval(secs => %(seconds)s)
                    WHERE name IN (SELECT name FROM mine) RETURNING name
                    """,
                    {"names": self._names, "holder": self._holder, "share": share, "seconds": LEASE_SECONDS},
                ).scalars()
            )
