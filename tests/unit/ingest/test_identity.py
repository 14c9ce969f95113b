"""Who an event is depends on nothing but the organization and its transaction_id."""

from __future__ import annotations

import uuid
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.identity import (
    FIRST_HASHED_KEY,
    content_hash,
    content_hashes,
    content_salt,
    event_key,
    event_keys,
    shard_of,
)
from services.kernel.ids import OrganizationId, new_id

# UUIDv7s of one and of several milliseconds, almost-UUIDv7s, and whatever else somebody calls an event.
ids = st.one_of(
    st.builds(new_id),
    st.builds("019c0000-000{}-{}000-8000-00000000000{}".format, *[st.integers(0, 9)] * 3),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
).map(str.encode)
amounts = st.none() | st.sampled_from([Decimal(1), Decimal("1.0"), Decimal("-0.5"), Decimal("1E+3")])
# As content_hash takes it.
Said = tuple[bytes, bytes, bytes, Decimal | None]
said = st.tuples(ids, st.sampled_from([b"", b"salt", b"\0acme\0\0api_call\0"]), st.binary(max_size=20), amounts)

ONE, OTHER = OrganizationId(str(uuid.UUID(int=1))), OrganizationId(str(uuid.UUID(int=2)))


def test_uuid7_keeps_its_time() -> None:
    transaction_id = new_id()
    key = event_key(ONE, transaction_id.encode())
    assert key[:6] == uuid.UUID(transaction_id).bytes[:6]
    assert key < FIRST_HASHED_KEY
    assert key != event_key(OTHER, transaction_id.encode())


@pytest.mark.parametrize(
    "transaction_id",
    [
        "order-1",
        str(uuid.UUID(int=0)),
        "f19c0000-0000-7000-8000-000000000001",  # a time beyond the year 6429
        "019c00  -0000-7000-8000-000000000001",
        "019c0000_0000-7000-8000-000000000001",
        "é19c0000-0000-7000-8000-00000000001",
    ],
)
def test_other_ids_are_hashed(transaction_id: str) -> None:
    assert event_key(ONE, transaction_id.encode()) >= FIRST_HASHED_KEY


@given(st.text(min_size=1, max_size=255), st.text(min_size=1, max_size=255))
def test_key_is_the_identity(first: str, other: str) -> None:
    first, other = (text.encode("utf-8", "replace").decode() for text in (first, other))
    assert (event_key(ONE, first.encode()) == event_key(ONE, other.encode())) == (first == other)


@given(st.lists(ids))
def test_keys_of_many_are_the_key_of_each(transaction_ids: list[bytes]) -> None:
    assert event_keys(ONE, transaction_ids) == [event_key(ONE, transaction_id) for transaction_id in transaction_ids]


@given(st.lists(said))
def test_hashes_of_many_are_the_hash_of_each(events: list[Said]) -> None:
    columns = [[event[place] for event in events] for place in range(4)]
    assert content_hashes(*columns) == [content_hash(*event) for event in events]  # type: ignore[arg-type]


def test_hash_depends_on_every_part() -> None:
    salt = content_salt("acme", "", "api_call")
    salts = [salt, content_salt("", "acme", "api_call"), content_salt("acme", "", "api_cal")]
    contents: list[Said] = [(b"id", salt, b"{}", None) for salt in salts]
    contents += [(b"di", salt, b"{}", None), (b"id", salt, b"{ }", None), (b"id", salt, b"{}", Decimal(0))]
    assert len({content_hash(*content) for content in contents}) == len(contents)
    # How an amount is written is no content.
    assert content_hash(b"id", salt, b"{}", Decimal("1.0")) == content_hash(b"id", salt, b"{}", Decimal(1))


def test_shard_of_a_customer_never_changes() -> None:
    assert [shard_of(ONE, f"customer-{n}", 16) for n in range(6)] == [15, 9, 3, 5, 6, 0]
