"""One simulation with its checks, and the result."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import SecretStr

from benchmarks.simulate.checks.everything import check
from benchmarks.simulate.play import Play, Scale
from services.chassis.config import Settings
from services.chassis.db import Database

# A simulation does one thing after the other.
POOL_SIZE = 4


@dataclass
class Outcome:
    """The results of simulations; outcomes add up.

    Attributes:
        lives: subscriptions that began, including those of customers who came back.
        periods, invoices: periods closed and invoices finalized when they fell due; invoices at starts and ends are not
            counted.
        events: usage events.
        done: how often customers did each thing.
        wrong: every law that does not hold, with its seed.
        seconds: time taken.
    """

    lives: int = 0
    periods: int = 0
    invoices: int = 0
    events: int = 0
    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __add__(self, other: Outcome) -> Outcome:
        """Both together; they ran at the same time."""
        return Outcome(
            self.lives + other.lives,
            self.periods + other.periods,
            self.invoices + other.invoices,
            self.events + other.events,
            self.done + other.done,
            self.wrong + other.wrong,
            max(self.seconds, other.seconds),
        )


def simulate(scale: Scale, database_url: str, tell: Callable[[datetime], None]) -> Outcome:
    """One simulation on an empty, migrated database of rating, and its checks."""
    began = time.perf_counter()
    db = Database(Settings(database_url=SecretStr(database_url), database_pool_size=POOL_SIZE))
    try:
        played = Play(scale, db).run(tell)
        wrong = check(played)
    finally:
        db.dispose()
    replay = f"seed {scale.seed}, {scale.subscriptions} subscriptions, {scale.years} years"
    return Outcome(
        lives=len(played.lives),
        periods=played.report.closed,
        invoices=played.report.finalized,
        events=len(played.usage),
        done=played.done,
        wrong=[f"{replay}: {finding}" for finding in wrong],
        seconds=time.perf_counter() - began,
    )
