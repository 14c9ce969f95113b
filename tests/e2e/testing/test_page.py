"""docs/testing.md shows a test; it must pass as it stands, in a directory that knows nothing of this repository."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "docs" / "testing.md"
# The page promises the first answer within ten seconds; how long it takes is measured by `make bench BENCH=testing`.
# A machine that runs other tests beside it may take much longer.
RUN_SECONDS = 240


def test_the_example_passes(tmp_path: Path) -> None:
    """A reader who follows the page has a working test: pytest itself finds the fixture, and the figures are right."""
    (example,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "test_example.py").write_text(example, encoding="utf-8")
    # Neither our import path nor what this run tells its own pytest.
    foreign = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=foreign,
        timeout=RUN_SECONDS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 passed" in run.stdout
