"""Which events of a commit are new. The first of an identity stays; later ones are repeats of it or conflicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.engine import Connection

from services.ingest.commands.prepare import PreparedEvents
from services.ingest.commands.submission import Submission
from services.ingest.domain import outcome
from services.ingest.domain.deduplicate import Content, Stored, is_repeat, is_rewritten
from services.ingest.domain.outcome import Answer, Outcome
from services.ingest.store import log as store


class Sieve:
    """Sorts the events of one commit, in memory and then against the log.

    Attributes:
        rows: the rows of first events, by key; what is written.
        fresh: each batch, or what is left of it: the first events of their identities.
    """

    def __init__(self, retired: Sequence[tuple[bytes, bytes]]) -> None:
        """Begin a commit; `retired` are the key ranges that retention removed."""
        self.rows: dict[bytes, bytes] = {}
        self.fresh: list[PreparedEvents] = []
        self._retired = retired
        self._retired_end = max((end for _, end in retired), default=b"")
        self._submissions: list[Submission] = []
        # What the log has of an identity, where that was asked; and what it says, where the bytes differ.
        self._stored: dict[bytes, Stored] = {}
        self._contents: dict[bytes, Content] = {}

    def add(self, submission: Submission) -> None:
        """Take a batch in; batches are sorted in the order they are added."""
        self._submissions.append(submission)
        batch = submission.prepared
        new = dict(zip(batch.keys, batch.rows, strict=True))
        # Nearly every batch is all first ones; everything here is one step for all of its events.
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

    def remove_stored(self, tx: Connection) -> None:
        """Ask the log which identities it has, and take them out."""
        self._stored = stored = store.find_stored(tx, self.rows.keys())
        if not stored:
            return
        for key in stored:
            del self.rows[key]
        self.fresh = [
            batch.select([index for index, key in enumerate(batch.keys) if key not in stored]) for batch in self.fresh
        ]
        rewritten = {
            key
            for submission in self._submissions
            for key, digest in zip(submission.prepared.keys, submission.prepared.content_hashes, strict=True)
            if key in stored and digest != stored[key].content_hash
        }
        if rewritten:
            self._contents = store.find_contents(tx, rewritten)

    def answer(self) -> None:
        """Say what became of the events of every batch; call this after the commit only."""
        firsts: dict[bytes, tuple[PreparedEvents, int]] | None = None
        for submission, fresh in zip(self._submissions, self.fresh, strict=True):
            batch = submission.prepared
            if len(fresh) == len(batch):
                submission.answers = _first_answers(batch)
                continue
            if firsts is None:
                firsts = {key: (one, index) for one in self.fresh for index, key in enumerate(one.keys)}
            submission.answers = self._answers(submission, fresh, firsts)

    def _answers(
        self, submission: Submission, fresh: PreparedEvents, firsts: Mapping[bytes, tuple[PreparedEvents, int]]
    ) -> list[Answer]:
        """The answers to a batch of which `fresh` is left."""
        repeat = outcome.DUPLICATE_REJECTED if submission.preparation.rejects_duplicates else outcome.DUPLICATE
        batch = submission.prepared
        # The batch's own first events, by key; each is answered so once, at its first place.
        own = dict(zip(fresh.keys, _first_answers(fresh), strict=True))
        return [
            own.pop(key) if key in own else self._repeated(batch, index, firsts, repeat)
            for index, key in enumerate(batch.keys)
        ]

    def _repeated(
        self,
        batch: PreparedEvents,
        index: int,
        firsts: Mapping[bytes, tuple[PreparedEvents, int]],
        repeat: Answer,
    ) -> Answer:
        key = batch.keys[index]
        if key in firsts:
            stored, content = _as_stored(*firsts[key])
        elif key in self._stored:
            stored, content = self._stored[key], self._contents.get(key)
        else:
            return outcome.EXPIRED
        return repeat if _says_the_same(batch, index, stored, content) else outcome.CONFLICT

    def _is_retired(self, key: bytes) -> bool:
        return any(first <= key < end for first, end in self._retired)


def _first_answers(batch: PreparedEvents) -> list[Answer]:
    answers = [outcome.ACCEPTED] * len(batch)
    for index, reason in batch.reasons.items():
        answers[index] = Answer(Outcome.QUARANTINED, *reason)
    return answers


def _as_stored(batch: PreparedEvents, index: int) -> tuple[Stored, Content | None]:
    """An event of this commit, as the log would know it."""
    events = batch.events
    stored = Stored(batch.content_hashes[index], batch.occurred_us[index], events.occurred_us[index] is not None)
    return stored, Content(events.properties[index], events.amounts[index])


def _says_the_same(batch: PreparedEvents, index: int, stored: Stored, content: Content | None) -> bool:
    event, digest = batch.events.one(index), batch.content_hashes[index]
    if is_repeat(event, digest, stored):
        return True
    if digest == stored.content_hash or content is None:
        return False
    return is_rewritten(event, stored, content)
