"""Routes by the raw path: an id may contain any character, percent-encoded, and never splits a path.

A tree of path segments: a fixed word wins over a parameter (`/subscriptions/options` over `/subscriptions/{id}`), and a
lookup takes one step for each segment, however many routes there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from gateway.operation import Endpoint
from gateway.problem import Problem


@dataclass
class _Node:
    words: dict[str, _Node] = field(default_factory=dict)
    parameter: _Node | None = None
    suffixes: dict[str, _Node] = field(default_factory=dict)
    routes: dict[str, tuple[Endpoint, tuple[str, ...]]] = field(default_factory=dict)


class RouteTable:
    """All operations of a dialect, under each of its bases."""

    def __init__(self, bases: Iterable[str], operations: Iterable[Endpoint]) -> None:
        self._root = _Node()
        self.add(bases, operations)

    def add(self, bases: Iterable[str], operations: Iterable[Endpoint]) -> None:
        """Serve further operations under these bases; existing routes stay."""
        listed = list(operations)
        for base in bases:
            for operation in listed:
                self._add(base + operation.path, operation)

    def find(self, method: str, raw_path: str) -> tuple[Endpoint, Mapping[str, str]]:
        """The operation of a request and its path's parameters, decoded.

        Raises:
            Problem: 404 for an unknown path, 405 for a known path without this method, 400 for a path that is not
                UTF-8.
        """
        found = _walk(self._root, raw_path.strip("/").split("/"), 0, ())
        if found is None:
            raise Problem(404, "not_found", "there is no such route")
        node, values = found
        entry = node.routes.get("GET" if method == "HEAD" else method)
        if entry is None:
            allowed = ", ".join(sorted(node.routes))
            raise Problem(405, "not_allowed", f"this route takes {allowed}", headers={"Allow": allowed})
        operation, names = entry
        return operation, {name: _decoded(value) for name, value in zip(names, values, strict=True)}

    def _add(self, path: str, operation: Endpoint) -> None:
        node, names = self._root, []
        for segment in path.strip("/").split("/"):
            if segment.startswith("{"):
                name, _, suffix = segment[1:].partition("}")
                names.append(name)
                node.parameter = node.parameter or _Node()
                node = node.suffixes.setdefault(suffix, _Node()) if suffix else node.parameter
            else:
                node = node.words.setdefault(segment, _Node())
        # The first entry wins, so a list of unimplemented routes may come last.
        node.routes.setdefault(operation.method, (operation, tuple(names)))


def _decoded(value: str) -> str:
    try:
        text = unquote(value, errors="strict")
    except UnicodeDecodeError as error:
        raise Problem(400, "bad_request", "the path is not UTF-8") from error
    if "\0" in text:
        raise Problem(400, "bad_request", "the path holds a NUL")
    return text


def _walk(
    node: _Node, segments: list[str], depth: int, values: tuple[str, ...]
) -> tuple[_Node, tuple[str, ...]] | None:
    """The node of a path: fixed words first, then a parameter if no fixed word leads to a route."""
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
    for suffix, inner in node.suffixes.items():
        if segment.endswith(suffix) and segment != suffix:
            found = _walk(inner, segments, depth + 1, (*values, segment.removesuffix(suffix)))
            if found is not None:
                return found
    return _walk(node.parameter, segments, depth + 1, (*values, segment))
