"""Laws of entitlements that hold for any numbers, order and time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
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
from services.entitlements.domain.usage import Growth, UsageKey, UsageTotal, growths, newest
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
    standing = replace(limited(FeatureTerms(limit=limit, is_hard=hard)), announced=used)
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
NOWHERE = {KEY.organization_id: datetime(2030, 1, 1, tzinfo=UTC)}


@given(
    st.lists(st.tuples(st.integers(0, 10), st.dictionaries(st.dates(), units, max_size=3)), min_size=1, max_size=12),
    st.data(),
)
def test_days_count_every_announcement_once(steps: list[tuple[int, dict[date, Decimal]]], data: st.DataObject) -> None:
    """In any split into batches, with any of them told again, each day sums what was announced of it."""
    totals, sums = [], dict.fromkeys(range(11), Decimal(0))
    for revision, (month, days) in enumerate(steps, 1):
        sums[month] += sum(days.values(), Decimal(0))
        totals.append(UsageTotal(KEY, MONTHS[month], sums[month], revision, days))
    counted: dict[date, Decimal] = {}
    known: dict[tuple[UsageKey, datetime], tuple[Decimal, int]] = {}
    rest = list(totals)
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        batch, rest = rest[:size], rest[size:]
        for told in (batch, batch[:2]):
            for growth in growths(told, known, NOWHERE):
                for day, amount in growth.days.items():
                    counted[day] = counted.get(day, Decimal(0)) + amount
            known |= {
                place: (total.units, total.revision)
                for place, total in newest(told).items()
                if total.revision > known.get(place, (Decimal(0), -1))[1]
            }
    expected: dict[date, Decimal] = {}
    for _, days in steps:
        for day, amount in days.items():
            expected[day] = expected.get(day, Decimal(0)) + amount
    assert {day: amount for day, amount in counted.items() if amount} == {
        day: amount for day, amount in expected.items() if amount
    }


@given(st.lists(st.tuples(units, st.dates()), min_size=1, max_size=8))
def test_what_does_not_add_up_counts_by_the_rise_of_its_total(steps: list[tuple[Decimal, date]]) -> None:
    """Of a maximum, each rise counts on the day that caused it, so that all days together are the total."""
    totals = [UsageTotal(KEY, MONTHS[0], units, n, {day: None}) for n, (units, day) in enumerate(steps, 1)]
    (found,) = growths(totals, {}, NOWHERE) or [Growth(KEY, {}, is_current=False)]
    assert sum(found.days.values(), Decimal(0)) == steps[-1][0]


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
        """Consumed and held units together never exceed the limit, and the balance equals the ledger."""
        held = sum((hold.units for hold in self.alive()), Decimal(0))
        assert balance(self.standing, self.at).used == self.ledger
        assert self.ledger + held <= self.LIMIT


TestHardLimit = HardLimit.TestCase
TestHardLimit.settings = settings(max_examples=60, stateful_step_count=25)
