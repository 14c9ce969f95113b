"""Any interleaving of batches, retries, repeats and conflicts leaves the same log as the set of distinct ids."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.domain.billability import FOREVER_US, Metric, Needs, Subscription
from services.ingest.domain.outcome import Outcome
from services.ingest.domain.repeat import Content, Original
from services.ingest.domain.usage_event import UsageEvent
from services.ingest.domain.usage_events import Place, UsageEvents
from services.ingest.pipeline.answer import answer_all
from services.ingest.pipeline.catalog_cache import OrganizationCatalog
from services.ingest.pipeline.dedupe import Deduplication
from services.ingest.pipeline.prepare import PreparedUsageEvents, Preparer
from services.ingest.pipeline.queue import Submission
from services.ingest.pipeline.resolve import make_route
from services.ingest.store import catalog as catalog_store
from services.ingest.store import log as log_store
from services.kernel.ids import OrganizationId, new_id
from services.kernel.instant import to_us

ORGANIZATION = OrganizationId("00010203-0405-7607-8809-0a0b0c0d0e0f")
MIDNIGHT_US = to_us(datetime(2026, 3, 1, tzinfo=UTC))
HOUR_US = 3600 * 1_000_000
# Ids of two months, whose keys lie in different partitions, and ids that are no UUIDv7 at all.
IDS = ["019c0000-0000-7000-8000-000000000001", "01a20000-0000-7000-8000-000000000001", "order-1", "order-2"]
CODE = "api_call"
METRIC = Metric(CODE, Needs.NUMBER, "n")
# Whose events can be billed from midnight on, and whose cannot.
SUBSCRIBED, STRANGER = "acme", "nobody"
SUBSCRIPTION = Subscription(new_id(), "sub", SUBSCRIBED, MIDNIGHT_US, FOREVER_US)
# What an event says: number, extra text, customer.
Said = tuple[int | None, str, str]
# The first content and time of each id, and when it was received.
Model = dict[str, tuple[Said, int | None, int]]

# Number (none cannot be billed), whether it is written the long way, extra text, customer.
contents = st.tuples(
    st.none() | st.integers(0, 2),
    st.booleans(),
    st.sampled_from(["a", "b"]),
    st.sampled_from([SUBSCRIBED, SUBSCRIBED, STRANGER]),
)
times = st.one_of(st.none(), st.sampled_from([MIDNIGHT_US - HOUR_US, MIDNIGHT_US, MIDNIGHT_US + HOUR_US]))
sent = st.tuples(st.sampled_from(IDS), contents, times)
batches = st.lists(st.lists(sent, min_size=1, max_size=6), min_size=1, max_size=8)


def make_event(transaction_id: str, content: tuple[int | None, bool, str, str], occurred_us: int | None) -> UsageEvent:
    """An event; the same content may be written in two ways."""
    number, spaced, extra, customer = content
    written = "null" if number is None else f"{number}.0" if spaced else str(number)
    text = f'{{"x": "{extra}", "n": {written}}}' if spaced else f'{{"n":{written},"x":"{extra}"}}'
    return UsageEvent(transaction_id, customer, "", CODE, occurred_us, text.encode(), None)


class FakeLog:
    """The log as a dictionary, asked as the committer asks the database.

    Attributes:
        rows: by key, the stored row.
        received_us: by key, when it was received.
        events: by key, the batch and the place in it that the row was made of.
    """

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.events: dict[bytes, tuple[PreparedUsageEvents, int]] = {}
        self.received_us: dict[bytes, int] = {}

    def find_originals(self, _tx: Any, keys: Any) -> dict[bytes, Original]:
        return {key: self._original(key, *self.events[key]) for key in keys if key in self.events}

    def _original(self, key: bytes, batch: PreparedUsageEvents, index: int) -> Original:
        given = batch.events.occurred_us[index] is not None
        return Original(batch.content_hashes[index], batch.occurred_us[index], given, self.received_us[key])

    def find_contents(self, _tx: Any, keys: Any) -> dict[bytes, Content]:
        found = {key: self.events[key] for key in keys}
        return {
            key: Content(batch.events.properties[index], batch.events.amounts[index])
            for key, (batch, index) in found.items()
        }

    def commit(self, submissions: list[Submission], *, must_look: bool) -> None:
        commit = Deduplication([])
        for submission in submissions:
            commit.add(submission)
        # The unique index objects if one of them is stored, and the committer looks.
        if must_look or not self.rows.keys().isdisjoint(commit.rows):
            commit.remove_stored(None)  # type: ignore[arg-type]
        assert self.rows.keys().isdisjoint(commit.rows)
        # What is written and what is announced of it are the same events, each once.
        fresh = [(key, batch, index) for batch in commit.fresh for index, key in enumerate(batch.keys)]
        for submission, batch in zip(submissions, commit.fresh, strict=True):
            self.received_us.update(dict.fromkeys(batch.keys, submission.received_us))
        assert commit.rows == {key: batch.rows[index] for key, batch, index in fresh}
        assert len(commit.rows) == len(fresh)
        self.rows.update(commit.rows)
        self.events.update({key: (batch, index) for key, batch, index in fresh})
        answer_all(commit)


class KnownCatalog:
    """A cache that knows the one organization, and needs no database for it."""

    revision = 0

    def __init__(self) -> None:
        self._known = OrganizationCatalog(ORGANIZATION, catalog_store.UNKNOWN_ORGANIZATION, {CODE: METRIC})
        for customer, candidates in ((SUBSCRIBED, [SUBSCRIPTION]), (STRANGER, [])):
            place: Place = (customer, "", CODE)
            self._known.routes[place] = make_route(ORGANIZATION, place, self._known.metrics, candidates)

    def find(self, _: OrganizationId) -> OrganizationCatalog:
        return self._known


def prepare(preparer: Preparer, rows: list[UsageEvent], received_us: int) -> Submission:
    """A batch as the committer gets it."""
    events = UsageEvents.of(rows)
    return Submission(ORGANIZATION, events, received_us, preparer.prepare(ORGANIZATION, events, received_us))


@settings(max_examples=300)
@given(batches, st.lists(st.integers(1, 3), min_size=8, max_size=8), st.booleans(), st.data())
def test_log_is_the_set_of_distinct_ids(
    plan: list[list[tuple[Any, ...]]],
    groups: list[int],
    must_look: bool,  # noqa: FBT001 - drawn by hypothesis
    data: st.DataObject,
) -> None:
    """However batches are cut, grouped and repeated, the log keeps the first event of each id; the answers say so."""
    log, preparer = FakeLog(), Preparer(None, KnownCatalog())  # type: ignore[arg-type]
    model: Model = {}
    waiting = [[make_event(*parts) for parts in batch] for batch in plan]
    waiting += [batch for batch in waiting if data.draw(st.booleans(), label="retried")]
    received_us = MIDNIGHT_US - HOUR_US
    original = log_store.find_originals, log_store.find_contents
    log_store.find_originals, log_store.find_contents = log.find_originals, log.find_contents  # type: ignore[assignment]
    try:
        while waiting:
            size = groups[len(waiting) % len(groups)]
            together, waiting = waiting[:size], waiting[size:]
            # Receipt moves across midnight, so that a time that was left out would be another one each time.
            received_us += HOUR_US
            submissions = [prepare(preparer, batch, received_us) for batch in together]
            log.commit(submissions, must_look=must_look)
            for batch, submission in zip(together, submissions, strict=True):
                for event, answer in zip(batch, submission.answers, strict=True):
                    assert answer.outcome is _expected(model, event, received_us)
                    _, occurred_us, first_us = model[event.transaction_id]
                    is_repeat = answer.outcome in {Outcome.DUPLICATE, Outcome.CONFLICT}
                    # Of a repeat its sender hears when the first occurred and came, and need not ask.
                    told = (first_us if occurred_us is None else occurred_us, first_us) if is_repeat else (None, None)
                    assert (answer.occurred_us, answer.received_us) == told
    finally:
        log_store.find_originals, log_store.find_contents = original
    stored = [(batch.events.event(index), batch.entries[index]) for batch, index in log.events.values()]
    assert {event.transaction_id for event, _ in stored} == model.keys()
    assert len(log.rows) == len(stored) == len(model)
    # The first of each id is what stays of it, and it is announced if it can be billed.
    for event, entry in stored:
        content, occurred_us, _ = model[event.transaction_id]
        assert (_said(event), event.occurred_us) == (content, occurred_us)
        assert bool(entry) == _is_billable(content, occurred_us, MIDNIGHT_US)


def _said(event: UsageEvent) -> Said:
    value = json.loads(event.properties, parse_float=Decimal, parse_int=Decimal)
    return None if value["n"] is None else int(value["n"]), value["x"], event.external_customer_id


def _is_billable(content: Said, occurred_us: int | None, received_us: int) -> bool:
    number, _, customer = content
    at_us = received_us if occurred_us is None else occurred_us
    return customer == SUBSCRIBED and number is not None and at_us >= MIDNIGHT_US


def _expected(model: Model, event: UsageEvent, received_us: int) -> Outcome:
    """What the simplest possible log would answer: a dictionary by id."""
    content = _said(event)
    if event.transaction_id not in model:
        model[event.transaction_id] = (content, event.occurred_us, received_us)
        is_billable = _is_billable(content, event.occurred_us, received_us)
        return Outcome.ACCEPTED if is_billable else Outcome.QUARANTINED
    first_content, first_us, _ = model[event.transaction_id]
    same_time = None in {first_us, event.occurred_us} or first_us == event.occurred_us
    return Outcome.DUPLICATE if first_content == content and same_time else Outcome.CONFLICT
