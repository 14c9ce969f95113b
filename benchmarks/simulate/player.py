"""What customers do, at random but from one seed: start, change plans, cancel, change their minds, use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random

from benchmarks.simulate.days import DAY, day_of, midnight_of
from benchmarks.simulate.life import Life, Promise, Segment
from benchmarks.simulate.offers import Offer
from benchmarks.simulate.world import Market, World
from services.kernel.cadence import Alignment
from services.kernel.errors import FailedPreconditionError
from services.rating.agreements.agreement import EndTerms
from services.rating.agreements.change import ChangeTiming
from services.rating.agreements.resolution import Resolution
from services.rating.agreements.subscription_change import NewSubscription
from services.rating.subscriptions.commands import (
    cancel_subscription,
    change_plan,
    create_subscription,
    withdraw_change,
)

INSTANT = timedelta(microseconds=1)
# The time between two decisions of a customer: about seven changes in five years.
MEAN_DAYS = 240.0
# Starts lie within this time, so that one of them may be on a leap day.
STARTING_DAYS = 430
MONTH_END_DAY = 28
MAX_BACKDATED_DAYS = 70


class Player:
    """Decides and does what customers do; everything is also recorded in their `Life`.

    Attributes:
        lives: every life so far.
        done: how often each thing was done.
    """

    def __init__(self, world: World, random: Random) -> None:
        self._world = world
        self._random = random
        self.lives: list[Life] = []
        self.done: Counter[str] = Counter()

    # --- when -----------------------------------------------------------------------------------------------------

    def first_start(self, market: Market, begin: datetime) -> datetime:
        """When a customer comes: anywhere in the first months, often at the end of a month."""
        at = begin + timedelta(seconds=self._random.uniform(0, STARTING_DAYS * DAY.total_seconds()))
        if self._random.random() < 0.3:
            day = day_of(at, market.zone)
            while day.day < MONTH_END_DAY:
                day += DAY
            day += DAY * self._random.randrange(3)
            at = midnight_of(day, market.zone) + timedelta(hours=self._random.randrange(24))
        return at

    def next_time(self, life: Life, now: datetime) -> datetime:
        """When a customer decides next; often at an awkward instant."""
        at = now + timedelta(days=self._random.expovariate(1 / MEAN_DAYS), seconds=1)
        awkward = self._random.random()
        if awkward < 0.08:
            at = midnight_of(day_of(at, life.zone) + DAY, life.zone)
        elif awkward < 0.16 and not life.is_over:
            at = life.period_end(max(at, life.current.starts_at))
        elif awkward < 0.20 and not life.is_over:
            at = life.period_end(max(at, life.current.starts_at)) - INSTANT
        elif awkward < 0.28:
            at = now + timedelta(hours=self._random.uniform(0.01, 20))
        elif awkward < 0.36 and (trial_end := life.trial_end(life.current.offer)) is not None:
            at = trial_end + timedelta(hours=self._random.uniform(-20, 20))
        return at if at > now else now + timedelta(hours=1)

    # --- what -----------------------------------------------------------------------------------------------------

    def begin(self, market: Market, number: int, *, customer: str, before: Life | None = None) -> Life:
        """A new subscription: now, later, or in the past; `before` is the ended one whose external id it takes."""
        random, now = self._random, self._world.now
        at = now
        if before is None and random.random() < 0.15:
            at = now - timedelta(days=random.uniform(0, MAX_BACKDATED_DAYS))
        elif random.random() < 0.1:
            at = now + timedelta(days=random.uniform(1, 60))
        external_id = before.external_id if before else f"{customer}-{number}"
        offer = self._offer()
        first = min(before.first_started_at, at) if before else at
        life = Life(
            market.organization, market.zone, customer, external_id, random.random() < 0.5, first, [Segment(offer, at)]
        )
        if random.random() < 0.08:
            life.ending_at = self._some_end(at, market.zone)
        wanted = NewSubscription(
            external_customer_id=customer,
            plan_code=offer.code,
            external_id=external_id,
            alignment=Alignment.ANNIVERSARY if life.is_anniversary else Alignment.CALENDAR,
            starts_at=at,
            ending_at=life.ending_at,
        )
        with self._world.deps.db.transaction(market.organization) as tx:
            create_subscription(self._world.deps, tx, market.organization, wanted)
        self.lives.append(life)
        self.done["began"] += 1
        return life

    def act(self, life: Life) -> None:
        """What a customer with a living subscription decides now."""
        now = self._world.now
        if not life.has_begun(now):
            self._call_off(life)
        elif life.promise is not None:
            self._pick([(self._withdraw, 5), (self._change_now, 2), (self._cancel_now, 2), (self._refused, 2)])(life)
        else:
            choices = [(self._change_default, 6), (self._change_now, 3), (self._change_later, 3)]
            self._pick([*choices, (self._cancel_later, 3), (self._cancel_now, 2)])(life)

    def _change_default(self, life: Life) -> None:
        offer = self._other_offer(life)
        is_downgrade = offer.yearly_cents < life.current.offer.yearly_cents
        self._change(life, offer, ChangeTiming.DEFAULT, is_now=not is_downgrade)

    def _change_now(self, life: Life) -> None:
        self._change(life, self._other_offer(life), ChangeTiming.NOW, is_now=True)

    def _change_later(self, life: Life) -> None:
        self._change(life, self._other_offer(life), ChangeTiming.PERIOD_END, is_now=False)

    def _change(self, life: Life, offer: Offer, timing: ChangeTiming, *, is_now: bool) -> None:
        now, resolution = self._world.now, self._resolution()
        is_credited = resolution is not Resolution.NONE
        if is_now or life.promise is None:
            with self._world.deps.db.transaction(life.organization) as tx:
                plan = (offer.code, offer.version)
                change_plan(
                    self._world.deps,
                    tx,
                    life.organization,
                    life.external_id,
                    plan,
                    timing=timing,
                    resolution=resolution,
                )
        if is_now:
            life.change(offer, now, is_credited=is_credited)
        else:
            life.promise = Promise(life.period_end(now), offer, is_credited)
        kind = "downgrade" if offer.yearly_cents < life.segments[-2 if is_now else -1].offer.yearly_cents else "upgrade"
        self.done[f"{kind} {'now' if is_now else 'at period end'}"] += 1

    def _cancel_now(self, life: Life) -> None:
        resolution = self._cancel(life, ChangeTiming.NOW)
        life.cancel(self._world.now, is_credited=resolution is not Resolution.NONE)
        self.done["cancellation now"] += 1

    def _cancel_later(self, life: Life) -> None:
        resolution = self._cancel(life, ChangeTiming.PERIOD_END)
        is_credited = resolution is not Resolution.NONE
        life.promise = Promise(life.period_end(self._world.now), None, is_credited)
        self.done["cancellation at period end"] += 1

    def _cancel(self, life: Life, timing: ChangeTiming) -> Resolution:
        resolution = self._resolution()
        with self._world.deps.db.transaction(life.organization) as tx:
            cancel_subscription(
                self._world.deps, tx, life.organization, life.external_id, timing=timing, terms=EndTerms(resolution)
            )
        return resolution

    def _call_off(self, life: Life) -> None:
        self._cancel(life, ChangeTiming.NOW)
        life.called_off = True
        self.done["called off"] += 1

    def _withdraw(self, life: Life) -> None:
        with self._world.deps.db.transaction(life.organization) as tx:
            withdraw_change(self._world.deps, tx, life.organization, life.external_id)
        life.promise = None
        self.done["withdrawal"] += 1

    def _refused(self, life: Life) -> None:
        """A second scheduled change is refused and changes nothing."""
        try:
            self._cancel(life, ChangeTiming.PERIOD_END)
        except FailedPreconditionError as error:
            if error.reason != "CHANGE_ALREADY_PENDING":
                raise
            self.done["refused second change"] += 1
        else:
            raise AssertionError(f"{life.external_id} was promised two changes")

    # --- dice -----------------------------------------------------------------------------------------------------

    def _offer(self) -> Offer:
        offers = self._world.offers
        return self._random.choices(offers, [offer.weight for offer in offers])[0]

    def _other_offer(self, life: Life) -> Offer:
        offer = self._offer()
        while offer.code == life.current.offer.code:
            offer = self._offer()
        return offer

    def _resolution(self) -> Resolution:
        kinds = [Resolution.CREDIT, Resolution.REFUND, Resolution.OFFSET, Resolution.NONE]
        return self._random.choices(kinds, [5, 2, 2, 1])[0]

    def _some_end(self, at: datetime, zone: str) -> datetime:
        ending_at = at + timedelta(days=self._random.uniform(100, 800))
        return midnight_of(day_of(ending_at, zone), zone) if self._random.random() < 0.5 else ending_at

    def _pick(self, choices: list[tuple[Callable[[Life], None], int]]) -> Callable[[Life], None]:
        return self._random.choices([choice for choice, _ in choices], [weight for _, weight in choices])[0]
