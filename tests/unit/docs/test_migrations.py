"""The migrations of a service are one line of numbers: two that were written at once must not both be the third."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SERVICES = ("ingest", "rating", "entitlements", "margin")


@pytest.mark.parametrize("service", SERVICES)
def test_migrations_are_one_line(service: str) -> None:
    """Each number stands for one migration, and each migration follows the one with the number before."""
    chain: list[tuple[str, str | None, str]] = []
    for path in sorted((ROOT / "services" / service / "migrations" / "versions").glob("[0-9]*.py")):
        migration = runpy.run_path(str(path))
        chain.append((path.name[:4], migration["down_revision"], migration["revision"]))
    numbers = [f"{number:04}" for number in range(1, len(chain) + 1)]
    assert chain == list(zip(numbers, [None, *numbers], numbers, strict=False))
