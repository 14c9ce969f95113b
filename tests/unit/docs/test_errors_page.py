"""docs/errors.md lists every reason that the code can give, so that a caller finds each of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.source import tree_of

ROOT = Path(__file__).resolve().parents[3]


def _reasons_raised() -> Iterator[str]:
    """First arguments in UPPER_SNAKE of everything that is called …Error or Reason."""
    for file in (ROOT / "services").rglob("*.py"):
        for node in ast.walk(tree_of(file)):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = ast.unparse(node.func).rpartition(".")[2]
            first = node.args[0]
            if (name.endswith("Error") or name == "Reason") and isinstance(first, ast.Constant):
                text = str(first.value)
                if re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", text):
                    yield text


def test_every_reason_is_explained() -> None:
    """A reason that a caller may meet stands on the page."""
    page = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")))
    raised = set(_reasons_raised())
    assert len(raised) > 80
    assert raised - page == set()


def test_no_reason_is_explained_that_nobody_gives() -> None:
    """What the page lists, the code can say."""
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| [A-Z_]+ \| `([A-Z0-9_]+)` \|", page, flags=re.MULTILINE))
    # FIELD_INVALID is the reason of InvalidArgumentError.of_field, which passes it on by keyword-less construction.
    assert listed - set(_reasons_raised()) <= {"FIELD_INVALID"}
