"""How soon a test has a Farebox: from the call to the first answered request, and how soon it is gone again."""

from __future__ import annotations

import statistics
import time

from benchmarks.harness import Row, report
from farebox.testing import running

ROUNDS = 5
# What docs/testing.md promises.
REACH_SECONDS = 10.0


def start_and_stop() -> tuple[float, float]:
    """Seconds until the first request was answered, and until everything was gone."""
    began = time.perf_counter()
    with running() as server, server.new_organization() as organization:
        assert organization.rest.get("/plans")["plans"] == []
        answered = time.perf_counter()
    return answered - began, time.perf_counter() - answered


def main() -> None:
    """Start and stop a few, and report."""
    start_and_stop()
    rounds = [start_and_stop() for _ in range(ROUNDS)]
    first, gone = (statistics.median(seconds) for seconds in zip(*rounds, strict=True))
    print(f"first request after {', '.join(f'{start:.2f}' for start, _ in rounds)} s")
    report(
        [
            Row("first_request", round(REACH_SECONDS / first, 2), round(first, 2), "s", REACH_SECONDS, ROUNDS, 1.0),
            Row("farebox_stopped", None, round(gone, 2), "s", None, ROUNDS),
        ]
    )


if __name__ == "__main__":
    main()
