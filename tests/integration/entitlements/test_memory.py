"""What a replica remembers is what the database says: after any history, in every replica, with any bound."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from services.entitlements.commands import override
from services.entitlements.commands.consumption import count
from services.entitlements.deps import Deps
from services.entitlements.domain.access import Access, Question, decide
from services.entitlements.domain.counting import Command, Commit, Consume, Counted, Release, Reserve
from services.entitlements.domain.feature_terms import FeatureTerms, Override
from services.entitlements.memory.memory import MAX_BEHIND_SECONDS, Answered, Memory
from services.entitlements.store import standing as standing_store
from services.kernel.cadence import ResetWindow
from services.kernel.errors import FareboxError, UnavailableError
from services.kernel.ids import new_id
from services.kernel.period import Period
from tests.support.entitlements import World
from tests.support.rating.events import (
    clock_advanced,
    fresh_ids,
    gate,
    limit,
    plan_changed,
    subscription_changed,
    usage_aggregated,
)

RESETS = ("BILLING_PERIOD", "DAY", "WEEK", "MONTH", "NEVER")
ZONES = ("UTC", "Asia/Tokyo", "America/New_York")
CUSTOMERS = ("acme", "zenith")
START = datetime(2026, 5, 1, tzinfo=UTC)
QUESTIONS = [
    Question(customer, feature, subscription, Decimal(units))
    for customer in (*CUSTOMERS, "nobody")
    for feature in (*(reset.lower() for reset in RESETS), "sso", "unknown")
    for subscription, units in (("", "1"), ("first", "40"), ("second", "0"))
]


def month(number: int) -> Period:
    return Period(datetime(2026, number, 1, tzinfo=UTC), datetime(2026, number + 1, 1, tzinfo=UTC))


@dataclass
class History:
    """Random steps of a world; each is what rating, an operator or a caller may do at any time."""

    world: World
    random: Random
    plans: list[str] = field(default_factory=lambda: fresh_ids(2))
    subscriptions: dict[tuple[str, str], str] = field(default_factory=dict)
    periods: dict[str, tuple[Period, str]] = field(default_factory=dict)
    totals: dict[tuple[str, datetime], int] = field(default_factory=dict)
    holds: list[str] = field(default_factory=list)
    revision: int = 0

    def step(self) -> None:
        steps: list[Callable[[], None]] = [
            self.plan,
            self.subscribe,
            self.subscribe,
            self.end,
            self.count,
            self.count,
            self.count,
            self.override,
            self.consume,
            self.consume,
            self.reserve,
            self.settle,
            self.wait,
            self.wait,
            self.test_clock,
        ]
        self.random.choice(steps)()

    def plan(self) -> None:
        limits = [
            limit(reset.lower(), str(self.random.randint(0, 200)), reset=reset, hard=self.random.random() < 0.7)
            for reset in RESETS
            if self.random.random() < 0.9
        ]
        gates = [gate("sso", enabled=self.random.random() < 0.5)]
        self.world.apply(plan_changed(self.world.organization, self.random.choice(self.plans), [*limits, *gates]))

    def subscribe(self) -> None:
        customer, external = self.random.choice(CUSTOMERS), self.random.choice(["first", "second"])
        known = self.subscriptions.setdefault((customer, external), new_id())
        period = month(self.world.now().month)
        started = self.periods.get(known, (Period(self.world.now(), period.end), ""))[0].start
        self.periods[known] = Period(started, period.end), customer
        self._move(known, customer, external, "ACTIVE", Period(max(started, period.start), period.end))

    def end(self) -> None:
        if self.subscriptions:
            customer, external = self.random.choice(list(self.subscriptions))
            self._move(
                self.subscriptions.pop((customer, external)), customer, external, "TERMINATED", None, self.world.now()
            )

    def _move(
        self, id_: str, customer: str, external: str, state: str, period: Period | None, ended: datetime | None = None
    ) -> None:
        self.world.apply(
            subscription_changed(
                self.world.organization,
                id_,
                self.random.choice(self.plans),
                customer=customer,
                external_id=external,
                state=state,
                period=period,
                timezone=self.random.choice(ZONES),
                started_at=self.periods[id_][0].start,
                ended_at=ended,
                anchored_at=START,
            )
        )

    def count(self) -> None:
        """A total of this month, of the one before, or of the next one, with days that may lie ahead of the present."""
        if not self.periods:
            return
        subscription, now = self.random.choice(list(self.periods)), self.world.now()
        period = month(self.random.choice([max(5, now.month - 1), now.month, now.month, now.month + 1]))
        self.revision += 1
        units = self.totals.get((subscription, period.start), 0) + self.random.randint(0, 30)
        self.totals[subscription, period.start] = units
        day = (now + timedelta(days=self.random.randint(-8, 1))).date().isoformat()
        self.world.apply(
            usage_aggregated(
                self.world.organization,
                subscription,
                str(units),
                self.revision,
                period=period,
                days={day: str(self.random.randint(0, 30))},
            )
        )

    def override(self) -> None:
        customer, feature = self.random.choice(CUSTOMERS), self.random.choice(RESETS).lower()
        external = self.random.choice(["", "first", "second"])
        deps, organization = self.world.deps, self.world.organization
        terms = FeatureTerms(limit=Decimal(self.random.randint(0, 300)), is_hard=True, reset=ResetWindow(feature))
        try:
            with deps.db.transaction(organization) as tx:
                if self.random.random() < 0.6:
                    override.set_override(deps, tx, organization, Override(customer, external, feature, terms))
                else:
                    override.remove_override(deps, tx, organization, customer, external, feature)
        except FareboxError:
            return

    def consume(self) -> None:
        self._count(lambda question: Consume(question, new_id()))

    def reserve(self) -> None:
        lifetime = timedelta(minutes=self.random.randint(1, 3000))
        counted = self._count(lambda question: Reserve(question, lifetime))
        if counted.hold is not None:
            self.holds.append(counted.hold.id)

    def _count(self, command: Callable[[Question], Command]) -> Counted:
        question = Question(
            self.random.choice(CUSTOMERS),
            self.random.choice(RESETS).lower(),
            self.random.choice(["", "first"]),
            Decimal(self.random.randint(1, 30)),
        )
        return self.world.count(command(question))

    def settle(self) -> None:
        if self.holds:
            hold = self.holds.pop(self.random.randrange(len(self.holds)))
            with contextlib.suppress(FareboxError):
                self.world.count(Release(hold) if self.random.random() < 0.5 else Commit(hold, Decimal(1), new_id()))

    def wait(self) -> None:
        self.world.clock.move_to(self.world.clock.now() + timedelta(minutes=self.random.randint(1, 2000)))

    def test_clock(self) -> None:
        """Rarely, since from then on the organization has a time of its own."""
        if self.world.test_clock is not None or self.random.random() < 0.1:
            self.revision += 1
            self.world.test_clock = self.world.now() + timedelta(minutes=self.random.randint(1, 2000))
            self.world.apply(clock_advanced(self.world.organization, self.world.test_clock, self.revision))


def by_sql(world: World, questions: list[Question]) -> tuple[int, list[Access]]:
    """The answers that the database gives."""
    with world.deps.db.transaction(world.organization) as tx:
        seen = standing_store.of_questions(tx, world.organization, questions, world.clock.now())
    answers = [
        decide(question, standings, at=seen.at, revision=0)
        for question, standings in zip(questions, seen.standings, strict=True)
    ]
    return seen.revision, answers


def told(answered: Answered) -> tuple[int, list[Access]]:
    return answered.revision, [answer.access for answer in answered.answers]


@pytest.mark.parametrize("seed", range(4))
def test_memory_says_what_the_database_says(world: World, seed: int) -> None:
    """After every step: in the replica that did it at once; in others as of its revision; after a restart, too."""
    random = Random(seed)
    history = History(world, random)
    mine = world.deps.memory
    others = [Memory(world.deps.db, world.clock), Memory(world.deps.db, world.clock, limit=5)]
    remembered = 0
    history.plan()
    history.subscribe()
    for _ in range(45):
        history.step()
        questions = random.sample(QUESTIONS, 6)
        revision, expected = by_sql(world, questions)
        for memory in (mine, *others):
            asked = (
                questions
                if memory is mine
                else [replace(question, at_least_revision=revision) for question in questions]
            )
            recalled = memory.recall(world.organization, asked)
            remembered += recalled is not None
            first = told(recalled or memory.ask(world.organization, asked))
            if memory is mine:
                assert first == (revision, expected)
            # What is announced without a revision reaches others with their next look, not by the barrier.
            memory.catch_up()
            for _ in range(2):
                assert told(memory.ask(world.organization, asked)) == (revision, expected)
            remembered += memory.recall(world.organization, asked) is not None
        assert len(others[1]) <= 5
        if random.random() < 0.1:
            others[0].close()
            others[0] = Memory(world.deps.db, world.clock)
    assert remembered > 45
    for memory in (mine, *others):
        memory.close()


@pytest.fixture
def sold(world: World) -> World:
    plan, subscription = fresh_ids(2)
    world.apply(
        plan_changed(world.organization, plan, [limit("calls", "500")]),
        subscription_changed(world.organization, subscription, plan),
    )
    return world


def consume(deps: Deps, world: World, units: str) -> Access:
    question = Question("acme", "calls", "", Decimal(units))
    with deps.db.transaction(world.organization) as tx:
        (counted,) = count(deps, tx, world.organization, [Consume(question, new_id())])
    assert isinstance(counted, Counted)
    return replace(counted.access, revision=counted.revision)


CALLS = [Question("acme", "calls")]


def test_the_barrier(sold: World) -> None:
    """Who names the revision of a Consume at one replica is answered by another with what it counted, at once."""
    other = replace(sold.deps, memory=Memory(sold.deps.db, sold.clock))
    for n in range(1, 6):
        for here, there in ((sold.deps, other), (other, sold.deps)):
            revision = consume(here, sold, "1").revision
            asked = [Question("acme", "calls", at_least_revision=revision)]
            answered = there.memory.ask(sold.organization, asked)
            assert answered.revision == revision
        assert answered.answers[0].access.used == 2 * n
    with pytest.raises(UnavailableError):
        other.memory.ask(sold.organization, [Question("acme", "calls", at_least_revision=revision + 1)])
    other.memory.close()


def test_no_answer_is_older_than_the_bound(sold: World) -> None:
    """What another replica counted is missing for `MAX_BEHIND_SECONDS` at the most; then memory looks first."""
    now = [1000.0]
    other = replace(sold.deps, memory=Memory(sold.deps.db, sold.clock, ticks=lambda: now[0]))
    assert other.memory.ask(sold.organization, CALLS).answers[0].access.used == 0
    consume(sold.deps, sold, "7")
    now[0] += MAX_BEHIND_SECONDS / 2
    within = other.memory.recall(sold.organization, CALLS)
    assert within is not None
    assert within.answers[0].access.used == 0
    now[0] += MAX_BEHIND_SECONDS
    assert other.memory.recall(sold.organization, CALLS) is None
    assert other.memory.ask(sold.organization, CALLS).answers[0].access.used == 7
    other.memory.close()


def test_a_change_during_a_load_is_not_forgotten(sold: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is loaded before a change, and would be kept after it, is not kept."""
    other = replace(sold.deps, memory=Memory(sold.deps.db, sold.clock))
    load = standing_store.of_questions

    def loads_slowly(*given: Any) -> Any:
        seen = load(*given)
        monkeypatch.setattr(standing_store, "of_questions", load)
        counting = threading.Thread(target=consume, args=(sold.deps, sold, "7"))
        counting.start()
        counting.join()
        other.memory.catch_up()
        return seen

    other.memory.catch_up()
    monkeypatch.setattr(standing_store, "of_questions", loads_slowly)
    assert other.memory.ask(sold.organization, CALLS).answers[0].access.used == 0
    assert other.memory.ask(sold.organization, CALLS).answers[0].access.used == 7
    other.memory.close()


def test_a_lost_connection_costs_what_is_known(sold: World) -> None:
    """Who cannot know what he missed forgets everything, and answers truly again."""
    other = replace(sold.deps, memory=Memory(sold.deps.db, sold.clock))
    other.memory.ask(sold.organization, CALLS)
    assert len(other.memory) == 1
    with sold.deps.db.worker_session() as session:
        session.exec_driver_sql("SET ROLE NONE")
        session.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND query LIKE '%%pg_current_snapshot%%' AND pid <> pg_backend_pid()"
        )
    consume(sold.deps, sold, "7")
    other.memory.catch_up()
    assert len(other.memory) == 0
    assert other.memory.ask(sold.organization, CALLS).answers[0].access.used == 7
    other.memory.close()
