"""What a reader takes in at once: files below 400 lines, functions below 50, and a gateway without untyped values."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from gateway.dialects import DIALECTS
from gateway.operation import NotOffered
from tests.support.source import parsed

ROOT = Path(__file__).resolve().parents[3]
ROOMS = ("services", "gateway", "farebox")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
# For values that have no type in protobuf and msgspec either: fields read by descriptor, and JSON schemas.
MAX_ANY_IN_GATEWAY = 20
# All lines of the dialects for each declared operation, including those that are only refused; and lines of code for
# each offered one.
MAX_LINES_AN_OPERATION = 30


def _sources() -> Iterator[tuple[Path, str]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path, path.read_text(encoding="utf-8")


def test_no_file_is_longer_than_a_reader_holds() -> None:
    """At most 400 lines a file."""
    lengths = {str(path.relative_to(ROOT)): text.count("\n") for path, text in _sources()}
    assert {path: lines for path, lines in lengths.items() if lines > MAX_FILE_LINES} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    """At most 50 lines a function, its docstring included."""
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path, text in _sources()
        for node in ast.walk(parsed(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert long == []


def test_an_operation_costs_few_lines() -> None:
    """All lines of the dialects for each declared operation, and lines of code for each offered one, are bounded."""
    texts = [text for path, text in _sources() if path.is_relative_to(ROOT / "gateway" / "dialects")]
    declared = {
        (dialect.name, operation.method, operation.path): operation
        for dialect in DIALECTS
        for operation in dialect.operations
    }
    offered = [operation for operation in declared.values() if not isinstance(operation, NotOffered)]
    assert sum(text.count("\n") for text in texts) <= MAX_LINES_AN_OPERATION * len(declared)
    assert sum(map(_code_lines, texts)) <= MAX_LINES_AN_OPERATION * len(offered)


def _code_lines(text: str) -> int:
    """Lines that are neither blank nor comments, docstrings or imports."""
    passed: set[int] = set()
    for node in ast.walk(parsed(text)):
        is_prose = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_prose or isinstance(node, ast.Import | ast.ImportFrom):
            passed |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(bool(line.split("#")[0].strip()) for number, line in lines if number not in passed)


def test_the_gateway_is_typed() -> None:
    """`Any` is used only where no type exists."""
    found = [
        match.group()
        for path, text in _sources()
        if path.is_relative_to(ROOT / "gateway")
        for match in re.finditer(r"\bAny\b", text)
    ]
    assert len(found) <= MAX_ANY_IN_GATEWAY
