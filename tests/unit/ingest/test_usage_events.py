"""Columns say what rows say, and some of them are the same events in the order asked for."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.billability import METRIC_UNKNOWN, Reason
from services.ingest.domain.usage_event import UsageEvent
from services.ingest.domain.usage_events import UsageEvents
from services.ingest.pipeline.prepare import PreparedUsageEvents
from services.ingest.pipeline.resolve import Target
from services.kernel.ids import OrganizationId

names = st.text(max_size=3)
sent = st.lists(
    st.builds(
        UsageEvent,
        names,
        names,
        names,
        names,
        st.none() | st.integers(),
        st.sampled_from([b"{}", b'{"a":1}']),
        st.none() | st.just(Decimal("1.5")),
    ),
    max_size=6,
)
ORGANIZATION = OrganizationId("00000000-0000-7000-8000-000000000000")
TARGETS = [Target(ORGANIZATION, shard, "acme", None, b"", b"") for shard in range(6)]


def _indices(count: int) -> st.SearchStrategy[list[int]]:
    return st.permutations(range(count)).flatmap(lambda order: st.integers(0, count).map(lambda size: order[:size]))


def _prepared(events: list[UsageEvent], reasons: dict[int, Reason]) -> PreparedUsageEvents:
    """Columns that tell events apart."""
    count = len(events)
    keys, hashes, rows, entries = (
        [f"{column}{index}".encode() for index in range(count)] for column in ("key", "hash", "row", "entry")
    )
    columns = UsageEvents.of(events)
    return PreparedUsageEvents(columns, keys, hashes, rows, entries, TARGETS[:count], list(range(count)), reasons)


@given(sent)
def test_columns_and_rows_are_the_same_events(events: list[UsageEvent]) -> None:
    columns = UsageEvents.of(iter(events))
    assert len(columns) == len(events)
    assert [columns.event(index) for index in range(len(columns))] == events
    assert columns.places == [event[1:4] for event in events]
    assert columns.transaction_ids == [event.transaction_id for event in events]


@given(sent, st.data())
def test_some_of_the_events(events: list[UsageEvent], data: st.DataObject) -> None:
    indices = data.draw(_indices(len(events)))
    assert UsageEvents.of(events).select(indices) == UsageEvents.of(events[index] for index in indices)


@given(sent, st.data())
def test_some_of_the_prepared_events_keep_their_own(events: list[UsageEvent], data: st.DataObject) -> None:
    indices = data.draw(_indices(len(events)))
    drawn = data.draw(st.sets(st.sampled_from(range(len(events))))) if events else set()
    reasons = {index: METRIC_UNKNOWN._replace(description=str(index)) for index in drawn}
    whole = _prepared(events, reasons)
    some = whole.select(indices)
    assert len(some) == len(indices)
    assert some.events == whole.events.select(indices)
    # Every column, whatever columns there are, goes the same way.
    for name in ("keys", "content_hashes", "rows", "entries", "targets", "occurred_us"):
        assert getattr(some, name) == [getattr(whole, name)[index] for index in indices]
    assert [some.reasons.get(place) for place in range(len(some))] == [reasons.get(index) for index in indices]
    assert len(some.reasons) == len(drawn & set(indices))
