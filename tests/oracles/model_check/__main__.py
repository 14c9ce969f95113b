"""Random cases by the oracle and by the product: nothing may differ.

python -m tests.oracles.model_check [--seed N] [--cases 20000] [--model calendars|prices|histories]
                                    [--height memory|commands] [--processes 2]

Every case has a seed; what differs is printed with it, as the smallest price sheet that still differs.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.oracles.model_check.run import MODELS, Outcome, run

CASES = 20_000
# As many cores as the smallest machine that it is run on.
PROCESSES = 2
MAX_SEED = 1_000_000_000
# Enough to see what is wrong; the rest is mostly the same again.
SHOWN = 10


def main(arguments: Sequence[str]) -> int:
    """Compare as asked; 1 where anything differs."""
    options = _options(arguments)
    console = Console()
    console.print(f"seed {options.seed}: {options.cases} cases of each model, by {options.height}")
    has_differences = False
    for model in options.model or MODELS:
        outcome = _check(model, options, console)
        has_differences = has_differences or bool(outcome.differences)
    return 1 if has_differences else 0


def _check(model: str, options: argparse.Namespace, console: Console) -> Outcome:
    began, whole = time.perf_counter(), Outcome()
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task(model, total=options.cases)
        for part in run(model, options.seed, options.cases, options.processes, options.height):
            for text in part.differences[: max(0, SHOWN - len(whole.differences))]:
                console.print(text, markup=False, highlight=False)
            whole += part
            progress.update(bar, completed=whole.cases)
    table = Table("what", "how often", title=model)
    for what, count in sorted(whole.seen.items()):
        table.add_row(what, f"{count:,}")
    console.print(table)
    colour = "red" if whole.differences else "green"
    seconds = time.perf_counter() - began
    console.print(
        f"[{colour}]{model}: {len(whole.differences)} of {whole.cases:,} cases differ[/] after {seconds:.0f} s"
    )
    return whole


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.oracles.model_check")
    parser.add_argument("--seed", type=int, default=random.randrange(MAX_SEED))
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--model", action="append", choices=MODELS)
    parser.add_argument("--height", choices=["memory", "commands"], default="memory")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
