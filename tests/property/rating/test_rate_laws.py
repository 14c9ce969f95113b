"""Laws of rating: they hold for every price, every order of events and every split of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from services.kernel.cadence import MONTHLY, Alignment, Cadence, midnight, period_containing
from services.kernel.ids import ChargeId, SubscriptionId
from services.kernel.money import CURRENCIES
from services.kernel.period import Period
from services.rating.pricing.advance import accrue
from services.rating.pricing.aggregation import AGGREGATES, Aggregate, DailySum
from services.rating.pricing.charge_filter import Bucket
from services.rating.pricing.charge_usage import ChargeUsage, Window
from services.rating.pricing.charges import (
    ChargeModel,
    Dynamic,
    Graduated,
    GraduatedPercentage,
    Package,
    Percentage,
    PercentageTier,
    Standard,
    Tier,
    Transactions,
    Usage,
    Volume,
    price,
)
from services.rating.pricing.metric import Aggregation, BillableMetric, Measurement
from services.rating.pricing.plan import Charge
from services.rating.pricing.proration import day_share
from services.rating.pricing.rate import RatedFor, rate_charge

D = Decimal
START = datetime(2024, 2, 1, tzinfo=UTC)
FEBRUARY = Period(START, datetime(2024, 3, 1, tzinfo=UTC))
WINDOW = Window(FEBRUARY, FEBRUARY, "UTC")
ZONES = st.sampled_from(["UTC", "America/New_York", "Asia/Tokyo", "Pacific/Apia"])

amounts = st.decimals(0, 10_000, places=4)
quantities = st.decimals(0, 1_000_000, places=3)
numbers = st.one_of(st.decimals(-1_000, 1_000, places=3), st.sampled_from([D("1e30"), D("-1e30"), D("1e-30")]))


@st.composite
def tier_bounds(draw: st.DrawFn) -> list[Decimal | None]:
    """Ascending bounds, the last open."""
    bounds = draw(st.lists(st.decimals(D("0.1"), 10_000, places=1), max_size=4, unique=True))
    return [*sorted(bounds), None]


tiers = tier_bounds().flatmap(
    lambda bounds: st.tuples(*(st.builds(Tier, st.just(bound), amounts, amounts) for bound in bounds))
)
rate_tiers = tier_bounds().flatmap(
    lambda bounds: st.tuples(*(st.builds(PercentageTier, st.just(bound), amounts, amounts) for bound in bounds))
)
positive = st.decimals(D("0.001"), 10_000, places=3)
percentages = st.builds(
    Percentage,
    rate_percent=st.decimals(0, 100, places=2),
    fixed_amount=amounts,
    free_events=st.none() | st.integers(1, 5),
    free_amount=st.none() | positive,
)
monotone_models = st.one_of(
    st.builds(Standard, amounts),
    st.builds(Graduated, tiers),
    st.builds(Package, amounts, positive, quantities),
    st.builds(GraduatedPercentage, rate_tiers),
)
unit_models = monotone_models | st.builds(Volume, tiers)


@st.composite
def event_lists(draw: st.DrawFn, *, least: str = "-1000", size: int = 12) -> list[Measurement]:
    """Deduplicated events of February, several of which may share an instant."""
    values = numbers if D(least) < 0 else st.decimals(least, 1_000, places=2)
    seconds = draw(st.lists(st.integers(0, 29 * 86_400 - 1) | st.integers(0, 3), max_size=size))
    return [
        Measurement(
            event_id=f"event-{number}",
            at=START + timedelta(seconds=second),
            number=draw(values),
            text=draw(st.sampled_from("abc")),
            is_removal=draw(st.booleans()),
            precise_amount=draw(amounts),
        )
        for number, second in enumerate(seconds)
    ]


def split(events: Sequence[Measurement], pieces: Sequence[int]) -> list[list[Measurement]]:
    """The events dealt into four piles."""
    piles: list[list[Measurement]] = [[], [], [], []]
    for event, piece in zip(events, pieces, strict=False):
        piles[piece].append(event)
    return piles


shuffles = st.randoms(use_true_random=False)
pieces = st.lists(st.integers(0, 3), min_size=12, max_size=12)


# --- aggregates -----------------------------------------------------------------------------------------------------


def empty_states() -> list[Aggregate]:
    """One of each aggregate."""
    return [*(state() for state in AGGREGATES.values()), DailySum("Asia/Tokyo")]


@given(event_lists(), shuffles)
def test_order_does_not_matter(events: list[Measurement], shuffle: Any) -> None:
    """The same events in any order, one by one or at once, give the same state."""
    shuffled = list(events)
    shuffle.shuffle(shuffled)
    for empty in empty_states():
        one_by_one = empty
        for event in shuffled:
            one_by_one = one_by_one.add([event])
        assert empty.add(events) == one_by_one


@given(event_lists(), pieces)
def test_states_merge_in_any_grouping(events: list[Measurement], dealt: list[int]) -> None:
    """Merging is associative and commutative, has the empty state as neutral, and equals adding everything."""
    for empty in empty_states():
        a, b, c, d = (empty.add(pile) for pile in split(events, dealt))
        whole = empty.add(events)
        assert a.merge(b).merge(c.merge(d)) == d.merge(c).merge(b).merge(a) == whole
        assert whole.merge(empty) == empty.merge(whole) == whole


@given(event_lists(), event_lists(size=3))
def test_a_voided_event_leaves_no_trace(events: list[Measurement], more: list[Measurement]) -> None:
    """Without an event the units are those of the others, or the state says that it cannot know."""
    added = [event._replace(event_id=f"more-{number}") for number, event in enumerate(more)]
    for empty in empty_states():
        for voided in added[:1]:
            state = empty.add([*events, *added]).without(voided)
            others = empty.add([*events, *added[1:]])
            assert state is None or (state.units, state.event_count) == (others.units, others.event_count)


@given(event_lists(), event_lists(), pieces)
def test_carrying_is_the_running_value(before: list[Measurement], after: list[Measurement], dealt: list[int]) -> None:
    """A recurring metric's units are those of all its history, whatever is merged when."""
    later = [event._replace(event_id=f"x{event.event_id}", at=event.at + timedelta(days=29)) for event in after]
    for aggregation in (Aggregation.SUM, Aggregation.UNIQUE_COUNT, Aggregation.WEIGHTED_SUM):
        empty = AGGREGATES[aggregation]()
        a, b, c, d = (empty.add(pile) for pile in split(later, dealt))
        running = empty.add(before).carry().merge(a).merge(b).merge(c).merge(d)
        assert running.units == empty.add(before).add(later).units


@given(event_lists(), st.integers(0, 29))
def test_weighted_sums_split_over_time(events: list[Measurement], day: int) -> None:
    """What is held until a day and from that day on sums to what is held over the whole period."""
    cut = START + timedelta(days=day)
    metric = AGGREGATES[Aggregation.WEIGHTED_SUM]()
    before = metric.add([event for event in events if event.at < cut])
    after = before.carry().add([event for event in events if event.at >= cut])
    first = before.units_over(Period(START, cut), FEBRUARY)  # type: ignore[union-attr]
    second = after.units_over(Period(cut, FEBRUARY.end), FEBRUARY)  # type: ignore[union-attr]
    whole = metric.add(events).units_over(FEBRUARY, FEBRUARY)  # type: ignore[union-attr]
    assert abs(first + second - whole) <= D("1e-15")


# --- prices ---------------------------------------------------------------------------------------------------------


@given(unit_models, st.decimals(-1_000, 1_000_000, places=3))
def test_lines_sum_to_the_amount(model: ChargeModel, units: Decimal) -> None:
    """Every amount explains itself, and none is below zero."""
    priced = price(model, Usage(units))
    assert sum((line.amount for line in priced.lines), D(0)) == priced.amount >= 0


@given(monotone_models, quantities, quantities)
def test_more_units_never_cost_less(model: ChargeModel, units: Decimal, more: Decimal) -> None:
    """For every model that promises it; volume does not."""
    assert price(model, Usage(units)).amount <= price(model, Usage(units + more)).amount


@given(unit_models, st.lists(quantities, max_size=8))
def test_increments_sum_to_the_period(model: ChargeModel, added: list[Decimal]) -> None:
    """However usage is split, what its parts add is what the whole costs."""
    level, amount = Usage(D(0)), D(0)
    for number, units in enumerate(added, 1):
        after = Usage(level.units + units, number)
        amount += accrue(model, level, after)
        level = after
    assert amount == (price(model, level).amount if added else 0)


@given(tiers, quantities, quantities)
def test_graduated_units_are_priced_once(steps: tuple[Tier, ...], units: Decimal, more: Decimal) -> None:
    """The tiers' lines share the units out without gap or overlap."""
    priced = price(Graduated(steps), Usage(units))
    assert sum((line.units for line in priced.lines), D(0)) == units
    flat = tuple(replace(tier, flat_amount=D(0)) for tier in steps)
    whole, part = (price(Graduated(flat), Usage(each)).amount for each in (units + more, units))
    cheapest, dearest = min(tier.unit_amount for tier in steps), max(tier.unit_amount for tier in steps)
    assert more * cheapest <= whole - part <= more * dearest


def percentage_usage(model: Percentage, events: Sequence[Measurement]) -> Usage:
    """Usage of a percentage with all its transactions."""
    total = sum((event.number for event in events), D(0))
    return Usage(total, len(events), Transactions(model.terms).add(events))


@given(percentages, event_lists(least="0"))
def test_a_bound_that_never_binds_changes_nothing(model: Percentage, events: list[Measurement]) -> None:
    """Neither a maximum above every transaction nor a minimum of nothing."""
    bounded = replace(model, per_transaction_min_amount=D(0), per_transaction_max_amount=D(10_000_000))
    unbounded = price(model, percentage_usage(model, events)).amount
    assert price(bounded, percentage_usage(bounded, events)).amount == unbounded


@given(percentages, st.none() | amounts, amounts, event_lists(least="0"), pieces, shuffles)
def test_transactions_merge_in_any_grouping(
    model: Percentage, least: Decimal | None, room: Decimal, events: list[Measurement], dealt: list[int], shuffle: Any
) -> None:
    """The bounded state of a percentage equals pricing every event in order."""
    model = replace(
        model, per_transaction_min_amount=least, per_transaction_max_amount=None if least is None else least + room
    )
    empty, shuffled = Transactions(model.terms), list(events)
    shuffle.shuffle(shuffled)
    a, b, c, d = (empty.add(pile) for pile in split(shuffled, dealt))
    whole = empty.add(events)
    assert d.merge(a).merge(b.merge(c)) == a.merge(b).merge(c).merge(d) == whole
    assert price(model, Usage(D(0), 0, whole)).amount == sum(in_order(model, events), D(0))


def in_order(model: Percentage, events: Sequence[Measurement]) -> list[Decimal]:
    """Each transaction's amount by the definition, event after event."""
    paid, used, has_ended = [], D(0), model.free_events is None and model.free_amount is None
    for number, event in enumerate(sorted(events, key=lambda each: (each.at, each.event_id)), 1):
        left = D(0) if has_ended else event.number
        if not has_ended and model.free_amount is not None:
            left = min(left, model.free_amount - used)
        used += event.number
        if event.number > left or has_ended:
            amount = (event.number - left) * model.rate_percent / 100 + model.fixed_amount
            amount = (
                amount if model.per_transaction_min_amount is None else max(amount, model.per_transaction_min_amount)
            )
            amount = (
                amount if model.per_transaction_max_amount is None else min(amount, model.per_transaction_max_amount)
            )
            paid.append(amount)
        has_ended = has_ended or number == model.free_events
        has_ended = has_ended or (model.free_amount is not None and used >= model.free_amount)
    return paid


@given(tiers, event_lists())
def test_changes_held_all_period_cost_what_the_units_cost(steps: tuple[Tier, ...], events: list[Measurement]) -> None:
    """A prorated graduated price of a value carried in is the plain one."""
    metric = BillableMetric("m", Aggregation.SUM, "n", recurring=True)
    held = ChargeUsage.empty(metric, Graduated(steps), prorated=True).add(events).carry()
    usage = held.usage(metric, WINDOW)
    assume(usage.units > 0)
    assert price(Graduated(steps), usage).amount == price(Graduated(steps), Usage(usage.units)).amount


@given(unit_models | st.just(Dynamic()), event_lists(), shuffles, st.booleans())
def test_the_same_events_give_the_same_fees(
    model: ChargeModel,
    events: list[Measurement],
    shuffle: Any,
    prorated: bool,  # noqa: FBT001
) -> None:
    """In whatever order and pieces they come, duplicates having been removed."""
    prorated = prorated and isinstance(model, Standard | Graduated)
    metric = BillableMetric("m", Aggregation.SUM, "n", recurring=True)
    charge = Charge(ChargeId("c"), "m", model, prorated=prorated)
    rated_for = RatedFor(SubscriptionId("s"), "p", CURRENCIES["JPY"], WINDOW)
    twice = [*events, *events]
    shuffle.shuffle(twice)
    state = ChargeUsage.empty(metric, model, prorated=prorated)
    for event in {each.event_id: each for each in twice}.values():
        state = state.merge(ChargeUsage.empty(metric, model, prorated=prorated).add([event]))
    at_once = ChargeUsage.empty(metric, model, prorated=prorated).add(events)
    assert rate_charge(charge, metric, {Bucket(): state}, rated_for) == rate_charge(
        charge, metric, {Bucket(): at_once}, rated_for
    )


# --- proration ------------------------------------------------------------------------------------------------------


@given(amounts, st.datetimes(START.replace(tzinfo=None), timezones=st.just(UTC)), ZONES, st.lists(st.integers(0, 31)))
def test_adjacent_parts_sum_to_the_whole(amount: Decimal, at: datetime, timezone: str, days: list[int]) -> None:
    """Cut a period at any local midnights: the parts' amounts sum to the price to the last decimal."""
    assume(at.year < 9000)
    period = period_containing(Cadence(MONTHLY, Alignment.ANNIVERSARY, START, timezone), at)
    first = period.start.astimezone(UTC)
    origin = (first + timedelta(hours=26)).date() - timedelta(days=1)
    cuts = sorted(cut for cut in {midnight(origin + timedelta(days=day), timezone) for day in days} if cut in period)
    edges = [period.start, *(cut for cut in cuts if cut != period.start), period.end]
    parts = [Period(*pair) for pair in itertools.pairwise(edges)]
    shares = [day_share(part, period, timezone) for part in parts]
    assert sum(share.days for share in shares) == shares[0].days_in_period
    assert sum((share.of(amount) for share in shares), D(0)) == amount
