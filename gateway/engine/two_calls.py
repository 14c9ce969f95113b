"""How things are read and changed where a service does not know the methods of partial updates yet.

DELETED once rating and entitlements implement CreateTax, GetTax, UpdateTax, CreateFeature, UpdateFeature, and apply
`update_mask` of UpdateBillableMetricRequest and UpdatePlanRequest: with it goes `resource(until_implemented=…)`.
It is get, change, replace over two calls: of two callers at once the later undoes the earlier.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc
from google.protobuf.message import Message

from farebox.common.v1.page_pb2 import PageRequest
from gateway.call import Call
from gateway.engine.rpc_method import RpcMethod
from gateway.problem import invalid, not_found

# The most that a service answers at a time.
_MOST = 1000

Find = Callable[[Call, str], Awaitable[Message]]
Say = Callable[[Message], list[str]]


@dataclass(frozen=True)
class TwoCalls:
    """The old way of a resource.

    Attributes:
        replace: request that replaces a thing whole.
        search: request that lists all things, where none finds one.
        is_needed: whether the new method exists but would misunderstand a partial update.
    """

    replace: type[Message]
    search: type[Message] | None = None
    is_needed: bool = False

    async def create(self, call: Call, thing: Message) -> Message:
        """Keep a new thing."""
        return await self._put(call, "", thing)

    async def find(self, call: Call, code: str) -> Message:
        """The thing with a code, from the list of all."""
        if self.search is None:
            raise LookupError("there is no list to search")
        method = RpcMethod.of(self.search)
        answer = await method.ask(call, method.request(page=PageRequest(page_size=_MOST)))
        found: Message | None = next((thing for thing in getattr(answer, method.thing) if thing.code == code), None)
        if found is None:
            name = RpcMethod.of(self.replace).thing
            raise not_found(name, f"no {name.replace('_', ' ')} has the code {code!r}")
        return found

    async def change(self, call: Call, code: str, say: Say, find: Find) -> Message:
        """Read a thing, change it, replace it whole; the code in the body must be the path's."""
        thing = await find(call, code)
        if "code" in say(thing) and getattr(thing, "code", "") != code:
            raise invalid("code", "value_is_invalid", f"cannot change; it is {code!r}")
        return await self._put(call, code, thing)

    async def _put(self, call: Call, code: str, thing: Message) -> Message:
        method = RpcMethod.of(self.replace)
        request = method.request(request_id=call.mutation_id, **{method.thing: thing})
        if code and "code" in method.request.DESCRIPTOR.fields_by_name:
            request.code = code  # type: ignore[attr-defined] # the request is known by its descriptor only
        answer: Message = getattr(await method.ask(call, request), method.thing)
        return answer


def is_unknown(error: grpc.RpcError) -> bool:
    """Whether a service says that it does not know a method."""
    return isinstance(error, grpc.Call | grpc.aio.AioRpcError) and error.code() is grpc.StatusCode.UNIMPLEMENTED
