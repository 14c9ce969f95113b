"""Laws of counting: what a batch adds does not depend on how the log was cut into batches."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from services.kernel.ids import BillableMetricId, OrganizationId, SubscriptionId
from services.kernel.money import currency
from services.rating.pricing.catalog import MetricVersion
from services.rating.pricing.metric import Aggregation, BillableMetric
from services.rating.shared.usage_log import ListedUsageEvent
from services.rating.usage.aggregate import PeriodKey
from services.rating.usage.counting import DIGEST_MODULUS, Counted, Counter, event_digest, tally
from services.rating.usage.recount import aggregates_from_log, gather

START = datetime(2024, 1, 1, tzinfo=UTC)

events = st.lists(
    st.builds(
        ListedUsageEvent,
        transaction_id=st.uuids().map(str),
        occurred_at=st.integers(0, 10_000).map(lambda minutes: START + timedelta(minutes=minutes)),
        properties=st.fixed_dictionaries({"value": st.decimals(-100, 100, places=3), "name": st.sampled_from("abc")}),
    ),
    unique_by=lambda event: event.transaction_id,
    max_size=20,
)
aggregations = st.sampled_from([Aggregation.COUNT, Aggregation.SUM, Aggregation.WEIGHTED_SUM])


def counter(aggregation: Aggregation) -> Counter:
    metric = BillableMetric("m", aggregation, None if aggregation is Aggregation.COUNT else "value")
    return Counter(MetricVersion(BillableMetricId("m"), 1, metric, "m", "", START), currency("USD"), "UTC")


def counted_of(own: Counter, listed: list[ListedUsageEvent]) -> Counted:
    (counted,) = gather(own, listed).values()
    return counted


@given(events, st.integers(0, 20), aggregations)
def test_tallies_of_two_batches_add_up_to_the_tally_of_both(
    listed: list[ListedUsageEvent], cut: int, aggregation: Aggregation
) -> None:
    """Wherever the log is cut, the tallies of both halves add up to the tally of the whole."""
    own = counter(aggregation)
    whole = tally(counted_of(own, listed), own, None)
    first, second = (tally(counted_of(own, part), own, None) for part in (listed[:cut], listed[cut:]))
    assert whole.event_count == first.event_count + second.event_count
    assert whole.total == first.total + second.total
    assert whole.moment == first.moment + second.moment
    assert whole.digest == (first.digest + second.digest) % DIGEST_MODULUS


@given(events, aggregations)
def test_a_batch_that_is_taken_back_adds_nothing(listed: list[ListedUsageEvent], aggregation: Aggregation) -> None:
    """Events that are counted and voided in one batch leave no trace in its tally."""
    own = counter(aggregation)
    counted = Counted()
    for event in listed:
        measurement = own.measure(event)
        counted.count(measurement, is_void=False)
        counted.count(measurement, is_void=True)
    nothing = tally(counted, own, None)
    assert (nothing.event_count, nothing.total, nothing.moment, nothing.digest) == (0, Decimal(0), Decimal(0), 0)


@given(events, st.randoms(use_true_random=False))
def test_a_digest_does_not_depend_on_order(listed: list[ListedUsageEvent], dice: st.random_module) -> None:
    """Two who counted the same events have the same digest, in whichever order they came."""
    own = counter(Aggregation.COUNT)
    shuffled = list(listed)
    dice.shuffle(shuffled)
    expected = sum(event_digest(event.transaction_id) for event in listed) % DIGEST_MODULUS
    assert tally(counted_of(own, shuffled), own, None).digest == expected


@given(events, aggregations | st.sampled_from([Aggregation.MAX, Aggregation.LATEST]), st.randoms(use_true_random=False))
def test_the_same_events_give_the_same_aggregate(
    listed: list[ListedUsageEvent], aggregation: Aggregation, shuffle: Random
) -> None:
    """In whatever order the log lists them, what is priced is the same."""
    own, shuffled = counter(aggregation), list(listed)
    shuffle.shuffle(shuffled)
    key = PeriodKey(OrganizationId("o"), SubscriptionId("s"), START)
    assert aggregates_from_log(key, own, listed) == aggregates_from_log(key, own, shuffled)
