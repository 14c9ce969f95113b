"""Names that are understood at first reading (docs/style.md): loops name the thing, and booleans say what is true."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.source import tree_of

ROOT = Path(__file__).resolve().parents[3]
ROOMS = ("services", "gateway", "farebox", "benchmarks", "examples", "tests")
# Words for the role that a thing has in a sentence; they do not say what it is.
ROLES = {"each", "found", "one", "wanted"}
# Third-person verbs: `is_…`, `has_…`, `must_…`, `with_…` or an adjective says the same and reads as a fact at the call.
VERBS = {
    *("applies", "asks", "fails", "follows", "gives", "goes", "holds", "knows", "lives", "looks"),
    *("rejects", "says", "suits", "takes", "tells", "voids", "waits", "wants"),
}
Named = tuple[int, str]


def _variables(tree: ast.AST) -> Iterator[Named]:
    """The variables of loops, comprehensions and lambdas."""
    for node in ast.walk(tree):
        if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            yield from ((name.lineno, name.id) for name in ast.walk(node.target) if isinstance(name, ast.Name))
        elif isinstance(node, ast.Lambda):
            yield from ((argument.lineno, argument.arg) for argument in node.args.args)


def _booleans(tree: ast.AST) -> Iterator[Named]:
    """The parameters and attributes that are declared to be booleans."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and _is_bool(node.annotation):
            yield node.lineno, node.arg
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and _is_bool(node.annotation):
            yield node.lineno, node.target.id


def _is_bool(annotation: ast.expr | None) -> bool:
    return annotation is not None and "bool" in ast.unparse(annotation).replace(" ", "").split("|")


def _trees() -> Iterator[tuple[Path, ast.AST]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path.relative_to(ROOT), tree_of(path)


def test_the_variable_of_a_loop_is_the_things_name() -> None:
    """`for fee in fees`, never `for each in fees`."""
    wrong = [f"{path}:{line} {name}" for path, tree in _trees() for line, name in _variables(tree) if name in ROLES]
    assert wrong == []


def test_a_boolean_is_no_verb_in_the_third_person() -> None:
    """`must_look=True`, never `looks=True`."""
    wrong = [
        f"{path}:{line} {name}"
        for path, tree in _trees()
        for line, name in _booleans(tree)
        if name.partition("_")[0] in VERBS
    ]
    assert wrong == []
