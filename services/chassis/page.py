"""Pages of a list, with opaque keyset tokens, so that a page costs the same wherever it is."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from services.kernel.errors import InvalidArgumentError

T = TypeVar("T")
U = TypeVar("U")

DEFAULT_PAGE_SIZE = 100
# A page of 1,000 invoices with their fees stays below the 4 MiB of a gRPC message.
MAX_PAGE_SIZE = 1000
MAX_SKIP = 1_000_000
# Beyond this, counting a list costs more than the page, and nobody numbers so many pages.
MAX_TOTAL = 100_000
# Longest token worth decoding: two keys of 255 characters in JSON and base64.
MAX_TOKEN = 2048


@dataclass(frozen=True)
class Page:
    """Which part of a list to return.

    Attributes:
        size: most rows to return.
        after: the keys of the previous page's last row, in the order of the list; empty for the first page.
        skip: how many rows to skip first.
        with_total: whether to count the list, up to `MAX_TOTAL`.
    """

    size: int = DEFAULT_PAGE_SIZE
    after: tuple[str, ...] = ()
    skip: int = 0
    with_total: bool = False


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """One page of a list.

    Attributes:
        items: its items, in the order of the list.
        next_token: the token of the next page; empty on the last one.
        total: how many items the whole list has; None if not requested, and beyond `MAX_TOTAL`.
    """

    items: tuple[T, ...]
    next_token: str = ""
    total: int | None = None

    @classmethod
    def of(
        cls, rows: Sequence[T], page: Page, keys: Callable[[T], Iterable[str]], *, total: int | None = None
    ) -> Listed[T]:
        """The page of rows that were read with one more than it holds: the extra row shows that others follow.

        Args:
            rows: at most `page.size + 1`, in the list's order.
            page: the requested page.
            keys: returns the keys of a row by which the list is ordered.
            total: how many items the whole list has.
        """
        kept = tuple(rows[: page.size])
        return cls(kept, write_token(*keys(kept[-1])) if len(rows) > page.size else "", total)

    def map(self, change: Callable[[T], U]) -> Listed[U]:
        """The same page with each item changed."""
        return Listed(tuple(map(change, self.items)), self.next_token, self.total)


def read_page(page_size: int, page_token: str, skip: int = 0, *, with_total: bool = False) -> Page:
    """The page that a request asks for, or an error that names the wrong field."""
    if not 0 <= page_size <= MAX_PAGE_SIZE:
        raise InvalidArgumentError.of_field("page.page_size", "value_is_invalid", f"must be 0 to {MAX_PAGE_SIZE}")
    if not 0 <= skip <= MAX_SKIP:
        raise InvalidArgumentError.of_field("page.skip", "value_is_invalid", f"must be 0 to {MAX_SKIP}")
    return Page(page_size or DEFAULT_PAGE_SIZE, _read_token(page_token), skip, with_total)


def write_token(*keys: str) -> str:
    """The token of the page that follows the row with these keys."""
    return base64.urlsafe_b64encode(msgspec.json.encode(keys)).decode().rstrip("=")


def _read_token(token: str) -> tuple[str, ...]:
    if not token:
        return ()
    try:
        raw = base64.urlsafe_b64decode(token[:MAX_TOKEN] + "=" * (-len(token[:MAX_TOKEN]) % 4))
        return tuple(msgspec.json.decode(raw, type=list[str]))
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise InvalidArgumentError.of_field(
            "page.page_token", "value_is_invalid", "is not a token of this list"
        ) from error
