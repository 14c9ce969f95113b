"""Tests wait for what must come by a constant that says why it is long enough, and never just for time to pass."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.source import parsed, tree_of

TESTS = Path(__file__).resolve().parents[2]


def waits_that_are_guesses(tree: ast.AST, *, must_fail: bool = False) -> Iterator[int]:
    """Lines of sleeps, and of waits limited by a bare number; a wait that must fail (`pytest.raises`) may be short."""
    for node in ast.iter_child_nodes(tree):
        fails = must_fail or (isinstance(node, ast.With) and "pytest.raises" in ast.unparse(node.items[0]))
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            limits = [keyword.value for keyword in node.keywords if keyword.arg == "timeout"]
            is_guess = name == "wait_until" and not fails and any(isinstance(limit, ast.Constant) for limit in limits)
            # Zero only lets others run.
            is_sleep = name.endswith("sleep") and [ast.unparse(argument) for argument in node.args] != ["0"]
            if is_guess or is_sleep:
                yield node.lineno
        yield from waits_that_are_guesses(node, must_fail=fails)


def test_no_test_guesses_how_long_something_takes() -> None:
    """On a machine with twenty times as much work as cores, a wait of one second fails without any fault."""
    guesses = [
        f"{file.relative_to(TESTS)}:{line}"
        for file in sorted(TESTS.rglob("*.py"))
        for line in waits_that_are_guesses(tree_of(file))
    ]
    assert guesses == []


def test_a_guess_is_noticed() -> None:
    """The check itself can fail: of these, only the guesses are named."""
    text = """
wait_until(done, timeout=PATIENCE_SECONDS, what="it")
wait_until(done, timeout=1.0, what="it")
with pytest.raises(TimeoutError):
    wait_until(done, timeout=0.1, what="it")
time.sleep(1)
async def step():
    await asyncio.sleep(0)
"""
    assert list(waits_that_are_guesses(parsed(text))) == [3, 6]
