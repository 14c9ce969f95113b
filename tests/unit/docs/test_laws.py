"""Each property and each case states its law in a sentence."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.source import parsed, tree_of

TESTS = Path(__file__).resolve().parents[2]
# Tests of laws, and runners of worked cases and scenarios, wherever they are.
LAWFUL = ("property/**/test_*.py", "**/test_*cases*.py", "**/test_*scenarios*.py")
# In Hypothesis's state machines a rule is a step, and what must hold after it an invariant.
LAW_OF_A_MACHINE = "invariant"

Function = ast.FunctionDef | ast.AsyncFunctionDef


def lawful_files() -> list[Path]:
    return sorted({file for pattern in LAWFUL for file in TESTS.glob(pattern)})


def decorators(function: Function) -> set[str]:
    """The last names of its decorators: `pytest.mark.parametrize(…)` is `parametrize`."""
    bare = [decorator.func if isinstance(decorator, ast.Call) else decorator for decorator in function.decorator_list]
    return {ast.unparse(decorator).rpartition(".")[2] for decorator in bare}


def without_law(tree: ast.Module | ast.ClassDef, outer: str | None) -> Iterator[str]:
    """Names of tests and invariants without a law; a table of cases may state it once, above."""
    said = ast.get_docstring(tree) or outer
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from without_law(node, said)
        elif isinstance(node, Function):
            marks = decorators(node)
            is_law = node.name.startswith("test_") or LAW_OF_A_MACHINE in marks
            is_table = "parametrize" in marks and said is not None
            if is_law and ast.get_docstring(node) is None and not is_table:
                yield node.name


@pytest.mark.parametrize("file", lawful_files(), ids=lambda file: str(file.relative_to(TESTS)))
def test_every_law_is_said(file: Path) -> None:
    """Properties, invariants and cases carry their law as a docstring; a table of cases, the one above it."""
    assert list(without_law(tree_of(file), None)) == []


def test_the_laws_are_found() -> None:
    """The patterns still match files: a tier that is moved must not escape the check."""
    names = {file.name for file in lawful_files()}
    assert {"test_counting_laws.py", "test_cadence_laws.py", "test_cases.py", "test_margin_cases.py"} <= names
    assert "test_scenarios.py" in names


def test_a_law_that_is_not_said_is_noticed() -> None:
    """The check itself can fail: of these, only the silent ones are named."""
    text = '''
class Machine:
    @rule()
    def step(self): ...
    @invariant()
    def silent_invariant(self): ...
    @invariant()
    def invariant_holds(self):
        """Always."""
@given(x)
def test_silent(): ...
@pytest.mark.parametrize("x", [1])
def test_table_without_a_word(): ...
def helper(): ...
'''
    assert list(without_law(parsed(text), None)) == ["silent_invariant", "test_silent", "test_table_without_a_word"]
