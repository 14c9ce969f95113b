"""What README and docs/tutorial.md tell a reader to run is run as it stands, and ends on the invoice they promise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from farebox.testing import Farebox

ROOT = Path(__file__).resolve().parents[3]
README, TUTORIAL = ROOT / "README.md", ROOT / "docs" / "tutorial.md"
# About a dozen requests, one of which closes a month; a machine that runs other tests beside it takes its time.
RUN_SECONDS = 240


def blocks(page: Path, language: str) -> str:
    """All blocks of a page in one language, in order, as a reader would copy them one after another."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found, f"{page.name} shows no {language}"
    return "".join(found)


class Reader:
    """Somebody in an empty directory with the key and the address of a Farebox, and nothing of this repository."""

    def __init__(self, farebox: Farebox, directory: Path) -> None:
        foreign = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
        self._environment = {
            **foreign,
            "FAREBOX_BOOTSTRAP_SECRET_KEY": farebox.secret_key,
            "FAREBOX_URL": farebox.url,
        }
        self._directory = directory

    def runs_shell(self, page: Path) -> str:
        """What the shell blocks of a page print; the first command that fails ends them."""
        return self._run("bash", "-euo", "pipefail", "-c", blocks(page, "sh"))

    def runs_python(self, page: Path) -> str:
        """What the Python of a page prints."""
        return self._run(sys.executable, "-c", blocks(page, "python"))

    def _run(self, *command: str) -> str:
        run = subprocess.run(
            command,
            cwd=self._directory,
            env=self._environment,
            timeout=RUN_SECONDS,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout


@pytest.fixture
def reader(farebox: Farebox, tmp_path: Path) -> Reader:
    """A reader with a fresh organization."""
    return Reader(farebox, tmp_path)


def totals(farebox: Farebox, customer: str) -> list[tuple[str, int]]:
    """State and total in cents of each invoice of a customer."""
    listed = farebox.rest.get("/invoices", external_customer_id=customer)["invoices"]
    return [(invoice["status"], invoice["total_amount_cents"]) for invoice in listed]


def test_the_event_of_the_readme_ends_on_an_invoice(reader: Reader, farebox: Farebox) -> None:
    """README alone leads from nothing to a finalized invoice: 29 dollars and one call at 2 cents."""
    shown = reader.runs_shell(README)
    assert '"total_amount_cents":2902' in shown
    assert totals(farebox, "customer_123") == [("finalized", 2902)]


def test_the_tutorial_is_true(reader: Reader, farebox: Farebox, tmp_path: Path) -> None:
    """With curl, and then with Python on the same Farebox: the promised totals, explanations and drawings."""
    shown = reader.runs_shell(TUTORIAL)
    assert '"status":"duplicate"' in shown
    explanation = shown[shown.index('{"explanation":') :]
    assert {f"call-{number}" for number in (1, 2, 3)} == set(re.findall(r"call-\d+", explanation))
    assert totals(farebox, "customer_123") == [("finalized", 2906)]
    assert (tmp_path / "invoice.pdf").read_bytes().startswith(b"%PDF")

    shown = reader.runs_python(TUTORIAL)
    assert "total: 1200 cents, finalized" in shown
    assert "100000 x 0.00002 = 2\n" in shown
    assert totals(farebox, "globex") == [("finalized", 1200)]
    assert (tmp_path / "invoice-globex.pdf").read_bytes().startswith(b"%PDF")


def test_the_python_of_the_tutorial_stands_alone(reader: Reader, farebox: Farebox) -> None:
    """It can be run instead of the part with curl: it starts the clock where that part leaves it."""
    assert {"prompt-1 1500", "prompt-2 48500", "prompt-3 50000"} <= set(reader.runs_python(TUTORIAL).splitlines())
    assert totals(farebox, "globex") == [("finalized", 1200)]
