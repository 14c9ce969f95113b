"""Group commit: one thread commits the batches of all callers, several to a transaction.

Callers prepare in their own threads while the database works. A commit copies the new rows in the hope that all are
new; where the unique index objects, the transaction is given up and made again with a look at what is stored. Nobody
hears of anything before the commit.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence

from sqlalchemy.engine import Connection

from services.chassis import failpoint
from services.chassis.db import Database, is_unavailable, last_statements, lost_a_race
from services.chassis.log import logger
from services.ingest.commands.catalog_cache import CatalogCache
from services.ingest.commands.drafts import drafts_of, touched_by
from services.ingest.commands.prepare import Prepared, Preparer
from services.ingest.commands.recent import RecentKeys
from services.ingest.commands.sieve import Sieve
from services.ingest.commands.submission import Queue, Submission
from services.ingest.domain.instant import from_us
from services.ingest.domain.outcome import Answer
from services.ingest.store import log as store
from services.ingest.store import quarantine, shards
from services.kernel.errors import UnavailableError

log = logger(__name__)

# Four full batches: larger transactions gain nothing and make everybody in them wait.
MAX_COMMIT_EVENTS = 4_000
MAX_COMMIT_BYTES = 16 * 1024 * 1024
# Another replica may store an identity between our look and our copy; each time fewer are left to collide.
MAX_ATTEMPTS = 8


class Committer:
    """The thread that commits; every batch of this process goes through it."""

    def __init__(self, db: Database, cache: CatalogCache, preparer: Preparer, wake: threading.Event) -> None:
        """Prepare the thread; nothing starts yet.

        Args:
            db: the log.
            cache: the catalog.
            preparer: resolves batches again when the catalog has changed.
            wake: set after every commit that announced something.
        """
        self._line = db.worker_line()
        self._cache = cache
        self._preparer = preparer
        self._wake = wake
        self._queue = Queue()
        self._recent = RecentKeys()
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)

    def start(self) -> None:
        """Begin to commit."""
        self._thread.start()

    def stop(self) -> None:
        """Commit what waits, and end."""
        self._queue.close()
        self._thread.join()
        self._line.close()

    def commit(self, submission: Submission) -> list[Answer]:
        """Commit a batch together with others that wait; its answers.

        Raises:
            ResourceExhaustedError: too much waits; nothing of the batch is stored.
            UnavailableError: the batch was not committed, or its outcome is unknown; sending it again is safe.
        """
        self._queue.put(submission)
        return submission.wait()

    def _run(self) -> None:
        while batch := self._queue.take(MAX_COMMIT_EVENTS, MAX_COMMIT_BYTES):
            self._commit_together(batch)

    def _commit_together(self, batch: Sequence[Submission]) -> None:
        """Commit batches in one transaction; where one of them is at fault, each in its own."""
        try:
            self._commit(batch)
        except Exception as error:
            if len(batch) > 1 and not is_unavailable(error):
                log.exception("group_commit_failed", batches=len(batch))
                for submission in batch:
                    self._commit_together([submission])
                return
            for submission in batch:
                submission.finish(error)
            if not is_unavailable(error):
                log.exception("commit_failed")

    def _commit(self, batch: Sequence[Submission]) -> None:
        looks = self._recent.knows(one.key for submission in batch for one in submission.prepared)
        for _ in range(MAX_ATTEMPTS):
            try:
                self._commit_once(batch, looks=looks)
            except Exception as error:
                if not store.is_repeat_of_stored(error) and not lost_a_race(error):
                    raise
                looks = True
            else:
                return
        raise UnavailableError("COMMIT_RACE_LOST", "other writers store the same events; send the same batch again")

    def _commit_once(self, batch: Sequence[Submission], *, looks: bool) -> None:
        """One transaction for all batches.

        Args:
            batch: what to commit.
            looks: whether to look for stored identities first instead of hoping that there are none.
        """
        with self._line.transaction() as tx:
            head = store.begin_commit(tx)
            self._cache.catch_up(tx, head.revision)
            for submission in batch:
                self._resolve_again(tx, submission, head.revision)
            sieve = Sieve(self._cache.retired)
            for submission in batch:
                sieve.add(submission)
            if looks:
                sieve.remove_stored(tx)
            announced = self._write(tx, head.commit_id, sieve.fresh, batch[-1].received_us)
        failpoint.hit("ingest.after_commit")
        if announced:
            self._wake.set()
        self._recent.add(sieve.fresh)
        sieve.answer()

    def _resolve_again(self, tx: Connection, submission: Submission, revision: int) -> None:
        if submission.preparation.revision != revision:
            submission.preparation = self._preparer.prepare_again(
                tx, submission.organization, submission.events, submission.received_us
            )

    def _write(self, tx: Connection, commit_id: int, fresh: dict[bytes, Prepared], received_us: int) -> bool:
        """Write and commit what is new; whether anything of it is announced."""
        if not fresh:
            return False
        # In the order of the keys: neighbours in the index, and two writers never wait for each other in a circle.
        events = [fresh[key] for key in sorted(fresh)]
        store.copy_in(tx, commit_id, [one.row for one in events])
        quarantine.add(tx, [quarantined(one) for one in events if one.reason], from_us(received_us))
        touched, drafts = touched_by(events), drafts_of(fresh.values())
        failpoint.hit("ingest.before_commit")
        with last_statements(tx):
            store.note_commits(tx, commit_id, touched)
            shards.append(tx, drafts)
        return bool(drafts)


def quarantined(one: Prepared) -> quarantine.Quarantined:
    """The quarantine's row of an event that cannot be billed."""
    if one.reason is None:
        raise ValueError("only an event with a reason is quarantined")
    event = one.event
    return quarantine.Quarantined(
        uuid.UUID(bytes=one.target.organization),
        uuid.UUID(bytes=one.key),
        *one.reason,
        event.code,
        event.external_customer_id,
        event.external_subscription_id,
    )
