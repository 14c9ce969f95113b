"""Answers questions from what this replica knows, and asks the database once for what it does not know."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from services.chassis.db import Database
from services.chassis.log import logger
from services.entitlements.domain.access import Question, decide
from services.entitlements.memory.changes import ChangeReader, MissedChangesError
from services.entitlements.memory.known import MAX_REMEMBERED, Answer, Known, Load, Remembered
from services.entitlements.store import standing as standing_store
from services.entitlements.store.standing import Seen
from services.kernel.clock import Clock
from services.kernel.errors import UnavailableError
from services.kernel.ids import OrganizationId

log = logger(__name__)

# No answer is made from a state that is older than this: a caller with an older state looks for changes first. So every
# answer includes what other replicas committed until this long ago, and everything that this one has committed.
MAX_BEHIND_SECONDS = 0.1
# Interval of the search for changes while questions are asked: short enough that no caller has to wait for it.
LOOK_SECONDS = 0.03
# After this time without questions, the search for changes pauses until the next one.
IDLE_SECONDS = 2.0


class Answered(NamedTuple):
    """Answers to questions of one organization.

    Attributes:
        revision: the revision of the state that they were made from.
        answers: one for each question, in order.
    """

    revision: int
    answers: list[Answer]


class Memory:
    """What this replica remembers; any thread may ask."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        *,
        limit: int = MAX_REMEMBERED,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember nothing yet.

        Args:
            db: answers what is not known.
            clock: the machine's time.
            limit: the most questions that are remembered at once.
            ticks: a monotonic clock, in seconds.
        """
        self._db = db
        self._clock = clock
        self._ticks = ticks
        self._known = Known(limit)
        self._guard = threading.Lock()
        self._reader = ChangeReader(db, ticks)
        self._looking = threading.Lock()
        # When the last search began whose results are known.
        self._current_at = float("-inf")
        # When the last search failed: callers that waited for it get its failure and do not try again themselves.
        self._failed_at = float("-inf")
        self._asked_at = float("-inf")
        self.wanted = threading.Event()
        """Set while questions are asked, so that somebody looks for changes."""

    def __len__(self) -> int:
        """How many questions are remembered."""
        return len(self._known)

    def recall(self, organization: OrganizationId, questions: Sequence[Question]) -> Answered | None:
        """Answers at one revision without waiting for anything; None if the database has to be asked."""
        now = self._ticks()
        self._asked_at = now
        if not self.wanted.is_set():
            self.wanted.set()
        with self._guard:
            known = self._known.organization(organization)
            if known is None or now - self._current_at > MAX_BEHIND_SECONDS:
                return None
            at = known.test_clock or self._clock.now()
            answers = []
            for question in questions:
                remembered = self._known.find(organization, question)
                if remembered is None or not remembered.is_true_at(at) or question.at_least_revision > known.revision:
                    return None
                answers.append(remembered.answer(question, at))
            return Answered(known.revision, answers)

    def ask(self, organization: OrganizationId, questions: Sequence[Question]) -> Answered:
        """Answers at one revision; what is not known is loaded from the database and remembered.

        Raises:
            UnavailableError: `REVISION_NOT_REACHED`, the database has not reached the requested revision either.
        """
        at_least = max(question.at_least_revision for question in questions)
        if self._is_behind(organization, at_least):
            self.catch_up()
        return self.recall(organization, questions) or self._load(organization, questions, at_least)

    def _is_behind(self, organization: OrganizationId, at_least: int) -> bool:
        with self._guard:
            known = self._known.organization(organization)
            too_old = known is not None and known.revision < at_least
            return too_old or self._ticks() - self._current_at > MAX_BEHIND_SECONDS

    def _load(self, organization: OrganizationId, questions: Sequence[Question], at_least: int) -> Answered:
        with self._guard:
            load = self._known.begin_load(organization)
        try:
            with self._db.transaction(organization) as tx:
                seen = standing_store.of_questions(tx, organization, questions, self._clock.now())
            if at_least > seen.revision:
                raise UnavailableError(
                    "REVISION_NOT_REACHED", f"the newest revision is {seen.revision}", revision=at_least
                )
            self._keep(load, questions, seen)
        finally:
            with self._guard:
                self._known.end_load(load)
        return Answered(
            seen.revision,
            [
                Answer(decide(question, standings, at=seen.at, revision=0))
                for question, standings in zip(questions, seen.standings, strict=True)
            ],
        )

    def _keep(self, load: Load, questions: Sequence[Question], seen: Seen) -> None:
        """Remember what was loaded, as soon as everything else is known up to the same revision."""
        remembered = [Remembered.of(standings, seen.at) for standings in seen.standings]
        with self._guard:
            known = self._known.organization(load.organization)
            if known is None or seen.revision <= known.revision:
                self._known.keep(load, seen, questions, remembered)
                return
        self.catch_up()
        with self._guard:
            self._known.keep(load, seen, questions, remembered)

    def catch_up(self) -> None:
        """Learn everything that any replica has committed before now; concurrent callers share one search."""
        wanted_at = self._ticks()
        with self._looking:
            if self._current_at >= wanted_at:
                return
            if self._failed_at >= wanted_at:
                raise UnavailableError("DATABASE_UNAVAILABLE", "the database does not say what has changed")
            began = self._ticks()
            try:
                self._look(began)
            except Exception:
                self._failed_at = self._ticks()
                raise

    def _look(self, began: float) -> None:
        try:
            changes = self._reader.read()
        except MissedChangesError:
            self._begin_anew()
            return
        with self._guard:
            self._known.alter(changes)
            self._current_at = began

    def _begin_anew(self) -> None:
        """Forget everything, and watch from now on; what is loaded after that misses nothing."""
        with self._guard:
            self._known.clear()
            self._current_at = float("-inf")
        self._reader.begin()
        with self._guard:
            # Again: what was stored while the reader began may have missed a change.
            self._known.clear()
            self._current_at = self._ticks()

    def catch_up_if_it_can(self) -> None:
        """`catch_up` after a commit: if it fails, memory answers nobody until a later one succeeds."""
        try:
            self.catch_up()
        except Exception:
            with self._guard:
                self._current_at = float("-inf")
            log.exception("memory_is_behind")

    def look_while_wanted(self, stopping: threading.Event) -> bool:
        """One turn of the job that looks for changes while questions are asked; always again."""
        if self._ticks() - self._asked_at > IDLE_SECONDS:
            self.wanted.clear()
            self.wanted.wait()
        if not stopping.is_set():
            self.catch_up()
        return True

    def close(self) -> None:
        """Return the connection."""
        with self._looking:
            self._reader.close()
