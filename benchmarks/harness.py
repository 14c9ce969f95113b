"""What all benchmarks share: interleaved rounds, medians, a table, and one JSON line for each row.

Machines are shared and noisy, so a figure has a meaning only as a ratio to a baseline that ran in turns with it.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

ROUNDS = 5
# Below this a figure is shown with its decimals.
FEW = 100


@dataclass(frozen=True)
class Row:
    """One line of the result.

    Attributes:
        benchmark: its name, as in docs/performance.md.
        ratio: the measured median divided by the baseline's; None without a baseline.
        median: the measured median.
        unit: the unit of both medians.
        baseline: the baseline's median; None without a baseline.
        rounds: how often each ran.
        reach: the target ratio; None without a target.
        is_at_most: whether the ratio shall not exceed `reach`, instead of not falling below it.
    """

    benchmark: str
    ratio: float | None
    median: float
    unit: str
    baseline: float | None
    rounds: int
    reach: float | None = None
    is_at_most: bool = False

    @property
    def is_reached(self) -> bool:
        """Whether the ratio is what it shall be; true where there is nothing to reach."""
        if self.reach is None or self.ratio is None:
            return True
        return self.ratio <= self.reach if self.is_at_most else self.ratio >= self.reach


def chosen(known: Iterable[str]) -> list[str]:
    """The names on the command line, or all that are known; ends the process for one that is not."""
    names = list(known)
    unknown = set(sys.argv[1:]) - set(names)
    if unknown:
        sys.exit(f"no row {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return sys.argv[1:] or names


def compare(
    benchmark: str,
    measured: Callable[[], float],
    baseline: Callable[[], float],
    *,
    unit: str,
    reach: float,
    rounds: int = ROUNDS,
    is_at_most: bool = False,
) -> Row:
    """Run both in turns: once each to warm up, and `rounds` times for the result."""
    measured()
    baseline()
    figures: list[tuple[float, float]] = []
    for number in range(rounds):
        # The order changes with each round, so that neither always finds the other's dirt.
        first, second = (measured, baseline) if number % 2 else (baseline, measured)
        one, two = first(), second()
        figures.append((one, two) if number % 2 else (two, one))
    own = statistics.median(figure for figure, _ in figures)
    raw = statistics.median(figure for _, figure in figures)
    row = Row(benchmark, round(own / raw, 3), round(own, 2), unit, round(raw, 2), rounds, reach, is_at_most)
    # At once, since a run of all rows takes half an hour and may be cut short.
    print(f"{benchmark}: {row.ratio} ({row.median} against {row.baseline} {unit})", file=sys.stderr, flush=True)
    return row


def rate(count: int, work: Callable[[], None]) -> float:
    """How many of `count` things the work does in a second."""
    started = time.perf_counter()
    work()
    return count / (time.perf_counter() - started)


def in_threads(callers: int, jobs: Sequence[Callable[[], None]]) -> None:
    """Do jobs in this many threads; the first error of any thread is raised."""
    waiting = iter(jobs)
    guard = threading.Lock()
    errors: list[BaseException] = []

    def work() -> None:
        while not errors:
            with guard:
                job = next(waiting, None)
            if job is None:
                return
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - handed to the caller below
                errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def report(rows: Sequence[Row]) -> None:
    """Print a table for people, and for programs a JSON line for each row."""
    table = Table("benchmark", "ratio", "reach", "median", "baseline", "unit")
    for row in rows:
        colour = "green" if row.is_reached else "red"
        table.add_row(
            row.benchmark,
            f"[{colour}]{row.ratio}[/]" if row.ratio is not None else "-",
            f"{'≤' if row.is_at_most else '≥'} {row.reach}" if row.reach is not None else "-",
            f"{row.median:,.4g}" if row.median < FEW else f"{row.median:,.0f}",
            "-" if row.baseline is None else f"{row.baseline:,.4g}" if row.baseline < FEW else f"{row.baseline:,.0f}",
            row.unit,
        )
    Console().print(table)
    for row in rows:
        print(
            json.dumps(
                {
                    "benchmark": row.benchmark,
                    "ratio": row.ratio,
                    "median": row.median,
                    "unit": row.unit,
                    "baseline": row.baseline,
                    "rounds": row.rounds,
                }
            )
        )
