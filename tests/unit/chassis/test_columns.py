"""Columns as PostgreSQL reads arrays."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.columns import texts, times, words


def read(array: str) -> list[str]:
    """The quoted elements of an array, as PostgreSQL's manual says that they are read."""
    inside, elements, current = array[1:-1], [], ""
    position, is_quoted = 0, False
    while position < len(inside):
        character = inside[position]
        if character == '"':
            is_quoted = not is_quoted
            if not is_quoted:
                elements.append(current)
                current = ""
        elif is_quoted:
            position += character == "\\"
            current += inside[position]
        position += 1
    return elements


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]) | st.sampled_from('",\\{}'))))
def test_any_text_reads_back(values: list[str]) -> None:
    """Whatever is in a text, it stays one element."""
    assert read(texts(values)) == values


def test_what_would_become_several_elements_is_refused() -> None:
    """A NUL, which PostgreSQL cannot keep, and a word with a comma."""
    with pytest.raises(ValueError, match="NUL"):
        texts(["a\0b"])
    with pytest.raises(ValueError, match="comma"):
        words(["a,b"])


def test_words_and_times() -> None:
    """Numbers and instants are written exactly; None is NULL."""
    assert words([1, None, Decimal("1E-7")]) == "{1,NULL,1E-7}"
    assert words([]) == texts([]) == times([]) == "{}"
    assert times([datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC)]) == '{"2024-01-01T00:00:00.000001+00:00"}'
