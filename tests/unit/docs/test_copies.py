"""No service repeats another: what several need has its one place in kernel, wire or chassis."""

from __future__ import annotations

import ast
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest

from tests.support.source import parsed

ROOT = Path(__file__).parents[3]
# Whoever is deployed on its own; each may use the rooms that all share, and none another's.
DEPLOYED = {name: ROOT / "services" / name for name in ("ingest", "rating", "entitlements", "margin")} | {
    "gateway": ROOT / "gateway"
}
# Shorter runs are what any two files of one style have in common.
RUN = 6

Run = tuple[str, ...]


@cache
def runs_of(room: Path) -> dict[Run, str]:
    """Every run of so many lines of code, and where it stands."""
    found: dict[Run, str] = {}
    for path in sorted(room.rglob("*.py")):
        lines = code_lines(path.read_text())
        for start in range(len(lines) - RUN + 1):
            part = lines[start : start + RUN]
            found.setdefault(tuple(text for _, text in part), f"{path.relative_to(ROOT)}:{part[0][0]}")
    return found


def code_lines(source: str) -> list[tuple[int, str]]:
    """Lines with their numbers, without imports, comments, blank ones and lone brackets, their white space folded."""
    imported = {
        number
        for node in ast.walk(parsed(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    # A `#` within a text cuts that line short on both sides alike.
    texts = ((number, " ".join(line.partition("#")[0].split())) for number, line in enumerate(source.splitlines(), 1))
    return [
        (number, text) for number, text in texts if number not in imported and any(letter.isalnum() for letter in text)
    ]


@pytest.mark.parametrize("rooms", [*combinations(DEPLOYED, 2)], ids="-".join)
def test_no_two_services_share_six_lines(rooms: tuple[str, str]) -> None:
    """What two services say alike is said once, in a room that both use."""
    one, other = (runs_of(DEPLOYED[room]) for room in rooms)
    assert [f"{one[run]} is {other[run]}: {run[0]}" for run in one if run in other] == []


def test_a_copy_is_found_however_it_is_set() -> None:
    """White space, comments and imports do not hide one, and do not make one."""
    plain = "import os\na = 1\nb = [\n    2,\n]\n"
    spread = "from os import (\n    path,\n)\n\na  =  1  # why\n\nb = [\n        2,\n]\n"
    assert [text for _, text in code_lines(plain)] == ["a = 1", "b = [", "2,"]
    assert [text for _, text in code_lines(plain)] == [text for _, text in code_lines(spread)]
