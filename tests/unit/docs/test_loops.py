"""The table of docs/loops.md is the code's: every job and every log has a row, and every row a test that is there."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "loops.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| `")]
SERVICES = ("ingest", "rating", "entitlements", "margin")
# Jobs of one line that every service has, under one row.
EVERYWHERE = {"_old_requests", "_forget_old_requests"}


def rows_of(loop: str) -> list[str]:
    """The rows whose first cell names a loop."""
    return [row for row in ROWS if loop in row.split("|")[1]]


@pytest.mark.parametrize("service", SERVICES)
def test_every_job_has_a_row(service: str) -> None:
    jobs = {job.__name__ for job in importlib.import_module(f"services.{service}.jobs").JOBS}
    without = {name for name in jobs - EVERYWHERE if not rows_of(f"`{service}.jobs.{name}`")}
    assert without == set()


@pytest.mark.parametrize("service", SERVICES)
def test_every_followed_log_has_a_row(service: str) -> None:
    """Logs are named where they are made; the sixteen shards are one row."""
    text = (ROOT / "services" / service / "consumers.py").read_text(encoding="utf-8")
    followed = {"rating"} if "rating_log" in text else {"ingest", "entitlements", "margin"}
    followed |= {"usage"} if "usage_logs" in text else set()
    without = {log for log in followed if not any(f"`{log}`" in row for row in rows_of(f"`{service}` follows"))}
    assert without == set()


@pytest.mark.parametrize("place", sorted(set(re.findall(r"`(tests/[^`]+::\w+)`", PAGE))))
def test_every_poisoned_neighbour_is_there(place: str) -> None:
    path, _, name = place.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_row_names_a_test() -> None:
    assert [row for row in ROWS if "::test_" not in row.split("|")[4]] == []


@pytest.mark.parametrize("loop", re.findall(r"^\| `((?:chassis|ingest|gateway)\.[\w.]+)`", PAGE, re.MULTILINE))
def test_every_loop_of_a_row_is_there(loop: str) -> None:
    module, _, name = loop.rpartition(".")
    room = module if module.startswith("gateway") else f"services.{module}"
    assert hasattr(importlib.import_module(room), name)
