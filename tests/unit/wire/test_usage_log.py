"""Messages of several batches are cut where a batch ends."""

from __future__ import annotations

import grpc
from hypothesis import given
from hypothesis import strategies as st

from farebox.ingest.v1.domain_events_pb2 import UsageEventEntry, UsageEventsAccepted
from services.chassis.followed import Message
from services.wire.usage_log import UsageLogClient

FIRST = 7


def message_of(counts: list[int]) -> Message:
    """Consecutive batches of so many entries; each entry names its batch."""
    entries = [
        UsageEventEntry(transaction_id=str(FIRST + place)) for place, count in enumerate(counts) for _ in range(count)
    ]
    last = FIRST + len(counts) - 1
    batch = UsageEventsAccepted(shard=3, first_number=FIRST, last_number=last, entries=entries, entry_counts=counts)
    return Message("usage.3", FIRST, last, batch.SerializeToString(), sequence=5, begins=5)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=6), st.data())
def test_a_cut_message_holds_the_batches_beyond_a_number(counts: list[int], data: st.DataObject) -> None:
    """Exactly the entries of the later batches are left, wherever it is cut, and it can be cut again."""
    message = message_of(counts)
    number = data.draw(st.integers(FIRST, message.last - 1))
    client = UsageLogClient(grpc.insecure_channel("127.0.0.1:1"))
    (rest,) = client.beyond(message, number)
    body = UsageEventsAccepted.FromString(rest.body)
    assert (rest.first, rest.last, rest.sequence) == (number + 1, message.last, message.sequence)
    assert (body.first_number, body.last_number) == (rest.first, rest.last)
    expected = [str(FIRST + place) for place, count in enumerate(counts) for _ in range(count)]
    assert [entry.transaction_id for entry in body.entries] == [name for name in expected if int(name) > number]
    assert list(body.entry_counts) == counts[number - FIRST + 1 :]
