"""README.md promises, and names the tests that prove it: they exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def promises() -> dict[str, list[str]]:
    """The tests that each row of the table names, by its promise."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    table = page.partition("| promise | tests that prove it |")[2].partition("\n\n")[0]
    rows = [row.strip("|").split("|") for row in table.splitlines()[2:]]
    return {promise.strip(): re.findall(r"`(tests/[^`]+)`", proof) for promise, proof in rows}


def test_the_table_is_found() -> None:
    """The page promises several things."""
    assert len(promises()) >= 8


@pytest.mark.parametrize("promise", promises())
def test_a_promise_names_tests_that_exist(promise: str) -> None:
    """Each promise names at least one place, and each place holds tests or scenarios."""
    places = [ROOT / place for place in promises()[promise]]
    assert places
    for place in places:
        held = [*place.rglob("test_*.py"), *place.rglob("*.yaml")] if place.is_dir() else [place]
        assert held, place
        assert all(file.is_file() for file in held), place
