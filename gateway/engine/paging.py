"""Numbered pages over keyset pages: `page` and `per_page` in, `meta` out.

A numbered page passes over all before it. Whoever walks far takes `meta.next_page_token` along as `page_token`: each
page then costs what the first one does.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct

from farebox.common.v1.page_pb2 import PageRequest, PageResponse
from gateway.operation import PageMeta

DEFAULT_PER_PAGE = 100
# The most that a service answers at a time.
MAX_PER_PAGE = 1000
# The `skip` of a PageRequest is limited too (1,000,000); a longer list is read by tokens or with filters.
MAX_PAGE = 1000
# As long as the services' own.
MAX_TOKEN = 2048
_BEGINS = "Where the page begins, from `meta.next_page_token` of the page before; `page` then only numbers it."

# Fields of a query that say the page, and nothing of what is listed.
PAGING = ("page", "per_page", "page_token")


class PageQuery(Struct, kw_only=True):
    """Which page of a list."""

    page: Annotated[int, Meta(ge=1, le=MAX_PAGE, description="Number of the page, from 1 on.")] = 1
    per_page: Annotated[int, Meta(ge=1, le=MAX_PER_PAGE, description="Entries on a page.")] = DEFAULT_PER_PAGE
    page_token: Annotated[str, Meta(max_length=MAX_TOKEN, description=_BEGINS)] = ""


def page_request(query: PageQuery) -> PageRequest:
    """The requested page, and a request for the length of the list; a page that begins at a token counts nothing."""
    if query.page_token:
        return PageRequest(page_size=query.per_page, page_token=query.page_token)
    return PageRequest(page_size=query.per_page, skip=(query.page - 1) * query.per_page, with_total=True)


def one_page(count: int) -> PageMeta:
    """The `meta` of a list that is answered as a whole."""
    is_any = bool(count)
    return PageMeta(current_page=is_any, next_page=None, prev_page=None, total_pages=is_any, total_count=count)


def page_meta(query: PageQuery, page: PageResponse, count: int) -> PageMeta:
    """Where a page is in its list.

    Args:
        query: the request.
        page: the service's answer about it.
        count: how many entries are on the page.
    """
    has_more = bool(page.next_page_token)
    total = _total(query, page, count)
    return PageMeta(
        current_page=0 if total == 0 else query.page,
        next_page=query.page + 1 if has_more else None,
        prev_page=query.page - 1 if query.page > 1 else None,
        next_page_token=page.next_page_token or UNSET,
        total_pages=UNSET if total is None else -(-total // query.per_page),
        total_count=UNSET if total is None else total,
    )


def _total(query: PageQuery, page: PageResponse, count: int) -> int | None:
    """The length of the list: as it was counted, or as its last page shows; None if neither is known."""
    if page.HasField("total_size"):
        return page.total_size
    if query.page_token:
        return None
    is_last = not page.next_page_token and (count > 0 or query.page == 1)
    return (query.page - 1) * query.per_page + count if is_last else None
