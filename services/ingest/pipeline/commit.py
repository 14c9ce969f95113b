"""Group commit: two threads commit the batches of all callers, several to a transaction.

The server's loop reads and prepares while the database works. A commit copies the new rows in the hope that all of them
are new. If the unique index objects, the transaction is rolled back and repeated with a search for stored identities.
Callers are answered only after the commit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from sqlalchemy.engine import Connection

from services.chassis import failpoint
from services.chassis.db import Database, WorkerLine, lost_a_race
from services.chassis.group_commit import Commit, GroupCommit
from services.ingest.pipeline.answer import answer_all
from services.ingest.pipeline.catalog_cache import CatalogCache
from services.ingest.pipeline.dedupe import Deduplication, RecentKeys
from services.ingest.pipeline.effects import drafts_of, quarantined_of, touched_by
from services.ingest.pipeline.prepare import Preparer
from services.ingest.pipeline.queue import Queue, Submission
from services.ingest.store import log as store
from services.ingest.store import quarantine, shards
from services.kernel.errors import UnavailableError
from services.kernel.instant import from_us

# Four full batches: larger transactions gain nothing and keep everybody in them waiting.
MAX_COMMIT_EVENTS = 8_000
MAX_COMMIT_BYTES = 16 * 1024 * 1024
# Two transactions at once: one copies while the other waits for the disk. A third would only wait for a shard.
LINES = 2
# Another replica may store an identity between our search and our copy; each time fewer are left to collide.
MAX_ATTEMPTS = 8

# Called with each finished batch: either its `answers` or its `error` is set.
Finished = Callable[[Sequence[Submission]], None]


class _Commits:
    """The queue, as a line takes a commit out of it."""

    def __init__(self) -> None:
        self.queue = Queue()
        self.close = self.queue.close

    def take(self, done: Sequence[Submission]) -> list[Submission]:
        """The next batches for one commit."""
        return self.queue.take(MAX_COMMIT_EVENTS, MAX_COMMIT_BYTES, is_after_commit=bool(done))


class Committer:
    """The threads that commit; every batch of this process goes through them."""

    def __init__(self, db: Database, cache: CatalogCache, preparer: Preparer, wake: threading.Event) -> None:
        """Prepare the threads; nothing starts yet.

        Args:
            db: the log.
            cache: the catalog.
            preparer: resolves batches again when the catalog has changed.
            wake: set after every commit that announced something.
        """
        self._db = db
        self._cache = cache
        self._preparer = preparer
        self._wake = wake
        self._recent = RecentKeys()
        self._commits = _Commits()
        self._lines: GroupCommit[Submission] = GroupCommit("committer", self._commits, self._line, lines=LINES)

    def listen(self, finished: Finished) -> None:
        """Call `finished`, in a committer's thread, with the batches of every commit once it is done or given up."""
        self._lines.listen(finished)

    def start(self) -> None:
        """Begin to commit."""
        self._lines.start()

    def stop(self) -> None:
        """Commit what waits, and end."""
        self._lines.stop()

    def submit(self, submission: Submission) -> None:
        """Let a batch be committed together with others that wait; `listen` reports when that is done.

        Raises:
            ResourceExhaustedError: too many batches wait; nothing of this one is stored.
            UnavailableError: the process is stopping.
        """
        self._commits.queue.put(submission)

    @contextmanager
    def _line(self) -> Iterator[Commit[Submission]]:
        line = self._db.worker_line()
        yield partial(self._commit, line)
        line.close()

    def _commit(self, line: WorkerLine, batches: Sequence[Submission]) -> None:
        must_look = any(self._recent.has_any(submission.prepared.keys) for submission in batches)
        for _ in range(MAX_ATTEMPTS):
            try:
                self._commit_once(line, batches, must_look=must_look)
            except Exception as error:
                if not store.is_repeat_of_stored(error) and not lost_a_race(error):
                    raise
                must_look = True
            else:
                return
        raise UnavailableError("COMMIT_RACE_LOST", "other writers store the same events; send the same batch again")

    def _commit_once(self, line: WorkerLine, batches: Sequence[Submission], *, must_look: bool) -> None:
        """One transaction for all batches.

        Args:
            line: the thread's connection.
            batches: what to commit.
            must_look: whether to search for stored identities first, instead of hoping that there are none.
        """
        with line.transaction_with(store.BEGIN_COMMIT) as (tx, opened):
            head = store.CommitHead(*opened)
            self._cache.catch_up(tx, head.revision)
            for submission in batches:
                self._resolve_again(tx, submission, head.revision)
            commit = Deduplication(self._cache.retired)
            for submission in batches:
                commit.add(submission)
            if must_look:
                commit.remove_stored(tx)
            is_announced = _write(tx, head.commit_id, commit, batches[-1].received_us)
        failpoint.hit("ingest.after_commit")
        if is_announced:
            self._wake.set()
        self._recent.add(commit.rows)
        answer_all(commit)

    def _resolve_again(self, tx: Connection, submission: Submission, revision: int) -> None:
        if submission.preparation.revision != revision:
            submission.preparation = self._preparer.prepare_again(
                tx, submission.organization, submission.events, submission.received_us
            )


def _write(tx: Connection, commit_id: int, commit: Deduplication, received_us: int) -> bool:
    """Write the new events; returns whether any of them is announced."""
    batches = [batch for batch in commit.fresh if batch]
    if not batches:
        return False
    # In the order of the keys: neighbours in the index, and no deadlocks between writers.
    store.copy_in(tx, commit_id, [commit.rows[key] for key in sorted(commit.rows)])
    quarantine.add(tx, quarantined_of(batches), from_us(received_us))
    drafts = drafts_of(batches)
    shards.append(tx, drafts, touched_by(commit_id, batches))
    failpoint.hit("ingest.before_commit")
    return bool(drafts)
