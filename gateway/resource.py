"""The five operations of a thing that is created, listed, found, changed and removed, from one declaration.

A change is one call, with the body's content, the names of the fields it has (an update mask), and the code of the
path. The code in a body never overrides the code of the path.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from msgspec import Struct

from gateway.auth.scopes import Scope
from gateway.call import Call
from gateway.engine.paging import PageQuery
from gateway.engine.rpc_method import RpcMethod
from gateway.listing import listed
from gateway.operation import AnyOperation, ByCode, Listed, Nothing, Operation, Request
from gateway.projection import callers_names, patch, project

NewT = TypeVar("NewT", bound=Struct)
ChangeT = TypeVar("ChangeT", bound=Struct)
AnswerT = TypeVar("AnswerT", bound=Struct)
# The generated class of the thing's message.
ThingT = TypeVar("ThingT", bound=Message)


@dataclass(frozen=True)
class Listing:
    """How a thing is listed.

    Attributes:
        request: the request message, with a `page` and the filters of `query` under their own names or `of(…)`.
        query: the page, and further filters.
        scope: who may ask.
    """

    request: type[Message]
    query: type[PageQuery] = PageQuery
    scope: Scope = Scope.SECRET


@dataclass(frozen=True)
class _Crud(Generic[ThingT, NewT, ChangeT, AnswerT]):
    """The handlers of a resource."""

    thing: type[ThingT]
    to_api: Callable[[ThingT], AnswerT]
    from_api: Callable[[ThingT, NewT | ChangeT], list[str]]
    complete: Callable[[ThingT], None]
    methods: Mapping[str, RpcMethod]

    async def create(self, request: Request[Nothing, Nothing, NewT]) -> AnswerT:
        thing, call = self.thing(), request.call
        self.from_api(thing, request.body)
        self.complete(thing)
        return await self._ask(call, "create", request_id=call.mutation_id, **{self.methods["create"].thing: thing})

    async def find_all(self, request: Request[Nothing, PageQuery, Nothing]) -> Listed[AnswerT]:
        return await listed(request.call, self.methods["list"].request, request.query, self.to_api)

    async def find(self, request: Request[ByCode, Struct, Nothing]) -> AnswerT:
        method = self.methods["get"]
        asked, _ = patch(method.request(code=request.path.code), request.query)
        return self.to_api(getattr(await method.ask(request.call, asked), method.thing))

    async def change(self, request: Request[ByCode, Nothing, ChangeT]) -> AnswerT:
        thing, call, code = self.thing(), request.call, request.path.code
        paths = self.from_api(thing, request.body)
        if getattr(thing, "code", "") == code:
            # The caller may repeat the path's code; only a different code is a wish to rename.
            paths = [path for path in paths if path != "code"]
        fields = {"request_id": call.mutation_id, "code": code, "update_mask": FieldMask(paths=paths)}
        return await self._ask(call, "update", **fields, **{self.methods["update"].thing: thing})

    async def delete(self, request: Request[ByCode, Nothing, Nothing]) -> AnswerT:
        call = request.call
        return await self._ask(call, "delete", request_id=call.mutation_id, code=request.path.code)

    async def _ask(self, call: Call, verb: str, **fields: object) -> AnswerT:
        method = self.methods[verb]
        return self.to_api(getattr(await method.ask(call, method.request(**fields)), method.thing))


def resource(
    path: str,
    *,
    root: str,
    plural: str,
    creates: type[NewT],
    changes: type[ChangeT],
    answers: type[AnswerT],
    create: type[Message],
    get: type[Message],
    list: Listing,  # noqa: A002 - the verb of the five
    find_query: type[Struct] = Nothing,
    update: type[Message],
    delete: type[Message],
    to_api: Callable[[ThingT], AnswerT] | None = None,
    from_api: Callable[[ThingT, NewT | ChangeT], list[str]] | None = None,
    complete: Callable[[ThingT], None] | None = None,
    names: Mapping[str, str] | None = None,
) -> tuple[AnyOperation, ...]:
    """The operations `POST`, `GET` of a list, `GET`, `PUT` and `DELETE`.

    Args:
        path: the path of the list, e.g. `/taxes`; a single thing is below it, by its code.
        root: the name that wraps one thing in bodies and answers.
        plural: the name of the list in answers.
        creates: the Struct of a new thing.
        changes: the Struct of a change; unset fields stay as they are.
        answers: the Struct of an answer.
        create: the request that creates one; methods are found by their requests.
        get: the request that finds one.
        update: the request that changes one.
        delete: the request that removes one.
        list: how they are listed.
        find_query: the parameters with which one is found, besides its code.
        to_api: fills `answers` from the message; `project` unless more is needed.
        from_api: fills a message from a body and returns the names of the fields; `patch` unless more is needed.
        complete: sets what the body of a new thing leaves to Farebox.
        names: the caller's names for fields that `from_api` fills by hand, by their place in the thing's message.
    """
    requests = {"create": create, "get": get, "list": list.request, "update": update, "delete": delete}
    methods = {verb: RpcMethod.of(request) for verb, request in requests.items()}
    thing, own = cast("type[ThingT]", _thing_of(methods["create"])), names or {}
    written, read = to_api or partial(project, answers), from_api or _patched
    crud = _Crud[ThingT, NewT, ChangeT, AnswerT](thing, written, read, complete or _left_as_it_is, methods)
    declare = _Declaring(path, root, plural.replace("_", " "), answers, _names(methods["create"], changes, thing, own))
    return _operations(declare, crud, list, plural, {"creates": creates, "changes": changes, "finds": find_query})


def _patched(message: Message, body: Struct) -> list[str]:
    """Fill a message from a body; returns the names of the fields."""
    return patch(message, body)[1]


def _left_as_it_is(_: Message) -> None:
    """Change nothing: for things whose body is complete."""


def _names(create: RpcMethod, changes: type[Struct], thing: type[Message], own: Mapping[str, str]) -> dict[str, str]:
    """The caller's names for the fields of the thing's message in the services' requests."""
    prefix = f"{create.thing}."
    return callers_names(changes, thing, prefix) | {f"{prefix}{name}": field for name, field in own.items()}


# The handlers of a resource, and the rest of an operation's declaration; checked where the handlers are written.
Handler = Callable[[Any], Awaitable[object]]
_Fields = dict[str, Any]


@dataclass(frozen=True)
class _Declaring:
    """What the operations of a resource have in common."""

    path: str
    root: str
    tag: str
    answers: type[Struct]
    names: Mapping[str, str]

    def __call__(
        self, method: str, handle: Handler, summary: str, *, is_one: bool = False, **fields: object
    ) -> AnyOperation:
        declared = {
            "path_type": ByCode if is_one else Nothing,
            "query_type": Nothing,
            "body_type": Nothing,
            "answer_type": self.answers,
            "answer_root": self.root,
            "names": self.names,
            "tag": self.tag,
        }
        where = f"{self.path}/{{code}}" if is_one else self.path
        return Operation(
            method=method, path=where, handle=handle, summary=summary, **cast("_Fields", declared | fields)
        )


def _operations(
    declare: _Declaring,
    crud: _Crud[ThingT, NewT, ChangeT, AnswerT],
    listing: Listing,
    plural: str,
    types: Mapping[str, type[Struct]],
) -> tuple[AnyOperation, ...]:
    root, tag = declare.root, declare.tag
    word = root.replace("_", " ")
    return (
        declare("POST", crud.create, f"Create a {word}", body_type=types["creates"], root=root),
        declare(
            "GET",
            crud.find_all,
            f"List {tag}",
            query_type=listing.query,
            answer_root=plural,
            is_list=True,
            scope=listing.scope,
        ),
        declare("GET", crud.find, f"Find a {word} by its code", is_one=True, query_type=types["finds"]),
        declare(
            "PUT",
            crud.change,
            f"Change a {word}",
            is_one=True,
            body_type=types["changes"],
            root=root,
            description="What the body does not name stays as it is; null empties a field.",
        ),
        declare("DELETE", crud.delete, f"Remove a {word}", is_one=True),
    )


def _thing_of(method: RpcMethod) -> type[Message]:
    takes = method.request.DESCRIPTOR.fields_by_name.get(method.thing)
    if takes is None or takes.message_type is None:
        raise LookupError(f"{method.name} takes no {method.thing}")
    return GetMessageClass(cast("Descriptor", takes.message_type))
