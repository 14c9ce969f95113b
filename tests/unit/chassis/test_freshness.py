"""Waiting for a change is bounded, is shared by all who wait, and costs nothing where there is nothing to wait for."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from services.chassis import freshness as freshness_module
from services.chassis.freshness import BEHIND, NOTHING_MISSED, Freshness, Heard
from services.chassis.wait import wait_until
from services.kernel.errors import UnavailableError
from services.kernel.ids import OrganizationId
from tests.support.patience import PATIENCE_SECONDS

ACME, GLOBEX = OrganizationId("acme"), OrganizationId("globex")
# A wait that is meant to end by itself, and one that no test waits out.
SHORT_SECONDS, LONG_SECONDS = 0.05, PATIENCE_SECONDS


class Inbox:
    """A database that holds one position, and counts how often it is asked."""

    def __init__(self) -> None:
        self.position = 0
        self.looks = 0

    @contextmanager
    def worker_transaction(self, *, quiet: bool) -> Iterator[Inbox]:
        assert quiet, "nothing is announced"
        yield self

    def exec_driver_sql(self, _: str, __: Any) -> Inbox:
        self.looks += 1
        return self

    def scalar_one_or_none(self) -> int:
        return self.position


class Source:
    """A log's source: the newest changes, and every question."""

    def __init__(self) -> None:
        self.newest: dict[OrganizationId, int] = {}
        self.questions: list[set[OrganizationId]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.is_away = False

    def ask(self, organizations: Collection[OrganizationId]) -> Mapping[OrganizationId, int]:
        self.questions.append(set(organizations))
        assert self.gate.wait(PATIENCE_SECONDS)
        if self.is_away:
            raise UnavailableError("RATING_UNAVAILABLE", "away")
        return self.newest


@contextmanager
def running(inbox: Any, source: Source, wait_seconds: float = LONG_SECONDS) -> Iterator[Freshness]:
    freshness = Freshness(inbox, "rating", source.ask, wait_seconds=wait_seconds)
    freshness.start()
    try:
        yield freshness
    finally:
        source.gate.set()
        freshness.stop()


def test_a_number_that_was_reached_is_not_looked_for() -> None:
    inbox, source = Inbox(), Source()
    inbox.position = 5
    with running(inbox, source) as freshness:
        assert freshness.wait(ACME, 5) == Heard(5)
        looks = inbox.looks
        assert [freshness.wait(ACME, number) for number in (0, 4, 5)] == [NOTHING_MISSED] * 3
        assert inbox.looks == looks
    assert source.questions == []


def test_a_wait_ends_when_its_number_comes() -> None:
    """Each waits for its own number: a later one does not hold back an earlier one."""
    inbox, source = Inbox(), Source()
    with running(inbox, source) as freshness:
        later, sooner = freshness.hear(9), freshness.hear(3)
        inbox.position = 3
        assert sooner.result(PATIENCE_SECONDS) == Heard(3)
        assert not later.done()
        inbox.position = 10
        assert later.result(PATIENCE_SECONDS) == Heard(9)
        assert freshness.heard == 10


def test_a_number_is_heard_once_memory_knows_it() -> None:
    """A position in the database is nothing to a caller whose answer comes out of memory; a failure is tried again."""
    inbox, source = Inbox(), Source()
    failures, known = [UnavailableError("DATABASE_UNAVAILABLE", "away")], []

    def know() -> None:
        if failures:
            raise failures.pop()
        known.append(inbox.position)

    inbox.position = 4
    freshness = Freshness(inbox, "rating", source.ask, wait_seconds=LONG_SECONDS, know=know)  # type: ignore[arg-type]
    freshness.start()
    assert freshness.hear(4).result(PATIENCE_SECONDS) == Heard(4)
    freshness.stop()
    assert (failures, known) == ([], [4])


def test_a_bus_that_stands_still_costs_one_wait() -> None:
    """What did not come in time is waited for by nobody else, nor is anything later, until it has come."""
    inbox, source = Inbox(), Source()
    with running(inbox, source, SHORT_SECONDS) as freshness:
        assert freshness.wait(ACME, 7) == BEHIND
        assert freshness.hear(7).done()
        assert freshness.hear(8).done()
        inbox.position = 6
        assert freshness.hear(6).result(PATIENCE_SECONDS) == Heard(6)
        inbox.position = 7
        wait_until(lambda: freshness.heard == 7, timeout=PATIENCE_SECONDS, what="the number that was late")
        waits = freshness.hear(8)
        inbox.position = 8
        assert waits.result(PATIENCE_SECONDS) in {Heard(8), BEHIND}


def test_an_absurd_number_keeps_nobody_from_waiting_for_a_true_one() -> None:
    """A caller who names a change that will never be spoils nothing for others."""
    inbox, source = Inbox(), Source()
    with running(inbox, source, 1.0) as freshness:
        absurd = freshness.hear(10**18)
        assert absurd.result(PATIENCE_SECONDS) == BEHIND
        true = freshness.hear(2)
        assert not true.done()
        inbox.position = 2
        assert true.result(PATIENCE_SECONDS) == Heard(2)


def test_many_denied_callers_are_few_questions() -> None:
    """Whoever comes while a question is on its way shares the next one, whatever organization it is of."""
    inbox, source = Inbox(), Source()
    inbox.position = 4
    source.newest = {ACME: 4}
    source.gate.clear()
    with running(inbox, source) as freshness:
        first = freshness.hear_newest(ACME)
        wait_until(lambda: len(source.questions) == 1, timeout=PATIENCE_SECONDS, what="the first question")
        others = [freshness.hear_newest(organization) for organization in (ACME, GLOBEX) for _ in range(500)]
        source.gate.set()
        assert first.result(PATIENCE_SECONDS) == Heard(4)
        assert {other.result(PATIENCE_SECONDS) for other in others} == {Heard(4), NOTHING_MISSED}
    assert source.questions == [{ACME}, {ACME, GLOBEX}]


def test_a_question_covers_what_was_changed_before_it_was_asked() -> None:
    """The answer to a question that was on its way already says nothing of a change made since."""
    inbox, source = Inbox(), Source()
    source.newest = {ACME: 1}
    source.gate.clear()
    with running(inbox, source) as freshness:
        freshness.hear_newest(ACME)
        wait_until(lambda: len(source.questions) == 1, timeout=PATIENCE_SECONDS, what="the first question")
        waits = freshness.hear_newest(ACME)
        source.newest = {ACME: 2}
        inbox.position = 2
        source.gate.set()
        assert waits.result(PATIENCE_SECONDS) == Heard(2)


def test_a_source_that_is_away_is_left_in_peace() -> None:
    """Callers are answered at once from what is known, and told that it may lack something."""
    inbox, source = Inbox(), Source()
    source.is_away = True
    with running(inbox, source) as freshness:
        assert freshness.wait_for_newest(ACME) == BEHIND
        assert [freshness.hear_newest(ACME).done() for _ in range(100)] == [True] * 100
    assert len(source.questions) == 1


def test_one_organization_does_not_take_all_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its own share its callers are answered from what is known, and another's still wait."""
    monkeypatch.setattr(freshness_module, "MAX_THREADS_OF_ONE", 2)
    inbox, source = Inbox(), Source()
    heard: list[Heard] = []
    with running(inbox, source) as freshness:
        waiting = [threading.Thread(target=lambda: heard.append(freshness.wait(ACME, 5))) for _ in range(2)]
        for thread in waiting:
            thread.start()
        wait_until(lambda: len(freshness._waiters) == 2, timeout=PATIENCE_SECONDS, what="two who wait")
        assert freshness.wait(ACME, 5) == BEHIND
        waiting.append(threading.Thread(target=lambda: heard.append(freshness.wait(GLOBEX, 5))))
        waiting[-1].start()
        wait_until(lambda: len(freshness._waiters) == 3, timeout=PATIENCE_SECONDS, what="the other organization")
        inbox.position = 5
        for thread in waiting:
            thread.join(PATIENCE_SECONDS)
    assert heard == [Heard(5)] * 3


def test_whoever_waits_at_the_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that stops leaves no caller waiting."""
    monkeypatch.setattr(freshness_module, "ASK_PAUSE_SECONDS", 0.0)
    freshness = Freshness(Inbox(), "rating", Source().ask, wait_seconds=LONG_SECONDS)  # type: ignore[arg-type]
    freshness.start()
    waits = freshness.hear(1)
    freshness.stop()
    assert waits.result(PATIENCE_SECONDS) == BEHIND
