"""Lago's numbered pages over keyset pages: `page` and `per_page` in, `meta` out."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import QueryParams

from farebox.common.v1.page_pb2 import PageRequest, PageResponse
from gateway.problem import invalid

DEFAULT_PER_PAGE = 100
# What a service answers at a time; a larger wish gets this, and `meta` says that there is more.
MAX_PER_PAGE = 1000
# `skip` of a PageRequest is bounded too; a list that long is read by filters, not by pages.
MAX_PAGE = 10_000


def read(query: QueryParams) -> PageRequest:
    """The page that is asked for."""
    number, size = _positive(query, "page", 1, MAX_PAGE), _positive(query, "per_page", DEFAULT_PER_PAGE, MAX_PER_PAGE)
    return PageRequest(page_size=size, skip=(number - 1) * size)


def meta(request: PageRequest, page: PageResponse, count: int) -> dict[str, Any]:
    """Where a page stands.

    Args:
        request: what was asked.
        page: what the service said of it.
        count: entries on the page.
    """
    number, has_more = request.skip // request.page_size + 1, bool(page.next_page_token)
    # Where the service does not count the list, what is known of it: this page, and whether there is another.
    total = page.total_size if page.HasField("total_size") else request.skip + count + has_more
    return {
        "current_page": number if total else 0,
        "next_page": number + 1 if has_more else None,
        "prev_page": number - 1 if number > 1 else None,
        "total_pages": -(-total // request.page_size),
        "total_count": total,
    }


def one_page(count: int) -> dict[str, Any]:
    """The `meta` of a list that comes whole."""
    return {
        "current_page": 1 if count else 0,
        "next_page": None,
        "prev_page": None,
        "total_pages": 1 if count else 0,
        "total_count": count,
    }


def _positive(query: QueryParams, name: str, default: int, most: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or int(text[:9]) < 1:
        raise invalid(name, "invalid_format", "must be a whole number from 1 on")
    return min(int(text[:9]), most)
