"""Commands that are counted together are answered as if each had been alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from services.entitlements.domain.access import Access, Question
from services.entitlements.domain.counting import Books, Command, Commit, Consume, Counted, Release, Reserve
from services.entitlements.domain.feature import FeatureType
from services.entitlements.domain.feature_terms import FeatureTerms, Right, Source
from services.entitlements.domain.hold import Hold, HoldState
from services.entitlements.domain.standing import Entitlement, Standing, balance
from services.entitlements.domain.subscription import Subscription, SubscriptionState
from services.kernel.cadence import Alignment, ResetWindow
from services.kernel.errors import FareboxError

AT = datetime(2026, 5, 10, 12, tzinfo=UTC)
FEATURES = ("calls", "tokens")
amounts = st.integers(1, 40).map(Decimal)
resets = st.sampled_from(ResetWindow)


def standing(feature: str, limit: int, reset: ResetWindow, *, hard: bool) -> Standing:
    subscription = Subscription(
        "id", "one", "acme", "plan", SubscriptionState.ACTIVE, "UTC", Alignment.CALENDAR, AT - timedelta(days=40)
    )
    terms = FeatureTerms(limit=Decimal(limit), is_hard=hard, reset=reset)
    return Standing(
        subscription, entitlement=Entitlement(feature, Right(FeatureType.USAGE_LIMIT, Source.PLAN, "api_call", terms))
    )


@dataclass
class Store:
    """What a database would keep between two commands."""

    standings: dict[str, Standing]
    holds: dict[str, Hold] = field(default_factory=dict)

    def alive(self, feature: str, without: set[str]) -> list[Hold]:
        return [
            hold
            for hold in self.holds.values()
            if hold.feature_code == feature
            and hold.state is HoldState.HELD
            and hold.expires_at > AT
            and hold.id not in without
        ]

    def count(self, commands: list[Command]) -> list[Access | str]:
        """Do commands together: read, do, write."""
        settling = {command.hold_id for command in commands if isinstance(command, Commit | Release)}
        read = []
        for feature, stored in self.standings.items():
            alive = self.alive(feature, settling)
            held_until = min((hold.expires_at for hold in alive), default=None)
            read.append(replace(stored, held=sum((hold.units for hold in alive), Decimal(0)), held_until=held_until))
        by_feature = {standing.key[1]: standing for standing in read}
        books = Books(AT, read, [self.holds[id_] for id_ in settling if id_ in self.holds])
        answers = [_do(books, command, by_feature) for command in commands]
        for after in books.after():
            self.standings[after.key[1]] = after
        self.holds |= {hold.id: hold for hold in [*books.reserved, *books.settled]}
        return answers


def _do(books: Books, command: Command, by_feature: dict[str, Standing]) -> Access | str:
    try:
        match command:
            case Consume():
                counted: Counted = books.consume(command, [by_feature[command.question.feature_code]])
            case Reserve():
                counted = books.reserve(command, [by_feature[command.question.feature_code]])
            case Commit():
                counted = books.commit(command)
            case Release():
                counted = books.release(command)
    except FareboxError as error:
        return error.reason
    return counted.access


def fresh(limits: tuple[int, int], reset: ResetWindow, *, hard: bool) -> Store:
    standings = {name: standing(name, limit, reset, hard=hard) for name, limit in zip(FEATURES, limits, strict=True)}
    holds = [
        Hold(f"hold-{n}", "id", FEATURES[n % 2], Decimal(n + 1), HoldState.HELD, AT + timedelta(minutes=n - 1))
        for n in range(6)
    ]
    return Store(standings, {hold.id: hold for hold in holds})


questions = st.builds(lambda feature, units: Question("acme", feature, "", units), st.sampled_from(FEATURES), amounts)
hold_ids = st.integers(0, 6).map("hold-{}".format)
commands = st.one_of(
    st.builds(Consume, questions, st.just("r")),
    st.builds(Reserve, questions, st.integers(1, 30).map(lambda n: timedelta(minutes=n))),
    st.builds(Commit, hold_ids, st.integers(0, 7).map(Decimal), st.just("r")),
    st.builds(Release, hold_ids),
)


@given(
    st.lists(commands, min_size=1, max_size=12),
    st.tuples(st.integers(0, 100), st.integers(0, 100)),
    resets,
    st.booleans(),
)
def test_together_is_one_after_the_other(
    wanted: list[Command],
    limits: tuple[int, int],
    reset: ResetWindow,
    hard: bool,  # noqa: FBT001 - hypothesis' own
) -> None:
    """The same answers, errors and numbers, and the same state afterwards; and a hard limit is never exceeded."""
    together, alone = fresh(limits, reset, hard=hard), fresh(limits, reset, hard=hard)
    assert together.count(wanted) == [answer for command in wanted for answer in alone.count([command])]
    for feature in FEATURES:
        at_the_end = [
            (balance(store.standings[feature], AT).used, sorted(hold.units for hold in store.alive(feature, set())))
            for store in (together, alone)
        ]
        assert at_the_end[0] == at_the_end[1]
        used, held = at_the_end[0]
        before = sum(hold.units for hold in fresh(limits, reset, hard=hard).alive(feature, set()))
        if hard:
            assert used + sum(held) <= max(Decimal(limits[FEATURES.index(feature)]), before)
