"""One thing that a caller can ask, declared once: what is read, what is answered, who may ask, what can go wrong.

A handler's signature is the declaration:

    async def find(request: Request[ByCode, Nothing, Nothing]) -> Tax: ...

    operation("GET", "/taxes/{code}", find, root="tax")

Decoding, validation, encoding, the route table and `openapi.yaml` come from it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import UnionType
from typing import (
    Any,
    ClassVar,
    Generic,
    Protocol,
    TypedDict,
    TypeVar,
    Union,
    Unpack,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from msgspec import UNSET, Struct, UnsetType

from gateway.auth.scopes import Scope, permission_of
from gateway.call import Call, Reply
from gateway.decode import structs
from gateway.decode.body import parse, unwrap
from gateway.decode.query import query_values
from gateway.decode.refusals import Refusals
from gateway.limit_terms import Budget
from gateway.problem import not_implemented

PathT = TypeVar("PathT")
QueryT = TypeVar("QueryT")
BodyT = TypeVar("BodyT")
AnswerT = TypeVar("AnswerT")
EntryT = TypeVar("EntryT")

ENCODER = msgspec.json.Encoder(decimal_format="string")
# What every list's caller calls the fields of its page.
_OF_PAGES = {"page.page_token": "page_token", "page.page_size": "per_page", "page.skip": "page"}
_INDEX = re.compile(r"\[(\w+)\]")
# Verbs that change something, so that an Idempotency-Key may clash.
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# The statuses of any operation: an unreadable body or query, keys, limits, accidents, a service that is unavailable.
ALWAYS = frozenset({400, 401, 403, 422, 429, 500, 503})


class Nothing(Struct):
    """No parameters, or no body."""


class ByCode(Struct):
    """A thing, by the organization's code."""

    code: str


class ById(Struct):
    """A thing, by its Farebox id."""

    id: str


class ByCustomer(Struct):
    """A customer, by the organization's id."""

    external_customer_id: str


class PageMeta(Struct):
    """Where a page is in its list.

    The totals are left out of a list of more than 100,000 entries, and of a page that begins at a token.
    """

    current_page: int
    next_page: int | None
    prev_page: int | None
    total_pages: int | UnsetType = UNSET
    total_count: int | UnsetType = UNSET
    next_page_token: str | UnsetType = UNSET


@dataclass(frozen=True)
class Listed(Generic[EntryT]):
    """A page of a list."""

    entries: list[EntryT]
    meta: PageMeta


@dataclass(frozen=True)
class Request(Generic[PathT, QueryT, BodyT]):
    """A caller's request, read and checked.

    Attributes:
        call: the caller, and the way to the services.
        path: the parameters of the path.
        query: the parameters after the question mark.
        body: the body; `bytes` if the operation reads it itself.
        is_bare: whether the body came without its root, if that is optional.
    """

    call: Call
    path: PathT
    query: QueryT
    body: BodyT
    is_bare: bool = False


class Endpoint(Protocol):
    """What the application needs to know of an operation."""

    @property
    def method(self) -> str:
        """GET, POST, PUT, PATCH or DELETE."""

    @property
    def path(self) -> str:
        """The path below the dialect's base, e.g. `/customers/{id}/current_usage`."""

    @property
    def scope(self) -> Scope:
        """Who may ask."""

    @property
    def permission(self) -> str:
        """The scope that a restricted key needs; empty if it needs none."""

    @property
    def budget(self) -> Budget | None:
        """The budget of expensive calls from which it takes, if it is one."""

    @property
    def keeps_answer(self) -> bool:
        """Whether an Idempotency-Key keeps its answer (gateway.kept_answers)."""

    async def answer(self, call: Call) -> Reply:
        """The answer."""

    def callers_field(self, field: str) -> str:
        """The caller's name for a field of the message that a service refuses."""


@dataclass(frozen=True)
class Operation(Generic[PathT, QueryT, BodyT, AnswerT]):
    """A typed operation; see `gateway.operation.operation` for the short way to declare one.

    Attributes:
        method, path, scope, budget: see `Endpoint`.
        handle: the function that answers a request.
        path_type, query_type, body_type: the Structs that are read; `body_type` is `bytes` if the operation reads the
            body itself.
        answer_type: a Struct, a Struct in a page (`entry_type`), or `Reply` for an answer that is not JSON.
        is_list: whether the answer is a page of `answer_type`.
        root: the name that wraps the body; empty for a bare body.
        is_root_optional: whether a bare body is also understood, as some versions of an SDK send it.
        answer_root: the name that wraps the answer.
        is_bare_answered_bare: whether the answer to a bare body is also bare.
        status: the status of a success.
        also: statuses beyond those that every operation of its kind can answer.
        summary, description: texts for the reference.
        tag: its group in the reference.
        names: the caller's names for fields of the services' messages, without indexes: `{"tax.rate_percent": "rate"}`.
        body_schema: what the reference shows for a body that is `bytes`.
        bodies: what the reference shows for bodies that are not plain JSON, by their media type.
        media_type: the media type of an answer that is not JSON.
        is_event: whether what is posted is an event, whose own identity makes a repeat safe, so that an Idempotency-Key
            keeps no answer.
        shows_secret: whether the answer shows what is stored nowhere, so that it is not kept either.
    """

    method: str
    path: str
    handle: Callable[[Request[PathT, QueryT, BodyT]], Awaitable[AnswerT]]
    path_type: type[Struct]
    query_type: type[Struct]
    body_type: type
    answer_type: type
    is_list: bool = False
    root: str = ""
    is_root_optional: bool = False
    answer_root: str = ""
    is_bare_answered_bare: bool = False
    scope: Scope = Scope.SECRET
    status: int = 200
    also: frozenset[int] = frozenset()
    summary: str = ""
    description: str = ""
    tag: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    body_schema: type[Struct] | None = None
    bodies: Mapping[str, type] = field(default_factory=dict)
    media_type: str = "application/json"
    is_event: bool = False
    shows_secret: bool = False
    budget: Budget | None = None

    @cached_property
    def permission(self) -> str:
        """See `Endpoint`."""
        return permission_of(self.method, self.path)

    @property
    def keeps_answer(self) -> bool:
        """See `Endpoint`: every POST that is no event. What another verb does is known by the thing's own state."""
        return self.method == "POST" and not self.is_event and not self.shows_secret

    async def answer(self, call: Call) -> Reply:
        """Read the request, handle it and write the answer.

        Raises:
            Problem: the request cannot be read, or is refused.
        """
        request = self.read(call)
        answer = await self.handle(request)
        return self._write(answer, "" if request.is_bare and self.is_bare_answered_bare else self.answer_root)

    def read(self, call: Call) -> Request[PathT, QueryT, BodyT]:
        """The caller's request; all wrong fields are named at once.

        Raises:
            Problem: 400 or 422.
        """
        refusals = Refusals()
        path = structs.read(self.path_type, call.path, refusals, is_text=True)
        values = query_values(call.query, refusals)
        query = structs.read(self.query_type, values, refusals, is_text=True)
        body, is_bare = (call.body, False) if self.body_type is bytes else self._body(call.body, refusals)
        refusals.raise_any()
        return Request(call, cast("PathT", path), cast("QueryT", query), cast("BodyT", body), is_bare)

    def _body(self, raw: bytes, refusals: Refusals) -> tuple[Struct | None, bool]:
        value = parse(raw)
        values = unwrap(value, self.root, refusals, is_optional=self.is_root_optional)
        return structs.read(self.body_type, values, refusals), values is value

    def _write(self, answer: AnswerT, root: str) -> Reply:
        if isinstance(answer, Reply):
            return answer
        if isinstance(answer, Listed):
            return Reply(ENCODER.encode({root: answer.entries, "meta": answer.meta}), self.status)
        return Reply(ENCODER.encode({root: answer} if root else answer), self.status)

    def callers_field(self, field: str) -> str:
        """The caller's name for a message's field: the longest known part is replaced, and the indexes are put back."""
        return callers_field({**_OF_PAGES, **self.names}, field)

    @property
    def statuses(self) -> list[int]:
        """Every status that it can answer, in ascending order."""
        also = set(self.also)
        if self.path_type is not Nothing:
            also.add(404)
        if self.body_type is not Nothing:
            also.add(413)
        if self.method in CHANGING:
            # What the body refers to may not exist, and the state of things or a used Idempotency-Key may forbid it.
            also |= {404, 409}
        return sorted({self.status, *ALWAYS, *also})


@dataclass(frozen=True)
class NotOffered:
    """A route that the dialect has and Farebox does not offer: it answers 501, because a 404 would look like a typo.

    Attributes:
        method, path: see `Endpoint`.
        reason: a sentence that says why; also for the reference.
        tag: its group in the reference.
    """

    scope: ClassVar[Scope] = Scope.SECRET
    keeps_answer: ClassVar[bool] = False
    # Every secret key hears that there is nothing here.
    permission: ClassVar[str] = ""
    budget: ClassVar[None] = None
    method: str
    path: str
    reason: str
    tag: str = ""

    async def answer(self, _: Call) -> Reply:
        """Refuse the request.

        Raises:
            Problem: 501.
        """
        raise not_implemented(self.reason)

    def callers_field(self, field: str) -> str:
        """The field itself, since no service is asked."""
        return field


def not_offered(methods: str, path: str, reason: str) -> list[NotOffered]:
    """Routes that are not offered: `not_offered("GET POST", "/wallets", "there are no wallets")`."""
    return [NotOffered(method, path, reason, _tag(path)) for method in methods.split()]


class Options(TypedDict, total=False):
    """What an operation may declare beyond its signature; each means the same as in `Operation`."""

    is_root_optional: bool
    is_bare_answered_bare: bool
    scope: Scope
    status: int
    also: frozenset[int]
    body_schema: type[Struct] | None
    bodies: Mapping[str, type]
    media_type: str
    is_event: bool
    shows_secret: bool
    budget: Budget


def operation(
    method: str,
    path: str,
    handle: Callable[[Request[PathT, QueryT, BodyT]], Awaitable[AnswerT]],
    *,
    root: str = "",
    answer_root: str | None = None,
    names: Mapping[str, str] | None = None,
    **options: Unpack[Options],
) -> Operation[PathT, QueryT, BodyT, AnswerT]:
    """An operation whose Structs come from its handler's signature, and whose summary is the handler's docstring.

    Args:
        method: the HTTP method.
        path: the path below the dialect's base.
        handle: takes a `Request[Path, Query, Body]`, returns a Struct, a `Listed[Struct]` or a `Reply`.
        root: the name that wraps the body, and also the answer unless `answer_root` says otherwise.
        answer_root: the name that wraps the answer; for a list, the list's name.
        names: the caller's names for fields of the services' messages.
        options: see `Options`.
    """
    hints = get_type_hints(handle)
    # If there are several, the reference shows the first.
    answer = hints.pop("return")
    answer = get_args(answer)[0] if get_origin(answer) in {Union, UnionType} else answer
    (request,) = hints.values()
    path_type, query_type, body_type = get_args(request)
    is_list = getattr(answer, "__origin__", None) is Listed
    summary, _, description = (handle.__doc__ or "").partition("\n")
    return Operation(
        method=method,
        path=path,
        handle=handle,
        path_type=path_type,
        query_type=query_type,
        body_type=body_type,
        answer_type=get_args(answer)[0] if is_list else answer,
        is_list=is_list,
        root=root if body_type is not Nothing else "",
        answer_root=root if answer_root is None else answer_root,
        summary=summary.strip().rstrip("."),
        description=" ".join(description.split()),
        tag=_tag(path),
        names=names or {},
        **options,
    )


def callers_field(names: Mapping[str, str], field: str) -> str:
    """The caller's name for a message's field, by names without indexes; the field itself if none is known."""
    indexes = _INDEX.findall(field)
    bare = _INDEX.sub("[]", field)
    known = max((name for name in names if _begins(bare, name)), key=len, default=None)
    if known is None:
        return field
    found = names[known] + bare[len(known) :]
    for index in indexes:
        found = found.replace("[]", f"[{index}]", 1)
    return found


def _begins(field: str, name: str) -> bool:
    return field == name or field.startswith((f"{name}.", f"{name}["))


def _tag(path: str) -> str:
    return path.strip("/").partition("/")[0].replace("_", " ").replace("-", " ")


AnyOperation = Operation[Any, Any, Any, Any]
