"""Messages in parts: a message that is split is joined again, whatever happens to its parts on the way."""

from __future__ import annotations

import re

import pytest

from services.chassis import bus
from services.chassis.messages import ID_HEADER, PART_HEADER, Incoming, Joiner, Outgoing, split
from services.chassis.numbering import subject_pattern
from services.chassis.outbox import numbered


def received(part: Outgoing, sequence: int) -> Incoming:
    """A part as a reader receives it."""
    return Incoming(part.subject, part.body, part.headers, sequence, sequence)


def test_a_small_message_travels_as_it_is() -> None:
    """A message up to the size of a part is not split, and an empty body is a message, too."""
    for body in (b"", b"12345"):
        message = numbered("rating.x", "RATING", body, 1, 1)
        assert list(split(message, 5)) == [message]


def test_parts_are_told_apart_by_the_server() -> None:
    """Each part has an id of its own; otherwise the server would drop all but the first as repeats."""
    parts = list(split(numbered("rating.x", "RATING", b"123456", 1, 1), 5))
    assert [part.body for part in parts] == [b"12345", b"6"]
    assert [part.headers[PART_HEADER] for part in parts] == ["1/2", "2/2"]
    assert len({part.headers[ID_HEADER] for part in parts}) == 2


def test_two_attempts_with_parts_of_different_size_are_not_mixed() -> None:
    """A relay that restarts with another limit splits the message again; parts of different attempts are not mixed."""
    message = numbered("rating.x", "RATING", b"123456", 1, 1)
    joiner = Joiner()
    assert joiner.join(received(next(split(message, 5)), 1)) is None
    first, second, third = split(message, 2)
    assert [joiner.join(received(part, 2)) for part in (first, third)] == [None, None]
    whole = joiner.join(received(second, 3))
    assert whole is not None
    assert (whole.body, whole.begins, whole.sequence) == (b"123456", 2, 3)


def test_parts_of_what_was_applied_are_forgotten() -> None:
    """They would take memory and hold the position back forever."""
    joiner = Joiner()
    joiner.join(received(next(split(numbered("rating.x", "RATING", b"123456", 7, 7), 5)), 4))
    assert (joiner.begins(6), joiner.begins(7), joiner.held_bytes) == ([4], [], 5)
    joiner.forget(6)
    assert joiner.held_bytes == 5
    joiner.forget(7)
    assert (joiner.begins(0), joiner.held_bytes) == ([], 0)


@pytest.mark.parametrize(
    "headers", [{}, {"Farebox-Number": "x"}, {"Farebox-Number": "1", "Farebox-Part": "1"}, {"Farebox-Number": ""}]
)
def test_what_is_no_message_of_a_log_is_refused(headers: dict[str, str]) -> None:
    """Others may write to the stream; such a message is distinguished from every error of ours."""
    with pytest.raises(ValueError, match=r"literal|unpack"):
        Joiner().join(Incoming("rating.x", b"", headers, 1, 1))


def test_messages_are_on_the_way_in_few_and_small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """In their order, as many as fit in number and bytes, and one that is larger than a window by itself."""
    monkeypatch.setattr(bus, "PUBLISH_WINDOW", 3)
    monkeypatch.setattr(bus, "PUBLISH_WINDOW_BYTES", 10)
    sizes = [1, 1, 1, 1, 9, 2, 99, 1]
    windows = bus.windows([Outgoing("rating.x", b"x" * size) for size in sizes])
    assert [[len(message.body) for message in window] for window in windows] == [[1, 1, 1], [1, 9], [2], [99], [1]]
    assert list(bus.windows([])) == []


@pytest.mark.parametrize(
    ("subjects", "subject", "is_taken"),
    [
        (("rating.>",), "rating.catalog.plan_changed", True),
        (("rating.>",), "rating", False),
        (("rating.>",), "ratingx.catalog", False),
        (("rating.>",), "rating.a b", False),
        (("ingest.test_clock.>", "ingest.x.*"), "ingest.x.1", True),
        (("ingest.test_clock.>", "ingest.x.*"), "ingest.x.1.2", False),
    ],
)
def test_which_subjects_a_stream_takes(subjects: tuple[str, ...], subject: str, is_taken: bool) -> None:  # noqa: FBT001 - a column of the table
    """As NATS reads them: `*` is one word, `>` is the rest."""
    assert bool(re.search(subject_pattern(subjects), subject)) == is_taken
