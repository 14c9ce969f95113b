"""Pages of lists of any kind: requested by a query, and answered with their place in the list."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar, cast

from google.protobuf.message import Message
from msgspec import Struct

from farebox.common.v1.page_pb2 import PageResponse
from gateway.call import Call
from gateway.engine.paging import PAGING, PageQuery, page_meta, page_request
from gateway.engine.rpc_method import RpcMethod
from gateway.operation import Listed
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
