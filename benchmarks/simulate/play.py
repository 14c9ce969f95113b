"""The play: years pass from one instant at which something happens to the next, for all organizations at once."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from benchmarks.simulate.life import Life
from benchmarks.simulate.player import Player
from benchmarks.simulate.snapshot import Snapshots
from benchmarks.simulate.usage import Usage, UsagePlayer
from benchmarks.simulate.world import Market, World
from services.chassis.db import Database
from services.rating.clock.due import DueReport

# 2024 has a leap day.
BEGINS_AT = datetime(2023, 1, 1, tzinfo=UTC)
DAYS_A_YEAR = 365.25
EVERY_USAGE = timedelta(days=2)
EVERY_SNAPSHOT = timedelta(days=91)
# A replica's job runs each second; but machines are also away for hours.
LATE_SHARE = 0.5
LATE_HOURS = 30.0
# Customers who left may come back within this time.
BACK_DAYS = (2.0, 120.0)


@dataclass(frozen=True)
class Scale:
    """How much is simulated."""

    seed: int
    subscriptions: int
    years: int

    @property
    def ends_at(self) -> datetime:
        """The last instant."""
        return BEGINS_AT + timedelta(days=self.years * DAYS_A_YEAR)


@dataclass
class Played:
    """What happened.

    Attributes:
        world: the world at the end, with its database.
        lives: what must have happened to every subscription.
        usage: every event that was sent.
        snapshots: finalized invoices as they were first seen.
        done: how often customers did each thing.
        report: periods closed and invoices finalized by the job that does what is due.
    """

    world: World
    lives: list[Life]
    usage: list[Usage]
    snapshots: Snapshots
    done: Counter[str]
    report: DueReport = field(default_factory=DueReport)


class Play:
    """Everything that will still happen, by time."""

    def __init__(self, scale: Scale, db: Database) -> None:
        self._scale = scale
        self._random = Random(scale.seed)
        self._world = World(db, BEGINS_AT)
        self._player = Player(self._world, self._random)
        self._usage = UsagePlayer(self._world, self._random)
        self._snapshots = Snapshots(db)
        self._coming: list[tuple[datetime, int, Callable[[], None]]] = []
        self._serial = 0
        self._report = DueReport()

    def run(self, tell: Callable[[datetime], None]) -> Played:
        """Play to the end; `tell` is called with the progress."""
        for number in range(self._scale.subscriptions):
            self._plan_first_start(number)
        self._at(BEGINS_AT + EVERY_USAGE, self._use)
        self._at(BEGINS_AT + EVERY_SNAPSHOT, self._snapshot)
        while self._coming[0][0] < self._scale.ends_at:
            at, _, action = heapq.heappop(self._coming)
            self._catch_up(at)
            self._world.move_to(at)
            tell(at)
            action()
        self._catch_up(self._scale.ends_at)
        self._world.move_to(self._scale.ends_at)
        for life in self._player.lives:
            life.settle(self._world.now)
        self._usage.look_again()
        lives, usage = self._player.lives, self._usage.sent
        return Played(self._world, lives, usage, self._snapshots, self._player.done, self._report)

    def _catch_up(self, to: datetime) -> None:
        """Do what is due until an instant, on time or late, as replicas do."""
        while (due := self._world.next_due()) is not None and due <= to:
            late = timedelta()
            if self._random.random() < LATE_SHARE:
                late = timedelta(hours=self._random.uniform(0, LATE_HOURS))
            self._world.move_to(max(self._world.now, min(due + late, to)))
            self._report += self._world.run_due()

    def _at(self, at: datetime, action: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._coming, (at, self._serial, action))

    def _plan_first_start(self, number: int) -> None:
        market = self._world.markets[number % len(self._world.markets)]
        # Some customers have two subscriptions.
        customer = f"customer-{number - (number % 10 == 9) * len(self._world.markets)}"
        start = self._player.first_start(market, BEGINS_AT)
        self._at(start, lambda: self._begin(market, number, customer, None))

    def _begin(self, market: Market, number: int, customer: str, before: Life | None) -> None:
        life = self._player.begin(market, number, customer=customer, before=before)
        self._usage.lives.append(life)
        self._decide_later(market, number, life)

    def _decide_later(self, market: Market, number: int, life: Life) -> None:
        at = self._player.next_time(life, self._world.now)
        self._at(at, lambda: self._decide(market, number, life))

    def _decide(self, market: Market, number: int, life: Life) -> None:
        life.settle(self._world.now)
        if not life.is_over:
            self._player.act(life)
        if life.is_over:
            self._usage.leaves(life)
            self._come_back(market, number, life)
        else:
            self._decide_later(market, number, life)

    def _come_back(self, market: Market, number: int, life: Life) -> None:
        """A customer who left subscribes again, under the same id or a new one."""
        at = self._world.now + timedelta(days=self._random.uniform(*BACK_DAYS))
        before = life if self._random.random() < 0.5 and not life.called_off else None
        fresh = number if before else self._scale.subscriptions + self._serial
        self._at(at, lambda: self._begin(market, fresh, life.customer, before))

    def _use(self) -> None:
        self._usage.use()
        self._at(self._world.now + EVERY_USAGE, self._use)

    def _snapshot(self) -> None:
        self._snapshots.take()
        self._at(self._world.now + EVERY_SNAPSHOT, self._snapshot)
