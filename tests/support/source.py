"""Python source as trees, for tests that read code."""

from __future__ import annotations

import ast
import gc
from functools import cache
from pathlib import Path


@cache
def tree_of(path: Path) -> ast.Module:
    """The tree of a file, parsed once."""
    return parsed(path.read_text(encoding="utf-8"))


def parsed(source: str) -> ast.Module:
    """The tree of a source, made without collecting garbage meanwhile.

    A finalizer of another test's garbage may fail, and its traceback is made with `ast.parse` (Python 3.11 underlines
    the failing part of a line). One such call within another is a SystemError: "AST constructor recursion depth
    mismatch".
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        if was_enabled:
            gc.enable()
