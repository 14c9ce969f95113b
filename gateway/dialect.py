"""A dialect is data: a public API that we speak, and how its requests are told from those of another.

Two dialects may share every path: the application asks each in turn whether it claims a request, by its path, a
header or a cookie, and routes inside the first one that does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
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
        method: of HTTP.
        path: as it was sent, still percent-encoded.
        headers: of the request.
    """

    method: str
    path: str
    headers: Headers

    def cookie(self, name: str) -> str | None:
        """The value of a cookie, or None."""
        try:
            found = SimpleCookie(self.headers.get("cookie", "")).get(name)
        except CookieError:
            # A cookie jar that cannot be read claims nothing.
            return None
        return None if found is None else found.value


Claims = Callable[[Head], bool]
Authenticate = Callable[[Head, Keys], Awaitable[Caller]]
RenderProblem = Callable[[Problem, str], Struct]


def everything(_: Head) -> bool:
    """Claims every request: for the dialect that is asked last."""
    return True


async def by_bearer_key(head: Head, keys: Keys) -> Caller:
    """The caller by `Authorization: Bearer …`.

    Raises:
        Problem: 401.
    """
    return await keys.caller_of(head.headers.get("authorization", ""))


@dataclass(frozen=True)
class Dialect:
    """A public API that we speak.

    Attributes:
        name: for the log and the reference.
        bases: what its paths begin with; every operation answers under each.
        operations: what can be asked; of two with the same method and path the first one wins.
        render_problem: how a refusal looks, given the request's id.
        problem_media_type: of a refusal.
        claims: which requests are its own; asked in the order of the dialects.
        authenticate: who calls.
        prefixes: under which some operations answer too, each with the operations: `{"/v1": FIRST}`.
    """

    name: str
    bases: tuple[str, ...]
    operations: tuple[Endpoint, ...]
    render_problem: RenderProblem
    problem_media_type: str = "application/problem+json"
    claims: Claims = everything
    authenticate: Authenticate = by_bearer_key
    prefixes: tuple[tuple[str, tuple[Endpoint, ...]], ...] = ()
