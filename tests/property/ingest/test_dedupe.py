"""Any interleaving of batches, retries, repeats and conflicts leaves the same log as the set of distinct ids."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.commands.prepare import Preparation, Prepared
from services.ingest.commands.route import make_route
from services.ingest.commands.sieve import Sieve
from services.ingest.commands.submission import Submission
from services.ingest.convert.wire import WireCodec
from services.ingest.domain import identity
from services.ingest.domain.deduplicate import Content, Stored
from services.ingest.domain.instant import to_us
from services.ingest.domain.outcome import Outcome
from services.ingest.domain.usage_event import UsageEvent
from services.ingest.store import log as log_store

ORGANIZATION = bytes(range(16))
MIDNIGHT_US = to_us(datetime(2026, 3, 1, tzinfo=UTC))
HOUR_US = 3600 * 1_000_000
# Ids of two months, whose keys lie in different partitions, and ids that are no UUIDv7 at all.
IDS = ["019c0000-0000-7000-8000-000000000001", "01a20000-0000-7000-8000-000000000001", "order-1", "order-2"]
CODEC = WireCodec()
# The first content and time of each id.
Model = dict[str, tuple[tuple[int, str], int | None]]

contents = st.builds(
    lambda number, spaced, extra: (number, spaced, extra),
    st.integers(0, 2),
    st.booleans(),
    st.sampled_from(["a", "b"]),
)
times = st.one_of(st.none(), st.sampled_from([MIDNIGHT_US - HOUR_US, MIDNIGHT_US, MIDNIGHT_US + HOUR_US]))
sent = st.tuples(st.sampled_from(IDS), contents, times)
batches = st.lists(st.lists(sent, min_size=1, max_size=6), min_size=1, max_size=8)


def make_event(transaction_id: str, content: tuple[int, bool, str], occurred_us: int | None) -> UsageEvent:
    """An event; the same content may be written in two ways."""
    number, spaced, extra = content
    text = f'{{"x": "{extra}", "n": {number}.0}}' if spaced else f'{{"n":{number},"x":"{extra}"}}'
    properties = text.encode()
    return UsageEvent(transaction_id, "acme", "", "api_call", occurred_us, properties, None)


class FakeLog:
    """The log as a dictionary, asked as the sieve asks the database."""

    def __init__(self) -> None:
        self.rows: dict[bytes, Prepared] = {}

    def find_stored(self, _tx: Any, keys: Any) -> dict[bytes, Stored]:
        return {
            key: Stored(one.content_hash, one.occurred_us, one.event.occurred_us is not None)
            for key in keys
            if (one := self.rows.get(key))
        }

    def find_contents(self, _tx: Any, keys: Any) -> dict[bytes, Content]:
        return {key: Content(self.rows[key].event.properties, self.rows[key].event.amount) for key in keys}

    def commit(self, submissions: list[Submission], *, looks: bool) -> None:
        sieve = Sieve([])
        for submission in submissions:
            sieve.add(submission)
        # The unique index objects if one of them is stored, and the committer looks.
        if looks or not self.rows.keys().isdisjoint(sieve.fresh):
            sieve.remove_stored(None)  # type: ignore[arg-type]
        assert self.rows.keys().isdisjoint(sieve.fresh)
        self.rows.update(sieve.fresh)
        sieve.answer()


def prepare(events: list[UsageEvent], received_us: int) -> Submission:
    """What the preparer makes of a batch, without a database."""
    route = make_route(CODEC, ORGANIZATION, ("acme", "", "api_call"), {}, ())
    prepared = []
    for event in events:
        text = event.transaction_id.encode()
        occurred_us = received_us if event.occurred_us is None else event.occurred_us
        target, reason = route.settle(event, occurred_us)
        digest = identity.content_hash(text, route.salt, event.properties, event.amount)
        key = identity.event_key(ORGANIZATION, text)
        prepared.append(Prepared(key, digest, b"", b"", target, occurred_us, reason, event))
    preparation = Preparation(0, rejects_duplicates=False, events=prepared, byte_size=0)
    return Submission(ORGANIZATION, events, received_us, preparation)


@settings(max_examples=300, deadline=None)
@given(batches, st.lists(st.integers(1, 3), min_size=8, max_size=8), st.booleans(), st.data())
def test_log_is_the_set_of_distinct_ids(
    plan: list[list[tuple[Any, ...]]],
    groups: list[int],
    looks: bool,  # noqa: FBT001 - drawn by hypothesis
    data: st.DataObject,
) -> None:
    log = FakeLog()
    model: Model = {}
    waiting = [[make_event(*one) for one in batch] for batch in plan]
    waiting += [batch for batch in waiting if data.draw(st.booleans(), label="retried")]
    received_us = MIDNIGHT_US - HOUR_US
    original = log_store.find_stored, log_store.find_contents
    log_store.find_stored, log_store.find_contents = log.find_stored, log.find_contents  # type: ignore[assignment]
    try:
        while waiting:
            size = groups[len(waiting) % len(groups)]
            together, waiting = waiting[:size], waiting[size:]
            # Receipt moves across midnight, so that a time that was left out would be another one each time.
            received_us += HOUR_US
            submissions = [prepare(batch, received_us) for batch in together]
            log.commit(submissions, looks=looks)
            for submission in submissions:
                for event, answer in zip(submission.events, submission.answers, strict=True):
                    assert answer.outcome is _expected(model, event)
    finally:
        log_store.find_stored, log_store.find_contents = original
    assert {one.event.transaction_id for one in log.rows.values()} == model.keys()
    assert len(log.rows) == len(model)


def _expected(model: Model, event: UsageEvent) -> Outcome:
    """What the simplest possible log would answer: a dictionary by id."""
    value = json.loads(event.properties, parse_float=Decimal, parse_int=Decimal)
    content = (int(value["n"]), value["x"])
    if event.transaction_id not in model:
        model[event.transaction_id] = (content, event.occurred_us)
        # Nothing is known of the catalog here, so whatever is new is quarantined.
        return Outcome.QUARANTINED
    first_content, first_us = model[event.transaction_id]
    same_time = None in {first_us, event.occurred_us} or first_us == event.occurred_us
    return Outcome.DUPLICATE if first_content == content and same_time else Outcome.CONFLICT
