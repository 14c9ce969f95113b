"""Five years of a thousand subscriptions: no gap, no overlap, no second billed twice.

python -m benchmarks.simulate [--seed N] [--subscriptions 1000] [--years 5] [--processes 2]

The subscriptions are split among processes. Each has the seed it prints with what it found, so that
`--processes 1 --seed <that seed> --subscriptions <its share>` plays exactly its part again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import multiprocessing.pool
import random
import sys
from collections.abc import Sequence
from datetime import datetime
from multiprocessing.managers import ValueProxy

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.simulate.play import BEGINS_AT, Scale
from benchmarks.simulate.run import Outcome, simulate
from services.chassis.local_postgres import LocalPostgres
from services.chassis.migrate import migrate

SUBSCRIPTIONS = 1000
YEARS = 5
# As many cores as the smallest machine that it is run on.
PROCESSES = 2
MAX_SEED = 1_000_000
REFRESH_SECONDS = 0.5
# Enough to see what is wrong; the rest is mostly the same again.
SHOWN = 40


def main(arguments: Sequence[str]) -> int:
    """Simulate as asked; 1 where a law does not hold."""
    options = _options(arguments)
    console = Console()
    console.print(f"seed {options.seed}: {options.subscriptions} subscriptions over {options.years} years")
    share, rest = divmod(options.subscriptions, options.processes)
    scales = [
        Scale(options.seed + number, share + (number < rest), options.years) for number in range(options.processes)
    ]
    outcome = _run(scales, console)
    _report(outcome, console)
    return 1 if outcome.wrong else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulate")
    parser.add_argument("--seed", type=int, default=random.randrange(MAX_SEED))
    parser.add_argument("--subscriptions", type=int, default=SUBSCRIPTIONS)
    parser.add_argument("--years", type=int, default=YEARS)
    parser.add_argument("--processes", type=int, default=PROCESSES)
    return parser.parse_args(arguments)


def _run(scales: Sequence[Scale], console: Console) -> Outcome:
    """All simulations at once, with a bar for each."""
    # What a power cut would lose is of no interest here.
    with LocalPostgres.temporary(settings={"fsync": "off"}) as server, multiprocessing.Manager() as manager:
        server.provision(["rating"])
        migrate("services.rating", server.service_url("rating"))
        told = [manager.Value("d", 0.0) for _ in scales]
        jobs = [(scale, server.clone_database("rating"), at) for scale, at in zip(scales, told, strict=True)]
        with multiprocessing.get_context("spawn").Pool(len(scales)) as pool:
            running = pool.starmap_async(_work, jobs)
            _watch(scales, told, running, console)
            outcome = Outcome()
            for each in running.get():
                outcome += each
            return outcome


def _work(scale: Scale, database_url: str, told: ValueProxy[float]) -> Outcome:
    """One simulation in a process of its own."""
    last_day = BEGINS_AT.date()

    def tell(at: datetime) -> None:
        nonlocal last_day
        if at.date() != last_day:
            last_day = at.date()
            told.value = at.timestamp()

    return simulate(scale, database_url, tell)


def _watch(
    scales: Sequence[Scale],
    told: Sequence[ValueProxy[float]],
    running: multiprocessing.pool.AsyncResult[list[Outcome]],
    console: Console,
) -> None:
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[day]}"), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        begin = BEGINS_AT.timestamp()
        bars = [
            progress.add_task(f"seed {scale.seed}", total=scale.ends_at.timestamp() - begin, day="") for scale in scales
        ]
        while not running.ready():
            running.wait(REFRESH_SECONDS)
            for bar, at in zip(bars, told, strict=True):
                if at.value:
                    day = datetime.fromtimestamp(at.value, BEGINS_AT.tzinfo).date().isoformat()
                    progress.update(bar, completed=at.value - begin, day=day)


def _report(outcome: Outcome, console: Console) -> None:
    table = Table("what", "how often")
    counts = {
        "subscriptions begun": outcome.lives,
        **dict(sorted(outcome.done.items())),
        "usage events": outcome.events,
        "periods closed at their end": outcome.periods,
        "invoices finalized as they fell due": outcome.invoices,
    }
    for what, count in counts.items():
        table.add_row(what, f"{count:,}")
    console.print(table)
    for each in outcome.wrong[:SHOWN]:
        console.print(f"[red]{each}[/]", highlight=False)
    verdict = f"[red]{len(outcome.wrong)} laws broken[/]" if outcome.wrong else "[green]every law holds[/]"
    console.print(f"{verdict} after {outcome.seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
