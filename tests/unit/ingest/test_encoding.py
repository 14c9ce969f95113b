"""Entries written by hand are the bytes that protobuf would read, whatever they hold."""

from __future__ import annotations

import uuid
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from farebox.ingest.v1 import domain_events_pb2 as pb
from services.ingest.domain.usage_event import END_OCCURRED_US, MIN_OCCURRED_US
from services.ingest.store.encoding import announcement, entry_head, varint, write_entries
from services.ingest.store.shards import Batch
from services.kernel.ids import OrganizationId, new_id

moments = st.integers(MIN_OCCURRED_US, END_OCCURRED_US - 1)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=255)
events = st.tuples(texts, moments, st.binary(max_size=100), st.none() | st.just(Decimal("0.5")))
# Customer, subscription, code: they differ in one, and would read the same if they ran into each other.
PLACES = [
    ("acme", "s", "api_call"),
    ("acme", "s", "llm_tokens"),
    ("acme", "sa", "pi_call"),
    ("globex", "s", "api_call"),
]


@given(texts, texts, texts, moments, moments, st.binary(max_size=70_000), st.none() | st.just(Decimal("1.50")))
def test_entry_reads_back(
    customer: str,
    transaction_id: str,
    code: str,
    occurred_us: int,
    received_us: int,
    properties: bytes,
    amount: Decimal | None,
) -> None:
    organization, key = OrganizationId(new_id()), uuid.uuid4().bytes
    head = entry_head(organization, customer, "s", code, is_void=True)
    columns = ([head], [key], [transaction_id.encode()], [occurred_us], [properties], [amount])
    [entry] = write_entries(7, received_us, *columns)
    message = pb.UsageEventsAccepted.FromString(announcement([Batch(3, 7, 1, entry), Batch(3, 8, 1, entry)]))
    assert (message.shard, message.first_number, message.last_number) == (3, 7, 8)
    assert list(message.entry_counts) == [1, 1]
    first, second = message.entries
    assert first == second
    assert first.organization_id == organization
    assert first.kind == pb.UsageEventEntry.KIND_VOIDED
    assert (first.event_key, first.transaction_id) == (key, transaction_id)
    assert (first.external_customer_id, first.subscription_id, first.code) == (customer, "s", code)
    assert first.occurred_at.ToMicroseconds() == occurred_us
    assert first.received_at.ToMicroseconds() == received_us
    assert (first.properties, first.catalog_revision) == (properties, 7)
    assert first.precise_total_amount_cents.value == ("" if amount is None else "1.5")


@given(st.lists(events, min_size=1, max_size=8), moments, st.data())
def test_entries_of_several_places_are_each_its_own(
    drawn: list[tuple[str, int, bytes, Decimal | None]], received_us: int, data: st.DataObject
) -> None:
    organization = OrganizationId(new_id())
    places = [data.draw(st.sampled_from(PLACES)) for _ in drawn]
    heads = [entry_head(organization, *place) for place in places]
    keys = [uuid.uuid4().bytes for _ in drawn]
    ids, occurred, properties, amounts = (list(column) for column in zip(*drawn, strict=True))
    written = write_entries(
        0, received_us, heads, keys, [transaction_id.encode() for transaction_id in ids], occurred, properties, amounts
    )
    # Each entry is the same alone and with others, and together they are one message.
    assert written == [
        write_entries(0, received_us, [head], [key], [text.encode()], [at_us], [raw], [amount])[0]
        for head, key, (text, at_us, raw, amount) in zip(heads, keys, drawn, strict=True)
    ]
    entries = pb.UsageEventsAccepted.FromString(announcement([Batch(0, 1, len(written), b"".join(written))])).entries
    assert [(entry.external_customer_id, entry.subscription_id, entry.code) for entry in entries] == places
    assert [entry.event_key for entry in entries] == keys
    assert [entry.transaction_id for entry in entries] == ids
    assert [entry.occurred_at.ToMicroseconds() for entry in entries] == occurred
    assert {entry.received_at.ToMicroseconds() for entry in entries} == {received_us}
    assert [entry.properties for entry in entries] == properties
    assert [entry.HasField("precise_total_amount_cents") for entry in entries] == [
        amount is not None for amount in amounts
    ]
    assert {entry.kind for entry in entries} == {pb.UsageEventEntry.KIND_ACCEPTED}


def test_no_events_have_no_entries() -> None:
    assert write_entries(1, 0, [], [], [], [], [], []) == []


@given(st.integers(0, 2**63))
def test_varint_has_seven_bits_a_byte(number: int) -> None:
    assert sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(varint(number))) == number
