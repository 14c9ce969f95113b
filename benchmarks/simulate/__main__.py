"""Five years of a thousand subscriptions: no gap, no overlap, no second is billed twice.

python -m benchmarks.simulate [--seed N] [--subscriptions 1000] [--years 5] [--processes 2]

The subscriptions are split among processes. Each process has a seed, which it prints with its findings, so that
`--processes 1 --seed <that seed> --subscriptions <its share>` repeats exactly its part.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.simulate.play import Scale
from benchmarks.simulate.processes import run
from benchmarks.simulate.run import Outcome

SUBSCRIPTIONS = 1000
YEARS = 5
# As many as the cores of the smallest machine on which it runs.
PROCESSES = 2
MAX_SEED = 1_000_000
# Enough to see what is wrong; the rest is mostly repetition.
SHOWN = 40


def main(arguments: Sequence[str]) -> int:
    """Simulate as requested; returns 1 if a law does not hold."""
    options = _options(arguments)
    console = Console()
    console.print(f"seed {options.seed}: {options.subscriptions} subscriptions over {options.years} years")
    share, rest = divmod(options.subscriptions, options.processes)
    scales = [
        Scale(options.seed + number, share + (number < rest), options.years) for number in range(options.processes)
    ]
    outcome = run(scales, console)
    _report(outcome, console)
    return 1 if outcome.wrong else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulate")
    parser.add_argument("--seed", type=int, default=random.randrange(MAX_SEED))
    parser.add_argument("--subscriptions", type=int, default=SUBSCRIPTIONS)
    parser.add_argument("--years", type=int, default=YEARS)
    parser.add_argument("--processes", type=int, default=PROCESSES)
    return parser.parse_args(arguments)


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
    for finding in outcome.wrong[:SHOWN]:
        console.print(f"[red]{finding}[/]", highlight=False)
    verdict = f"[red]{len(outcome.wrong)} laws broken[/]" if outcome.wrong else "[green]every law holds[/]"
    console.print(f"{verdict} after {outcome.seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
