"""Identifiers made one by one and in bulk are of the same kind."""

from __future__ import annotations

import time
import uuid
from itertools import islice

from services.kernel.ids import id_maker, new_id, uuid_or_none

MANY = 1000


def test_ids_in_bulk_are_fresh_uuids_of_the_present() -> None:
    """Each is a canonical UUIDv7 of this moment, as those of `new_id` are, and none comes twice."""
    before = time.time_ns() // 1_000_000
    made = [*islice(iter(id_maker(), ""), MANY), new_id()]
    after = time.time_ns() // 1_000_000
    assert len(set(made)) == MANY + 1
    for text in made:
        found = uuid_or_none(text)
        assert found is not None
        assert (found.version, found.variant) == (7, uuid.RFC_4122)
        assert before <= found.int >> 80 <= after
