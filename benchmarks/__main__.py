"""`python -m benchmarks NAME`: one benchmark, or `all` one after the other; `make bench BENCH=NAME` calls it."""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = ("ingest", "rating", "entitlements", "margin", "gateway", "freshness", "lago_story", "pipeline", "testing")


def main() -> None:
    """Run what the command line names."""
    wanted = sys.argv[1:] or ["all"]
    unknown = [name for name in wanted if name not in (*BENCHMARKS, "all")]
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)} and all")
    names = BENCHMARKS if "all" in wanted else wanted
    # Each reads the names of its rows from the command line; none means all of them.
    sys.argv[1:] = []
    for name in names:
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
