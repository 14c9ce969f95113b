"""Numbered pages over keyset pages."""

from __future__ import annotations

import pytest
from starlette.datastructures import QueryParams

from farebox.common.v1.page_pb2 import PageResponse
from gateway.dialects.nozle import pages
from gateway.problem import Problem


def test_pages_are_numbered_from_one() -> None:
    assert pages.read(QueryParams("page=3&per_page=20")).skip == 40
    assert pages.read(QueryParams("")).page_size == pages.DEFAULT_PER_PAGE


def test_a_larger_page_than_any_is_the_largest() -> None:
    assert pages.read(QueryParams("per_page=100000")).page_size == pages.MAX_PER_PAGE


@pytest.mark.parametrize("query", ["page=0", "page=-1", "page=x", "per_page=0", "per_page=1.5", "page=%C2%B2"])
def test_other_numbers_are_refused(query: str) -> None:
    with pytest.raises(Problem) as problem:
        pages.read(QueryParams(query))
    assert problem.value.status == 422


def test_meta_of_a_counted_list() -> None:
    request = pages.read(QueryParams("page=2&per_page=10"))
    assert pages.meta(request, PageResponse(next_page_token="t", total_size=25), 10) == {
        "current_page": 2,
        "next_page": 3,
        "prev_page": 1,
        "total_pages": 3,
        "total_count": 25,
    }


def test_meta_of_an_uncounted_list_says_what_is_known() -> None:
    request = pages.read(QueryParams("per_page=10"))
    assert pages.meta(request, PageResponse(next_page_token="t"), 10)["total_count"] == 11
    assert pages.meta(request, PageResponse(), 4) == {
        "current_page": 1,
        "next_page": None,
        "prev_page": None,
        "total_pages": 1,
        "total_count": 4,
    }


def test_an_empty_list_is_on_page_zero_as_in_lago() -> None:
    assert pages.meta(pages.read(QueryParams("")), PageResponse(total_size=0), 0)["current_page"] == 0
