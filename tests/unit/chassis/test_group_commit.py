"""What waits is committed together; one that fails spoils no other, and nobody hears of anything before its commit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
import pytest

from services.chassis.group_commit import GroupCommit
from tests.support.patience import PATIENCE_SECONDS


@dataclass(eq=False)
class Thing:
    """Something that waits."""

    name: str
    error: Exception | None = None


@dataclass
class Given:
    """A queue that hands out what it was given, batch by batch, and then is closed and empty."""

    batches: list[list[Thing]]
    done: list[list[str]] = field(default_factory=list)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def take(self, done: Sequence[Thing]) -> list[Thing]:
        with self.guard:
            self.done.append([thing.name for thing in done])
            return self.batches.pop(0) if self.batches else []

    def close(self) -> None:
        """Nothing more comes anyway."""


def run(commit: Callable[[Sequence[Thing]], None], *batches: list[Thing], lines: int = 1) -> tuple[list[str], Given]:
    """Commit batches; what was told to who listens, in order."""
    told: list[str] = []

    @contextmanager
    def line() -> Iterator[Callable[[Sequence[Thing]], None]]:
        yield commit

    queue = Given(list(batches))
    group: GroupCommit[Thing] = GroupCommit("test", queue, line, lines=lines)
    group.listen(lambda things: told.append("+".join(thing.name for thing in things)))
    group.start()
    group.stop()
    return told, queue


def things(names: str) -> list[Thing]:
    return [Thing(name) for name in names]


def test_batches_are_committed_and_told_in_order() -> None:
    """And a line says what it has done when it takes more."""
    committed: list[int] = []
    told, queue = run(lambda batch: committed.append(len(batch)), things("ab"), things("c"))
    assert (told, committed) == (["a+b", "c"], [2, 1])
    assert queue.done == [[], ["a", "b"], ["c"]]


def test_one_that_fails_spoils_no_other() -> None:
    """Together they fail; then each is committed alone, and only the culprit has an error."""

    def commit(batch: Sequence[Thing]) -> None:
        if any(thing.name == "b" for thing in batch):
            raise ValueError

    batch = things("abc")
    told, _ = run(commit, batch)
    assert told == ["a", "b", "c"]
    assert [type(thing.error) for thing in batch] == [type(None), ValueError, type(None)]


def test_where_the_database_is_away_nobody_is_tried_alone() -> None:
    tries: list[int] = []

    def commit(batch: Sequence[Thing]) -> None:
        tries.append(len(batch))
        raise psycopg.OperationalError

    batch = things("abc")
    told, _ = run(commit, batch)
    assert (told, tries) == (["a+b+c"], [3])
    assert all(isinstance(thing.error, psycopg.OperationalError) for thing in batch)


@pytest.mark.parametrize("lines", [2, 3])
def test_lines_commit_side_by_side(lines: int) -> None:
    """Each is in its own transaction at the same time as the others."""
    together = threading.Barrier(lines)

    def commit(_: Sequence[Thing]) -> None:
        together.wait(PATIENCE_SECONDS)

    told, _ = run(commit, *([thing] for thing in things("abc"[:lines])), lines=lines)
    assert sorted(told) == list("abc"[:lines])
