"""Pages of lists of any kind: requested by a query, and answered with their place in the list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar, cast

from google.protobuf.message import Message
from msgspec import Struct

from farebox.common.v1.page_pb2 import PageResponse
from gateway.call import Call
from gateway.engine.paging import PAGING, PageQuery, page_meta, page_request
from gateway.engine.rpc_method import RpcMethod
from gateway.operation import Listed, PageMeta
from gateway.problem import invalid
from gateway.projection import patch

ThingT = TypeVar("ThingT", bound=Message)
AnswerT = TypeVar("AnswerT", bound=Struct)


_METHODS: dict[str, RpcMethod] = {}


def _method_of(request: type[Message]) -> RpcMethod:
    """The method that takes a request message; found once, then remembered."""
    name = request.DESCRIPTOR.full_name
    if name not in _METHODS:
        _METHODS[name] = RpcMethod.of(request)
    return _METHODS[name]


async def listed(
    call: Call, request: type[Message], query: PageQuery, to_api: Callable[[ThingT], AnswerT], **fields: object
) -> Listed[AnswerT]:
    """A page of the things that a request lists.

    Args:
        call: the caller's call.
        request: the request message, with a `page` and the filters of `query` under their own names or `of(…)`.
        query: the page, and further filters.
        to_api: converts a thing into its answer.
        fields: fields of the request that the query does not have, or has in another form.
    """
    method = _method_of(request)
    asked, _ = patch(request(page=page_request(query), **fields), query, skip=(*PAGING, *fields))
    answer = await method.ask(call, asked)
    things = [to_api(thing) for thing in cast("Iterable[ThingT]", getattr(answer, method.thing))]
    return Listed(things, page_meta(query, cast("PageResponse", getattr(answer, "page")), len(things)))  # noqa: B009


def paged(query: PageQuery, entries: Sequence[AnswerT]) -> Listed[AnswerT]:
    """A page of a list that a service answers as a whole.

    Raises:
        Problem: 422, the page begins at a token; such a list has none.
    """
    if query.page_token:
        raise invalid("page_token", "value_is_invalid", "is of another list; this one is numbered by `page`")
    begin, count = (query.page - 1) * query.per_page, len(entries)
    meta = PageMeta(
        current_page=query.page if count else 0,
        next_page=query.page + 1 if begin + query.per_page < count else None,
        prev_page=query.page - 1 if query.page > 1 else None,
        total_pages=-(-count // query.per_page),
        total_count=count,
    )
    return Listed(list(entries[begin : begin + query.per_page]), meta)
