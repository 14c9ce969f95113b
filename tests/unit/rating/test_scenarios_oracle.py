"""Every scenario by the oracle, which shares no code with the services: no file has its figures from the product."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.oracles.billing import shown
from tests.oracles.billing.story import play
from tests.support.scenarios import differences, read_scenario, scenario_files

ORACLES = Path(__file__).parents[2] / "oracles"
# What a specification may know: the standard library, and itself.
FOREIGN = ("services", "gateway", "farebox", "benchmarks", "tests.support")
# Files that bring the oracle together with what it is compared with.
BRIDGES = {"compare.py", "run.py"}


@pytest.mark.parametrize("path", scenario_files(), ids=lambda path: path.stem)
def test_the_invoices_come_to_the_cent(path: Path) -> None:
    """The invoices are those of the price sheet."""
    scenario = read_scenario(path)
    books = play(scenario)
    assert differences(shown.invoices_of(books), scenario.invoices) == []
    if scenario.credit_notes is not None:
        assert differences(shown.credit_notes_of(books), scenario.credit_notes) == []


@pytest.mark.parametrize("path", sorted(ORACLES.glob("*/*.py")), ids=lambda path: path.stem)
def test_the_oracle_shares_no_code_with_the_services(path: Path) -> None:
    """What is computed twice by the same code is computed once; and no story knows what it comes to."""
    if path.name not in BRIDGES:
        assert [name for name in _imports(path) if name.startswith(FOREIGN)] == []


def _imports(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    return [*names, *(node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))]
