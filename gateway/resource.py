"""The five operations of a thing that is created, listed, found, changed and removed, out of one declaration.

A change is one call: what the body says, the names of what it says (an update mask), and the code of the path. The
code in a body is never believed over the path's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

import grpc
from google.protobuf.descriptor import Descriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from msgspec import Struct

from gateway.call import Call
from gateway.engine.paging import PageQuery, page_meta, page_request
from gateway.engine.rpc_method import RpcMethod
from gateway.engine.two_calls import TwoCalls, is_unknown
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
        request: with a `page`, and the filters of `query` under their own names or `of(…)`.
        query: which page, and further filters.
    """

    request: type[Message]
    query: type[PageQuery] = PageQuery


@dataclass(frozen=True)
class _Crud(Generic[ThingT, NewT, ChangeT, AnswerT]):
    """The handlers of a resource."""

    thing: type[ThingT]
    to_api: Callable[[ThingT], AnswerT]
    from_api: Callable[[ThingT, NewT | ChangeT], list[str]]
    complete: Callable[[ThingT], None]
    old: TwoCalls | None
    methods: dict[str, RpcMethod] = field(default_factory=dict)

    async def create(self, request: Request[Nothing, Nothing, NewT]) -> AnswerT:
        thing = self.thing()
        self.from_api(thing, request.body)
        self.complete(thing)
        return self.to_api(cast("ThingT", await self._created(request.call, thing)))

    async def find_all(self, request: Request[Nothing, PageQuery, Nothing]) -> Listed[AnswerT]:
        method, query = self.methods["list"], request.query
        asked, _ = patch(method.request(page=page_request(query)), query, skip=("page", "per_page"))
        answer = await method.ask(request.call, asked)
        things = [self.to_api(thing) for thing in getattr(answer, method.thing)]
        return Listed(things, page_meta(query, answer.page, len(things)))  # type: ignore[attr-defined] # by descriptor

    async def find(self, request: Request[ByCode, Nothing, Nothing]) -> AnswerT:
        return self.to_api(cast("ThingT", await self._found(request.call, request.path.code)))

    async def change(self, request: Request[ByCode, Nothing, ChangeT]) -> AnswerT:
        def say(thing: Message) -> list[str]:
            return self.from_api(cast("ThingT", thing), request.body)

        return self.to_api(cast("ThingT", await self._changed(request.call, request.path.code, say)))

    async def delete(self, request: Request[ByCode, Nothing, Nothing]) -> AnswerT:
        call = request.call
        return self.to_api(
            cast("ThingT", await self._ask(call, "delete", request_id=call.mutation_id, code=request.path.code))
        )

    async def _created(self, call: Call, thing: ThingT) -> Message:
        new = self._ask(call, "create", request_id=call.mutation_id, **{self.methods["create"].thing: thing})
        return await self._known(new, lambda old: old.create(call, thing))

    async def _found(self, call: Call, code: str) -> Message:
        return await self._known(self._ask(call, "get", code=code), lambda old: old.find(call, code))

    async def _changed(self, call: Call, code: str, say: Callable[[Message], list[str]]) -> Message:
        if self.old is not None and self.old.is_needed:
            return await self.old.change(call, code, say, self._found)
        thing = self.thing()
        paths = say(thing)
        if getattr(thing, "code", "") == code:
            # The caller repeats the path's code; only another one is a wish to rename.
            paths = [path for path in paths if path != "code"]
        new = self._ask(
            call,
            "update",
            request_id=call.mutation_id,
            code=code,
            update_mask=FieldMask(paths=paths),
            **{self.methods["update"].thing: thing},
        )
        return await self._known(new, lambda old: old.change(call, code, say, self._found))

    async def _known(self, new: Awaitable[Message], old: Callable[[TwoCalls], Awaitable[Message]]) -> Message:
        """What a service answers; the old way where it does not know the method yet."""
        try:
            return await new
        except grpc.RpcError as error:
            if self.old is None or not is_unknown(error):
                raise
        return await old(self.old)

    async def _ask(self, call: Call, verb: str, **fields: Any) -> Message:
        method = self.methods[verb]
        answer: Message = getattr(await method.ask(call, method.request(**fields)), method.thing)
        return answer


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
    update: type[Message],
    delete: type[Message],
    to_api: Callable[[ThingT], AnswerT] | None = None,
    from_api: Callable[[ThingT, NewT | ChangeT], list[str]] | None = None,
    complete: Callable[[ThingT], None] | None = None,
    until_implemented: TwoCalls | None = None,
) -> tuple[AnyOperation, ...]:
    """The operations `POST`, `GET` of a list, `GET`, `PUT` and `DELETE`.

    Args:
        path: of the list, e.g. `/taxes`; one thing is below it by its code.
        root: name that wraps one thing in bodies and answers.
        plural: name of the list in answers.
        creates: what a new thing needs.
        changes: what may be said of it later; unset fields stay.
        answers: a thing as it is answered.
        create: the services' request to create one; its method is found by it.
        get: their request to find one.
        update: their request to change one.
        delete: their request to remove one.
        list: how it is listed.
        to_api: fills `answers` from the message; `project` unless it takes more.
        from_api: says in a message what a body says, and names the fields; `patch` unless it takes more.
        complete: gives a new message what its body left to us.
        until_implemented: the old way, for services that do not know the new methods.
    """
    requests = {"create": create, "get": get, "list": list.request, "update": update, "delete": delete}
    methods = {verb: RpcMethod.of(request) for verb, request in requests.items()}
    thing = cast("type[ThingT]", _thing_of(methods["create"]))
    crud = _Crud[ThingT, NewT, ChangeT, AnswerT](
        thing=thing,
        to_api=to_api or (lambda message: project(answers, message)),
        from_api=from_api or (lambda message, body: patch(message, body)[1]),
        complete=complete or (lambda _: None),
        old=until_implemented,
        methods=methods,
    )
    return _operations(path, root, plural, crud, creates, changes, answers, list.query)


def _operations(
    path: str,
    root: str,
    plural: str,
    crud: _Crud[ThingT, NewT, ChangeT, AnswerT],
    creates: type[NewT],
    changes: type[ChangeT],
    answers: type[AnswerT],
    query: type[PageQuery],
) -> tuple[AnyOperation, ...]:
    names = callers_names(changes, crud.thing, f"{crud.methods['create'].thing}.")
    word, tag = root.replace("_", " "), plural.replace("_", " ")
    one = f"{path}/{{code}}"

    def declare(method: str, where: str, handle: Any, summary: str, **fields: Any) -> AnyOperation:
        declared = {
            "path_type": ByCode if where == one else Nothing,
            "query_type": Nothing,
            "body_type": Nothing,
            "answer_type": answers,
            "answer_root": root,
            "names": names,
            # A service may lack the method yet.
            "also": frozenset({501}) if crud.old else frozenset(),
            "tag": tag,
        }
        return Operation(method=method, path=where, handle=handle, summary=summary, **(declared | fields))

    return (
        declare("POST", path, crud.create, f"Create a {word}", body_type=creates, root=root),
        declare("GET", path, crud.find_all, f"List {tag}", query_type=query, answer_root=plural, is_list=True),
        declare("GET", one, crud.find, f"Find a {word} by its code"),
        declare(
            "PUT",
            one,
            crud.change,
            f"Change a {word}",
            description="What the body does not name stays as it is; null empties a field.",
            body_type=changes,
            root=root,
        ),
        declare("DELETE", one, crud.delete, f"Remove a {word}"),
    )


def _thing_of(method: RpcMethod) -> type[Message]:
    takes = method.request.DESCRIPTOR.fields_by_name.get(method.thing)
    if takes is None or takes.message_type is None:
        raise LookupError(f"{method.name} takes no {method.thing}")
    return GetMessageClass(cast("Descriptor", takes.message_type))
