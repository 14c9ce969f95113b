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
from services.kernel.period import Period
from services.rating.pricing.aggregation import DailySum, Latest, Max, Sum, UniqueCount, WeightedSum
from services.rating.pricing.charge_usage import ChargeUsage, Window
from services.rating.pricing.charges import (
    ChargeModel,
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
from services.rating.pricing.metric import Aggregation, BillableMetric, Measurement, Rounding, RoundingFunction
from services.rating.pricing.proration import day_share
from tests.support.rating.usage import used

D = Decimal
START = datetime(2024, 2, 1, tzinfo=UTC)
FEBRUARY = Period(START, datetime(2024, 3, 1, tzinfo=UTC))
WINDOW = Window(FEBRUARY, FEBRUARY, "UTC", FEBRUARY, FEBRUARY)
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


EMPTY_STATES = (Sum(), Max(), Latest(), UniqueCount(), WeightedSum(), DailySum("Asia/Tokyo"))


@given(event_lists(), shuffles)
def test_order_does_not_matter(events: list[Measurement], shuffle: Any) -> None:
    """The same events in any order, one by one or at once, give the same state."""
    shuffled = list(events)
    shuffle.shuffle(shuffled)
    for empty in EMPTY_STATES:
        one_by_one = empty
        for event in shuffled:
            one_by_one = one_by_one.add([event])
        assert empty.add(events) == one_by_one


@given(event_lists(), st.integers(0, 29))
def test_weighted_sums_split_over_time(events: list[Measurement], day: int) -> None:
    """What is held until a day and from that day on sums to what is held over the whole period."""
    cut = START + timedelta(days=day)
    before = WeightedSum().add([event for event in events if event.at < cut])
    after = WeightedSum(carried=before.units).add([event for event in events if event.at >= cut])
    first = before.units_over(Period(START, cut), FEBRUARY)
    second = after.units_over(Period(cut, FEBRUARY.end), FEBRUARY)
    whole = WeightedSum().add(events).units_over(FEBRUARY, FEBRUARY)
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


@given(tiers, quantities, quantities)
def test_graduated_units_are_priced_once(steps: tuple[Tier, ...], units: Decimal, more: Decimal) -> None:
    """The tiers' lines share the units out without gap or overlap."""
    priced = price(Graduated(steps), Usage(units))
    assert sum((line.units for line in priced.lines), D(0)) == units
    flat = tuple(replace(tier, flat_amount=D(0)) for tier in steps)
    whole, part = (price(Graduated(flat), Usage(quantity)).amount for quantity in (units + more, units))
    cheapest, dearest = min(tier.unit_amount for tier in steps), max(tier.unit_amount for tier in steps)
    assert more * cheapest <= whole - part <= more * dearest


roundings = st.none() | st.builds(Rounding, st.sampled_from(RoundingFunction), st.integers(-2, 2))


@given(percentages, event_lists(least="0"), roundings, st.just(D(0)) | amounts)
def test_a_bound_that_never_binds_changes_nothing(
    model: Percentage, events: list[Measurement], rounding: Rounding | None, carried: Decimal
) -> None:
    """Neither a maximum above every transaction nor a minimum of nothing, however the metric rounds."""
    metric = BillableMetric("m", Aggregation.SUM, "n", recurring=True, rounding=rounding)
    bounded = replace(model, per_transaction_min_amount=D(0), per_transaction_max_amount=D(10_000_000))
    amounts_of = []
    for charge_model in (model, bounded):
        state = used(metric, charge_model, events)
        assert isinstance(state.aggregate, Sum)
        state = replace(state, aggregate=replace(state.aggregate, carried=carried))
        amounts_of.append(price(charge_model, state.usage(metric, WINDOW)).amount)
    assert amounts_of[0] == amounts_of[1]


@given(percentages, st.none() | amounts, amounts, event_lists(least="0"), pieces, shuffles)
def test_transactions_add_up_in_any_order_and_grouping(
    model: Percentage, least: Decimal | None, room: Decimal, events: list[Measurement], dealt: list[int], shuffle: Any
) -> None:
    """The bounded state of a percentage equals pricing every event in order."""
    model = replace(
        model, per_transaction_min_amount=least, per_transaction_max_amount=None if least is None else least + room
    )
    empty, shuffled = Transactions(model.terms), list(events)
    shuffle.shuffle(shuffled)
    whole, piled = empty.add(events), empty
    for pile in split(shuffled, dealt):
        piled = piled.add(pile)
    assert piled == whole
    assert price(model, Usage(D(0), transactions=whole)).amount == sum(in_order(model, events), D(0))


def in_order(model: Percentage, events: Sequence[Measurement]) -> list[Decimal]:
    """Each transaction's amount by the definition, event after event."""
    paid, used, has_ended = [], D(0), model.free_events is None and model.free_amount is None
    for number, event in enumerate(sorted(events, key=lambda measurement: (measurement.at, measurement.event_id)), 1):
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
    carried = Sum().add(events).units
    usage = ChargeUsage(DailySum("UTC", carried=carried)).usage(metric, WINDOW)
    assume(usage.units > 0)
    assert price(Graduated(steps), usage).amount == price(Graduated(steps), Usage(usage.units)).amount


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
