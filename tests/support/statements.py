"""Every SQL statement that product code can execute, found by reading the code.

A statement is the first argument of a call that executes SQL. The following is resolved: constants of the module and
texts made of them; both branches of a condition; every value of a mapping; each item of a loop; what a local name was
assigned; and for a parameter, what every caller in the service hands in. Whatever else an argument is made of cannot be
known without running it, and is a finding: write it as a constant, or as a `chassis.statement.Filtered`.
"""

from __future__ import annotations

import ast
import importlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from services.chassis.statement import Filtered
from tests.support.source import tree_of

ROOT = Path(__file__).resolve().parents[2]
# Methods of connections and cursors that take SQL as their first argument.
EXECUTING = {"exec_driver_sql", "execute", "executemany", "copy", "stream", "transaction_with"}
# Chains of calls through which a statement may be handed on.
MAX_DEPTH = 12

Function = ast.FunctionDef | ast.AsyncFunctionDef


class UnknownStatementError(Exception):
    """An expression whose text cannot be known without running it."""


@dataclass(frozen=True)
class Statement:
    """A statement and where it is executed."""

    place: str
    text: str


@dataclass
class Source:
    """A file of product code, with what it defines."""

    path: Path
    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in ast.walk(self.tree):
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node

    @cached_property
    def tree(self) -> ast.Module:
        return tree_of(self.path)

    @cached_property
    def module(self) -> ModuleType:
        name = ".".join(self.path.relative_to(ROOT).with_suffix("").parts)
        return importlib.import_module(name)

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    def calls(self) -> Iterator[ast.Call]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.Call))

    def function_of(self, node: ast.AST) -> Function | None:
        """The function that contains a node; None at the top level of the file."""
        while node in self.parents:
            node = self.parents[node]
            if isinstance(node, Function):
                return node
        return None

    def value(self, node: ast.expr) -> Any:
        """The value of an expression that uses only names of the module.

        Raises:
            UnknownStatementError: it uses other names.
        """
        code = compile(ast.Expression(node), self.name, "eval")
        try:
            return eval(code, dict(vars(self.module)))  # noqa: S307 - an expression of our own code
        except Exception as error:
            raise UnknownStatementError(f"{self.name}:{node.lineno} {ast.unparse(node)[:80]}") from error


class Collector:
    """Resolves the statements of the files of one service."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources = list(sources)
        self._kinds: dict[type[ast.expr], Callable[[Source, Any, int], list[str]]] = {
            ast.IfExp: lambda source, node, depth: self._any(source, (node.body, node.orelse), depth),
            ast.BinOp: self._joined_pair,
            ast.JoinedStr: self._joined_parts,
            ast.Subscript: self._values,
            ast.Name: self._name,
            ast.Call: self._filtered,
        }

    def collect(self) -> tuple[list[Statement], list[str]]:
        """The statements, and the places of those that cannot be known."""
        statements: list[Statement] = []
        unknown: list[str] = []
        for source in self._sources:
            for call in source.calls():
                if isinstance(call.func, ast.Attribute) and call.func.attr in EXECUTING and call.args:
                    place = f"{source.name}:{call.lineno}"
                    try:
                        texts = self.texts(source, call.args[0])
                    except UnknownStatementError as error:
                        unknown.append(f"{place} executes {error}")
                    else:
                        statements += [Statement(place, text) for text in texts]
        return statements, unknown

    def texts(self, source: Source, node: ast.expr, depth: int = 0) -> list[str]:
        """Every text that an expression may be.

        Raises:
            UnknownStatementError: it cannot be known.
        """
        if depth > MAX_DEPTH:
            raise UnknownStatementError(f"{source.name}:{node.lineno} is handed on too often")
        try:
            value = source.value(node)
        except UnknownStatementError:
            resolve = self._kinds.get(type(node))
            if resolve is None:
                raise
            return resolve(source, node, depth + 1)
        if isinstance(value, str):
            return [value]
        raise UnknownStatementError(f"{source.name}:{node.lineno} {ast.unparse(node)[:80]} is no text")

    def _any(self, source: Source, nodes: Iterable[ast.expr], depth: int) -> list[str]:
        return [text for node in nodes for text in self.texts(source, node, depth)]

    def _joined_pair(self, source: Source, node: ast.BinOp, depth: int) -> list[str]:
        pair = (self.texts(source, side, depth) for side in (node.left, node.right))
        return ["".join(texts) for texts in itertools.product(*pair)]

    def _joined_parts(self, source: Source, node: ast.JoinedStr, depth: int) -> list[str]:
        parts = [part.value if isinstance(part, ast.FormattedValue) else part for part in node.values]
        return ["".join(texts) for texts in itertools.product(*(self.texts(source, part, depth) for part in parts))]

    def _values(self, source: Source, node: ast.Subscript, depth: int) -> list[str]:  # noqa: ARG002 - as the others
        """All values of a mapping of the module, whatever the key."""
        mapping = source.value(node.value)
        if not isinstance(mapping, Mapping) or not all(isinstance(value, str) for value in mapping.values()):
            raise UnknownStatementError(f"{source.name}:{node.lineno} {ast.unparse(node)[:80]}")
        return list(mapping.values())

    def _filtered(self, source: Source, node: ast.Call, depth: int) -> list[str]:  # noqa: ARG002 - as the others
        """All variants of a `Filtered` of the module whose text is asked for."""
        if isinstance(node.func, ast.Attribute):
            filtered = source.value(node.func.value)
            if isinstance(filtered, Filtered):
                return list(filtered.variants())
        raise UnknownStatementError(f"{source.name}:{node.lineno} {ast.unparse(node)[:80]}")

    def _name(self, source: Source, node: ast.Name, depth: int) -> list[str]:
        """The texts that a local name may have: assigned, an item of a loop, or passed by a caller."""
        function = source.function_of(node)
        if function is None:
            raise UnknownStatementError(f"{source.name}:{node.lineno} {node.id}")
        texts: list[str] = []
        for inner in ast.walk(function):
            if isinstance(inner, ast.Assign) and any(_is(target, node.id) for target in inner.targets):
                texts += self.texts(source, inner.value, depth)
            if isinstance(inner, ast.For) and _is(inner.target, node.id):
                if not isinstance(inner.iter, ast.Tuple | ast.List):
                    raise UnknownStatementError(f"{source.name}:{inner.lineno} loops over {ast.unparse(inner.iter)}")
                texts += self._any(source, inner.iter.elts, depth)
        parameters = [argument.arg for argument in function.args.args if argument.arg != "self"]
        if node.id in parameters:
            return texts + self._handed_in(function.name, parameters.index(node.id), node.id, depth)
        if not texts:
            raise UnknownStatementError(f"{source.name}:{node.lineno} {node.id}")
        return texts

    def _handed_in(self, function: str, place: int, name: str, depth: int) -> list[str]:
        """What callers pass; nothing if nobody calls the function, since a service need not use all of the chassis."""
        texts: list[str] = []
        for source in self._sources:
            for call in source.calls():
                if _called(call) == function:
                    named = [keyword.value for keyword in call.keywords if keyword.arg == name]
                    texts += self._any(source, named or call.args[place : place + 1], depth)
        return texts


def _is(target: ast.expr, name: str) -> bool:
    return isinstance(target, ast.Name) and target.id == name


def _called(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""
