"""Laws of cost, revenue and margin, for any figures."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from services.kernel.period import Period
from services.kernel.revenue import RevenueKind
from services.margin.domain.costing import CostLine
from services.margin.domain.ledger import Origin, Source, book, reverse
from services.margin.domain.margin import Figures, attribute, total
from services.margin.domain.revenue import AccrualEntry
from services.margin.domain.token import disjoint
from tests.oracles.accrued_revenue import earned_in

START = datetime(2026, 1, 1, tzinfo=UTC)
seconds = st.integers(0, 4_000_000)
instants = st.builds(lambda micro: START + timedelta(microseconds=micro), st.integers(-(10**12), 5 * 10**12))
amounts = st.decimals(-(10**9), 10**9, places=8)
counts = st.decimals(0, 10**12, places=0)
entries = st.builds(
    lambda kind, length, amount: AccrualEntry(kind, "", Period(START, START + timedelta(seconds=length)), amount),
    st.sampled_from(list(RevenueKind)),
    seconds,
    amounts,
)


@given(entries, st.lists(instants, min_size=2, max_size=6), instants)
def test_adjacent_windows_sum_to_the_window_around_them(
    entry: AccrualEntry, cuts: list[datetime], now: datetime
) -> None:
    """Revenue of windows that touch adds up to the revenue of the window around them, wherever it is cut."""
    bounds = sorted(cuts)
    parts = sum(earned_in(entry, Period(a, b), now) for a, b in itertools.pairwise(bounds))
    assert parts == earned_in(entry, Period(bounds[0], bounds[-1]), now)


@given(entries, instants)
def test_the_whole_span_earns_the_whole_amount(entry: AccrualEntry, now: datetime) -> None:
    """Over its whole span an entry earns its amount, no more and no less, exactly."""
    window = Period(entry.period.start, max(entry.period.end, now) + timedelta(microseconds=1))
    assert earned_in(entry, window, now) == entry.amount


@given(amounts, st.dictionaries(st.text(max_size=3), counts, max_size=5))
def test_shares_sum_to_the_amount(amount: Decimal, units: dict[str, Decimal]) -> None:
    """An amount shared out over groups is shared out completely, to the last digit."""
    assert sum(attribute(amount, units).values()) == amount


@given(st.lists(st.builds(Figures, amounts, amounts, counts), max_size=8))
def test_revenue_less_cost_is_the_margin_of_any_group(members: list[Figures]) -> None:
    """The margin of a group is the sum of its members' margins, and a percentage exists only where there is revenue."""
    group = total(members)
    assert group.margin == sum((member.margin for member in members), Decimal(0)) == group.revenue - group.cost
    assert (group.margin_percent is None) == (group.revenue <= 0)


@given(counts, counts, counts, counts, counts)
def test_kinds_of_token_are_disjoint(
    sent: Decimal, got: Decimal, cached: Decimal, written: Decimal, thought: Decimal
) -> None:
    """No token is counted in two kinds: they sum to what was sent and received, and impossible totals are refused."""
    split = disjoint(input_total=sent, output_total=got, cached_input=cached, cache_write=written, reasoning=thought)
    if cached + written > sent or thought > got:
        assert split is None
    else:
        assert split is not None
        assert sum(split.values()) == sent + got


@given(st.lists(st.tuples(amounts, st.one_of(st.none(), amounts)), max_size=5))
def test_a_reversal_leaves_nothing(costs: list[tuple[Decimal, Decimal | None]]) -> None:
    """What is booked and then reversed leaves neither units nor cost nor entries, whatever was booked."""
    origin = Origin("o", Source.USAGE_EVENT, "tx", "c", None, "m", START)
    lines = [CostLine("", "", None, units, amount, amount, "USD", None) for units, amount in costs]
    booked = book(origin, lines, lambda: "id")
    everything = booked + [reverse(entry, lambda: "id") for entry in booked]
    assert sum((entry.line.units for entry in everything), Decimal(0)) == 0
    assert sum((entry.line.amount or Decimal(0) for entry in everything), Decimal(0)) == 0
    assert sum(entry.entry_count for entry in everything) == 0
