"""A page of a list: which rows it keeps, whether another page follows, and where that one begins."""

from __future__ import annotations

import pytest

from services.chassis.page import Listed, Page, read_page, write_token
from services.kernel.errors import InvalidArgumentError


def keys(row: str) -> tuple[str, ...]:
    return (row,)


def test_one_row_more_than_a_page_holds_tells_that_another_follows() -> None:
    """The row itself is not shown; the next page begins after the last one that is."""
    listed = Listed.of(["a", "b", "c"], Page(size=2), keys, total=7)
    assert listed == Listed(("a", "b"), write_token("b"), 7)
    assert read_page(2, listed.next_token).after == ("b",)


@pytest.mark.parametrize("rows", [[], ["a"], ["a", "b"]])
def test_the_last_page_has_no_next(rows: list[str]) -> None:
    """A page that is exactly full is the last one if there are no more rows."""
    assert Listed.of(rows, Page(size=2), keys) == Listed(tuple(rows))


def test_changing_the_items_keeps_the_place() -> None:
    """Token and total belong to the list, not to its items."""
    assert Listed(("a",), "token", 3).map(str.upper) == Listed(("A",), "token", 3)


@pytest.mark.parametrize("token", ["%", "bm90IGpzb24", "eyJhIjogMX0", "WzFd"])
def test_a_token_that_is_not_of_a_list_is_refused(token: str) -> None:
    """A token that we did not write is the caller's mistake, never an internal error."""
    with pytest.raises(InvalidArgumentError) as caught:
        read_page(10, token)
    assert caught.value.violations[0].field == "page.page_token"
