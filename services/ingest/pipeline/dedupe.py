"""Which events of a commit are new. The first event of an identity stays; later ones are repeats of it or conflicts."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy.engine import Connection

from services.ingest.domain.repeat import Content, Original
from services.ingest.pipeline.prepare import PreparedUsageEvents
from services.ingest.pipeline.queue import Submission
from services.ingest.store import log as store

# A retry comes within seconds. Two generations of this many keys cover some seconds at the highest rate, in 30 MB.
GENERATION = 100_000


class RecentKeys:
    """The keys that were committed last: a hint that a batch repeats them, so that no copy is tried in vain.

    Remembers between one and two generations of keys. A wrong answer costs time, never correctness.
    """

    def __init__(self) -> None:
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def has_any(self, keys: Collection[bytes]) -> bool:
        """Whether one of these keys was committed recently."""
        return not (self._young.isdisjoint(keys) and self._old.isdisjoint(keys))

    def add(self, keys: Collection[bytes]) -> None:
        """Remember committed keys."""
        self._young.update(keys)
        if len(self._young) >= GENERATION:
            self._old, self._young = self._young, set()


class Deduplication:
    """The events of one commit, sorted into new and repeated ones: first in memory, then, if asked to, against the log.

    Attributes:
        submissions: the batches, in the order in which they were added.
        fresh: the new events of each batch: the first of their identities.
        rows: the rows of the new events, by key, which the commit writes.
        originals: the log's events of identities that are not new, by key.
        contents: the contents of those originals whose bytes differ from an event of this commit, by key.
    """

    def __init__(self, retired: Sequence[tuple[bytes, bytes]]) -> None:
        """Begin a commit; `retired` are the key ranges that retention removed."""
        self.submissions: list[Submission] = []
        self.fresh: list[PreparedUsageEvents] = []
        self.rows: dict[bytes, bytes] = {}
        self.originals: dict[bytes, Original] = {}
        self.contents: dict[bytes, Content] = {}
        self._retired = retired
        self._retired_end = max((end for _, end in retired), default=b"")

    def add(self, submission: Submission) -> None:
        """Add a batch; of two events with one identity, the one that was added first is new."""
        self.submissions.append(submission)
        batch = submission.prepared
        new = dict(zip(batch.keys, batch.rows, strict=True))
        # In nearly every batch all events are new, so everything here is one step for all of them.
        if len(new) < len(batch) or not self.rows.keys().isdisjoint(new) or min(new) < self._retired_end:
            batch = batch.select(self._firsts(batch.keys))
            new = dict(zip(batch.keys, batch.rows, strict=True))
        self.rows.update(new)
        self.fresh.append(batch)

    def _firsts(self, keys: Sequence[bytes]) -> list[int]:
        seen = set(self.rows)
        indices: list[int] = []
        for index, key in enumerate(keys):
            if key not in seen and not self._is_retired(key):
                seen.add(key)
                indices.append(index)
        return indices

    def _is_retired(self, key: bytes) -> bool:
        return any(first <= key < end for first, end in self._retired)

    def remove_stored(self, tx: Connection) -> None:
        """Look up which identities the log has, and take their events out."""
        self.originals = store.find_originals(tx, self.rows.keys())
        if not self.originals:
            return
        for key in self.originals:
            del self.rows[key]
        self.fresh = [
            batch.select([index for index, key in enumerate(batch.keys) if key not in self.originals])
            for batch in self.fresh
        ]
        rewritten = {
            key
            for submission in self.submissions
            for key, digest in zip(submission.prepared.keys, submission.prepared.content_hashes, strict=True)
            if key in self.originals and digest != self.originals[key].content_hash
        }
        if rewritten:
            self.contents = store.find_contents(tx, rewritten)
