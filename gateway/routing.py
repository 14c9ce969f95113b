"""Routes by the raw path: an id may hold any character, percent-encoded, and never splits a path.

A tree of path segments: a fixed word wins over a parameter (`/subscriptions/options` over `/subscriptions/{id}`),
and a lookup costs one step a segment, however many routes there are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from gateway.errors import Problem

# Answers a `gateway.call.Call`: a JSON-able value, or a `gateway.call.Reply` for anything but 200 and JSON.
Handler = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True)
class Route:
    """One thing that can be asked.

    Attributes:
        method: GET, POST, PUT, PATCH or DELETE.
        path: below the dialect's base, e.g. `/customers/{id}/current_usage`.
        handler: answers it.
        publishable: whether a `pk_` key may ask it.
        state_status: HTTP status of a refusal for the state the thing is in; Lago says 405, Nozle's Engine 409.
    """

    method: str
    path: str
    handler: Handler
    publishable: bool = False
    state_status: int = 405


@dataclass
class _Node:
    words: dict[str, _Node] = field(default_factory=dict)
    parameter: _Node | None = None
    routes: dict[str, tuple[Route, tuple[str, ...]]] = field(default_factory=dict)


class RouteTable:
    """All routes of a dialect, under each of its bases."""

    def __init__(self, bases: Iterable[str], routes: Iterable[Route]) -> None:
        self._root = _Node()
        self.add(bases, routes)

    def add(self, bases: Iterable[str], routes: Iterable[Route]) -> None:
        """Serve further routes under these bases; what is served already stays."""
        listed = list(routes)
        for base in bases:
            for route in listed:
                self._add(base + route.path, route)

    def find(self, method: str, raw_path: str) -> tuple[Route, Mapping[str, str]]:
        """The route of a request and its parameters, decoded.

        Raises:
            Problem: 404 for an unknown path, 405 for a known one that has no such method.
        """
        found = _walk(self._root, raw_path.strip("/").split("/"), 0, ())
        if found is None:
            raise Problem(404, "not_found", "there is no such route")
        node, values = found
        entry = node.routes.get("GET" if method == "HEAD" else method)
        if entry is None:
            allowed = ", ".join(sorted(node.routes))
            raise Problem(405, "not_allowed", f"this route takes {allowed}", headers={"Allow": allowed})
        route, names = entry
        return route, {name: unquote(value) for name, value in zip(names, values, strict=True)}

    def _add(self, path: str, route: Route) -> None:
        node, names = self._root, []
        for segment in path.strip("/").split("/"):
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.words.setdefault(segment, _Node())
        # The first entry wins, so that a list of what is not implemented may come last.
        node.routes.setdefault(route.method, (route, tuple(names)))


def _walk(
    node: _Node, segments: list[str], depth: int, values: tuple[str, ...]
) -> tuple[_Node, tuple[str, ...]] | None:
    """The node of a path: fixed words first, a parameter where no fixed word leads to a route."""
    if depth == len(segments):
        return (node, values) if node.routes else None
    segment = segments[depth]
    word = node.words.get(segment)
    if word is not None:
        found = _walk(word, segments, depth + 1, values)
        if found is not None:
            return found
    if node.parameter is None or not segment:
        return None
    return _walk(node.parameter, segments, depth + 1, (*values, segment))
