"""Entries written by hand are the bytes that protobuf would read, whatever they hold."""

from __future__ import annotations

import uuid
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from farebox.ingest.v1 import domain_events_pb2 as pb
from services.ingest.convert.wire import WireCodec, announcement, varint
from services.ingest.domain.usage_event import END_OCCURRED_US, MIN_OCCURRED_US
from services.ingest.store.shards import Batch

moments = st.integers(MIN_OCCURRED_US, END_OCCURRED_US - 1)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=255)


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
    codec, organization, key = WireCodec(), uuid.uuid4(), uuid.uuid4().bytes
    head = codec.head(organization.bytes, customer, "s", code, voids=True)
    entry = codec.writer(received_us)(head, key, transaction_id.encode(), occurred_us, properties, amount)
    message = pb.UsageEventsAccepted.FromString(announcement([Batch(3, 7, entry), Batch(3, 8, entry)]))
    assert (message.shard, message.first_number, message.last_number) == (3, 7, 8)
    first, second = message.entries
    assert first == second
    assert first.organization_id == str(organization)
    assert first.kind == pb.UsageEventEntry.KIND_VOIDED
    assert (first.event_key, first.transaction_id) == (key, transaction_id)
    assert (first.external_customer_id, first.subscription_id, first.code) == (customer, "s", code)
    assert first.occurred_at.ToMicroseconds() == occurred_us
    assert first.received_at.ToMicroseconds() == received_us
    assert first.properties == properties
    assert first.precise_total_amount_cents.value == ("" if amount is None else "1.5")


@given(st.integers(0, 2**63))
def test_varint_has_seven_bits_a_byte(number: int) -> None:
    assert sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(varint(number))) == number
