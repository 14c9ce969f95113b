"""A dialect is data: a public API that we speak, and how its requests are distinguished from those of others.

Two dialects may share every path. The application asks each in turn whether it claims a request, by its path, a header
or a cookie, and routes inside the first one that does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie

from msgspec import Struct
from starlette.datastructures import Headers

from gateway.auth.keys import Caller, Keys
from gateway.operation import Endpoint
from gateway.problem import Problem


@dataclass(frozen=True)
class Head:
    """What is known of a request before it is routed.

    Attributes:
        method: the HTTP method.
        path: the path as it was sent, still percent-encoded.
        headers: the headers of the request.
    """

    method: str
    path: str
    headers: Headers

    def cookie(self, name: str) -> str | None:
        """The value of a cookie, or None."""
        try:
            found = SimpleCookie(self.headers.get("cookie", "")).get(name)
        except CookieError:
            # An unreadable cookie header claims nothing.
            return None
        return None if found is None else found.value


Claims = Callable[[Head], bool]
Authenticate = Callable[[Head, Keys], Awaitable[Caller]]
RenderProblem = Callable[[Problem, str], Struct]


def everything(_: Head) -> bool:
    """Claims every request: for the dialect that is asked last."""
    return True


async def by_bearer_key(head: Head, keys: Keys) -> Caller:
    """The caller of a request with `Authorization: Bearer …`.

    Raises:
        Problem: 401.
    """
    return await keys.caller_of(head.headers.get("authorization", ""))


@dataclass(frozen=True)
class Dialect:
    """A public API that we speak.

    Attributes:
        name: its name in the log and in the reference.
        bases: the beginnings of its paths; every operation answers under each of them.
        operations: its operations; among those with the same method and path the first one wins.
        render_problem: writes a refusal, given the request's id.
        problem_media_type: the media type of a refusal.
        claims: whether a request is its own; asked in the order of the dialects.
        authenticate: finds the caller.
        statuses: the statuses of refusals that differ in this API: `{422: 400}`.
        prefixes: further bases, each with the operations that answer under it: `{"/v1": FIRST}`.
    """

    name: str
    bases: tuple[str, ...]
    operations: tuple[Endpoint, ...]
    render_problem: RenderProblem
    problem_media_type: str = "application/problem+json"
    claims: Claims = everything
    authenticate: Authenticate = by_bearer_key
    statuses: Mapping[int, int] = field(default_factory=dict)
    prefixes: tuple[tuple[str, tuple[Endpoint, ...]], ...] = ()
