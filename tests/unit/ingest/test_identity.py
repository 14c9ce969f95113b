"""Who an event is depends on nothing but the organization and its transaction_id."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.identity import FIRST_HASHED_KEY, event_key, shard_of
from services.kernel.ids import new_id

ONE, OTHER = uuid.UUID(int=1).bytes, uuid.UUID(int=2).bytes


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
def test_key_is_the_identity(one: str, other: str) -> None:
    one, other = (text.encode("utf-8", "replace").decode() for text in (one, other))
    assert (event_key(ONE, one.encode()) == event_key(ONE, other.encode())) == (one == other)


def test_shard_of_a_customer_never_changes() -> None:
    assert [shard_of(ONE, f"customer-{n}", 16) for n in range(6)] == [15, 9, 3, 5, 6, 0]
