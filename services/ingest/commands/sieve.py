"""Which events of a commit are new. The first of an identity stays; later ones are repeats of it or conflicts."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from services.ingest.commands.prepare import Prepared
from services.ingest.commands.submission import Submission
from services.ingest.domain import outcome
from services.ingest.domain.deduplicate import Content, Stored, is_repeat, is_rewritten
from services.ingest.domain.outcome import Answer, Outcome
from services.ingest.store import log as store


class Sieve:
    """Sorts the events of one commit, in memory and then against the log.

    Attributes:
        fresh: the first event of each identity, by key, in order; what is written.
    """

    def __init__(self, retired: list[tuple[bytes, bytes]]) -> None:
        """Begin a commit; `retired` are the key ranges that retention removed."""
        self.fresh: dict[bytes, Prepared] = {}
        self._retired = retired
        self._submissions: list[Submission] = []
        # Batches all of whose events are first ones, which is nearly all of them.
        self._all_fresh: set[Submission] = set()
        # What the log has of an identity, where that was asked; and what it says, where the bytes differ.
        self._stored: dict[bytes, Stored] = {}
        self._contents: dict[bytes, Content] = {}

    def add(self, submission: Submission) -> None:
        """Take a batch in; batches are sorted in the order they are added."""
        self._submissions.append(submission)
        prepared = submission.prepared
        if not self._retired:
            new = {one.key: one for one in prepared}
            if len(new) == len(prepared) and self.fresh.keys().isdisjoint(new):
                self.fresh.update(new)
                self._all_fresh.add(submission)
                return
        for one in prepared:
            if not self._is_retired(one.key):
                self.fresh.setdefault(one.key, one)

    def remove_stored(self, tx: Connection) -> None:
        """Ask the log which identities it has, and take them out."""
        self._stored = store.find_stored(tx, self.fresh.keys())
        for key in self._stored:
            del self.fresh[key]
        if self._stored:
            self._all_fresh = set()
        rewritten = {
            one.key
            for submission in self._submissions
            for one in submission.prepared
            if (stored := self._stored.get(one.key)) and one.content_hash != stored.content_hash
        }
        if rewritten:
            self._contents = store.find_contents(tx, rewritten)

    def answer(self) -> None:
        """Tell every caller what became of its events; call this after the commit only."""
        for submission in self._submissions:
            repeat = outcome.DUPLICATE_REJECTED if submission.preparation.rejects_duplicates else outcome.DUPLICATE
            submission.answers = (
                [_first_answer(one) for one in submission.prepared]
                if submission in self._all_fresh
                else [self._answer(one, repeat) for one in submission.prepared]
            )
            submission.finish()

    def _answer(self, one: Prepared, repeat: Answer) -> Answer:
        first = self.fresh.get(one.key)
        if first is one:
            return _first_answer(one)
        if first is not None:
            stored = Stored(first.content_hash, first.occurred_us, first.event.occurred_us is not None)
            content = Content(first.event.properties, first.event.amount)
            return repeat if _says_the_same(one, stored, content) else outcome.CONFLICT
        stored_before = self._stored.get(one.key)
        if stored_before is None:
            return outcome.EXPIRED
        return repeat if _says_the_same(one, stored_before, self._contents.get(one.key)) else outcome.CONFLICT

    def _is_retired(self, key: bytes) -> bool:
        return any(first <= key < end for first, end in self._retired)


def _first_answer(one: Prepared) -> Answer:
    return outcome.ACCEPTED if one.reason is None else Answer(Outcome.QUARANTINED, *one.reason)


def _says_the_same(one: Prepared, stored: Stored, content: Content | None) -> bool:
    if is_repeat(one.event, one.content_hash, stored):
        return True
    if one.content_hash == stored.content_hash or content is None:
        return False
    return is_rewritten(one.event, stored, content)
