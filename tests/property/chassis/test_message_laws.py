"""Split and join are inverse, in any order and with any repetition of the parts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.chassis.messages import Incoming, Joiner, split
from services.chassis.outbox import numbered


@given(body=st.binary(max_size=60), part_bytes=st.integers(1, 20), data=st.data())
def test_what_is_split_is_joined(body: bytes, part_bytes: int, data: st.DataObject) -> None:
    """However often and in any order the parts arrive, the message is the same, and complete once all are there."""
    parts = list(split(numbered("rating.x", "RATING", body, 1, 3), part_bytes))
    order = data.draw(st.permutations([*range(len(parts)), *data.draw(st.lists(st.sampled_from(range(len(parts)))))]))
    joiner = Joiner()
    made = [
        joiner.join(Incoming(parts[place].subject, parts[place].body, parts[place].headers, sequence, sequence))
        for sequence, place in enumerate(order, start=1)
    ]
    whole = [message for message in made if message is not None]
    assert whole
    assert all((message.body, message.numbers) == (body, (1, 3)) for message in whole)
