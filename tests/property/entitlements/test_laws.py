"""Laws of entitlements that hold for any numbers, order and time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.entitlements.domain.access import Question, Reason, decide
from services.entitlements.domain.feature import FeatureType
from services.entitlements.domain.feature_terms import FeatureTerms, Right, Source
from services.entitlements.domain.hold import Hold, HoldState, commit, release
from services.entitlements.domain.standing import Entitlement, Standing, balance, consume
from services.entitlements.domain.subscription import MONTHLY_PLAN, Subscription, SubscriptionState, window_of
from services.entitlements.domain.usage import UsageKey, UsageTotal, growth, newest
from services.kernel.cadence import Alignment, ResetWindow
from services.kernel.period import Period

START = datetime(2026, 1, 31, 23, tzinfo=UTC)
instants = st.datetimes(datetime(2026, 2, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
units = st.decimals(0, 1000, places=3)
resets = st.sampled_from(ResetWindow)
zones = st.sampled_from(["UTC", "Asia/Tokyo", "Europe/Paris", "America/New_York", "Pacific/Kiritimati"])
KEY = UsageKey("organization", "subscription", "api_call")


def subscription(zone: str = "UTC", alignment: Alignment = Alignment.CALENDAR) -> Subscription:
    return Subscription("id", "one", "acme", "plan", SubscriptionState.ACTIVE, zone, alignment, START)


def limited(terms: FeatureTerms, zone: str = "UTC") -> Standing:
    right = Right(FeatureType.USAGE_LIMIT, Source.PLAN, "api_call", terms)
    return Standing(subscription(zone), entitlement=Entitlement("calls", right))


@given(resets, zones, st.sampled_from(Alignment), instants)
def test_a_window_holds_its_instant(reset: ResetWindow, zone: str, alignment: Alignment, at: datetime) -> None:
    """And every instant of a window has the same window."""
    window = window_of(reset, subscription(zone, alignment), MONTHLY_PLAN, at)
    if window is not None:
        assert at in window
        for other in (window.start, window.end - timedelta(microseconds=1)):
            assert window_of(reset, subscription(zone, alignment), MONTHLY_PLAN, other) == window


@given(limit=units, used=units, asked=units, at=instants, hard=st.booleans())
def test_the_answer_agrees_with_its_numbers(
    limit: Decimal, used: Decimal, asked: Decimal, at: datetime, *, hard: bool
) -> None:
    """Allowed exactly where the units fit or the limit is soft; remaining and overage are never both more than 0."""
    standing = replace(limited(FeatureTerms(limit=limit, is_hard=hard)), period_units=used)
    access = decide(Question("acme", "calls", "", asked), [standing], at=at, revision=1)
    fits = used + asked <= limit
    assert access.is_allowed == (fits or not hard)
    assert (access.reason is Reason.WITHIN_LIMIT) == fits
    assert access.remaining is not None
    assert access.remaining - access.overage == limit - used
    assert min(access.remaining, access.overage) == 0


@given(resets, zones, st.lists(st.tuples(instants, units), min_size=1, max_size=10))
def test_consumption_of_a_window_is_its_sum(
    reset: ResetWindow, zone: str, steps: list[tuple[datetime, Decimal]]
) -> None:
    """However consumption is spread over time, a window counts what was consumed in it, and nothing else."""
    standing = limited(FeatureTerms(limit=None, reset=reset), zone)
    steps.sort(key=lambda step: step[0])
    for at, amount in steps:
        standing = consume(standing, amount, at)
    at = steps[-1][0]
    window = window_of(reset, standing.subscription, MONTHLY_PLAN, at)
    assert balance(standing, at).used == sum(amount for when, amount in steps if window is None or when in window)


MONTHS = [
    Period(datetime(2026, month, 1, tzinfo=UTC), datetime(2026, month + 1, 1, tzinfo=UTC)) for month in range(1, 12)
]
totals = st.builds(
    lambda month, amount, revision: UsageTotal(KEY, MONTHS[month], amount, revision),
    st.integers(0, 10),
    units,
    st.integers(1, 20),
)


@given(st.lists(totals, min_size=1, max_size=20, unique_by=lambda total: total.revision), st.randoms())
def test_totals_in_any_order(given_totals: list[UsageTotal], random: object) -> None:
    """Applied in any order, any of them twice, the newest revision of each period is counted once."""
    shuffled = [*given_totals, *given_totals[:3]]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    known: dict[Period, UsageTotal] = {}
    ever = Decimal(0)
    for total in shuffled:
        before = known.get(total.period)
        if before is not None and total.revision <= before.revision:
            continue
        known[total.period] = total
        found = growth(KEY, [(total, before.units if before else Decimal(0))], timezone="UTC", at=MONTHS[4].start)
        ever += found.ever if found else 0
    assert ever == sum(total.units for total in newest(given_totals).values())


@given(st.lists(units, min_size=1, max_size=8), zones, instants)
def test_growth_in_pieces_is_growth_at_once(steps: list[Decimal], zone: str, at: datetime) -> None:
    """The windows count the same whether a total grew in many announcements or in one."""
    period = Period(at - timedelta(days=1), at + timedelta(days=1))
    pieces: dict[ResetWindow, Decimal] = {}
    before = Decimal(0)
    for revision, step in enumerate(steps):
        total = UsageTotal(KEY, period, before + step, revision)
        found = growth(KEY, [(total, before)], timezone=zone, at=at)
        for reset, (_, amount) in found.windows.items() if found else ():
            pieces[reset] = pieces.get(reset, Decimal(0)) + amount
        before += step
    whole = growth(KEY, [(UsageTotal(KEY, period, before, 99), Decimal(0))], timezone=zone, at=at)
    assert pieces == ({reset: amount for reset, (_, amount) in whole.windows.items()} if whole else {})


class HardLimit(RuleBasedStateMachine):
    """Consume, reserve, commit, release and time in any order: what is granted is never exceeded."""

    LIMIT = Decimal(100)

    def __init__(self) -> None:
        super().__init__()
        self.at = datetime(2026, 5, 10, 12, tzinfo=UTC)
        self.standing = limited(FeatureTerms(limit=self.LIMIT, is_hard=True, reset=ResetWindow.NEVER))
        self.holds: dict[str, Hold] = {}
        self.ledger = Decimal(0)

    def alive(self) -> list[Hold]:
        return [hold for hold in self.holds.values() if hold.state is HoldState.HELD and hold.expires_at > self.at]

    def asks(self, amount: Decimal) -> bool:
        self.standing = replace(self.standing, held=sum((hold.units for hold in self.alive()), Decimal(0)))
        return decide(Question("acme", "calls", "", amount), [self.standing], at=self.at, revision=1).is_allowed

    @rule(amount=units)
    def consume(self, amount: Decimal) -> None:
        if self.asks(amount):
            self.standing = consume(self.standing, amount, self.at)
            self.ledger += amount

    @rule(amount=st.decimals("0.001", 60, places=3), minutes=st.integers(1, 30))
    def reserve(self, amount: Decimal, minutes: int) -> None:
        if self.asks(amount):
            name = str(len(self.holds))
            until = self.at + timedelta(minutes=minutes)
            self.holds[name] = Hold(name, "id", "calls", amount, HoldState.HELD, until)

    @precondition(lambda self: self.alive())
    @rule(data=st.data(), share=st.integers(0, 100))
    def commit(self, data: st.DataObject, share: int) -> None:
        hold = data.draw(st.sampled_from(self.alive()))
        used = hold.units * share / 100
        self.holds[hold.id] = commit(hold, used, at=self.at)
        self.standing = consume(self.standing, used, self.at)
        self.ledger += used

    @precondition(lambda self: self.alive())
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        hold = data.draw(st.sampled_from(self.alive()))
        self.holds[hold.id] = release(hold, at=self.at)

    @rule(minutes=st.integers(1, 20))
    def wait(self, minutes: int) -> None:
        self.at += timedelta(minutes=minutes)

    @invariant()
    def never_overspent(self) -> None:
        """What was consumed and what is held never come to more than the limit, and the balance is the ledger."""
        held = sum((hold.units for hold in self.alive()), Decimal(0))
        assert balance(self.standing, self.at).used == self.ledger
        assert self.ledger + held <= self.LIMIT


TestHardLimit = HardLimit.TestCase
TestHardLimit.settings = settings(max_examples=60, stateful_step_count=25)
