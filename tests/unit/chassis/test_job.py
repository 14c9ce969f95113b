"""A loop that no error ends, and leases of which one callback cannot spoil the others."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest

from services.chassis import job
from services.chassis.job import Job
from services.chassis.lease import Leases
from services.kernel.errors import UnavailableError

PATIENCE_SECONDS = 60


@pytest.mark.parametrize(
    "error", [KeyError("a mistake"), UnavailableError("AWAY", "a peer is away"), psycopg.OperationalError("gone")]
)
def test_no_error_ends_a_job(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """After any error, foreseen or not, the next turn tries again; a process does not go on half dead."""
    monkeypatch.setattr(job, "RETRY_SECONDS", 0.0)
    failures, done = [error] * 3, threading.Event()

    def turn(_: threading.Event) -> bool:
        if failures:
            raise failures.pop()
        done.set()
        return False

    work = Job("test", turn)
    work.start()
    assert done.wait(PATIENCE_SECONDS)
    work.stop()
    assert not work.is_alive


def test_a_lease_that_cannot_be_taken_up_is_offered_again_and_the_others_are_taken() -> None:
    """A callback that fails affects only its own name, and only until the next turn."""
    told: list[str] = []
    failures = {"+b", "-a"}

    def tell(sign: str) -> Any:
        def told_of(name: str) -> None:
            if sign + name in failures:
                failures.discard(sign + name)
                raise KeyError("a mistake")
            told.append(sign + name)

        return told_of

    leases = Leases(nobody_asked(), ["a", "b", "c"], on_won=tell("+"), on_lost=tell("-"))
    for held in ({"a", "b", "c"}, {"a", "b", "c"}, {"b"}, {"b"}):
        leases._settle(held)
    assert told == ["+a", "+c", "+b", "-c", "-a"]


def nobody_asked() -> Any:
    """Leases that are not started; they use no database."""
    return None
