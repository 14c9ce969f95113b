"""How soon an accepted event is visible through the gateway: in current usage, and in the answer of `can()`.

The whole system runs on this machine. One event is sent at a time, and both questions are asked repeatedly until they
show it. docs/performance.md has the targets.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from benchmarks.harness import Row, report
from benchmarks.offer import sell
from farebox.testing import Rest, running

EVENTS = 100
# At this wait nobody notices a delay; the 99th percentile counts, not the median.
REACH_SECONDS = 1.0
# An event that is not visible after this time never will be.
PATIENCE_SECONDS = 60.0


def in_usage(rest: Rest) -> int:
    """How many calls the customer's current usage shows."""
    usage = rest.get("/customers/acme/current_usage", external_subscription_id="sub")["customer_usage"]
    return sum(int(charge["units"]) for charge in usage["charges_usage"])


def in_limit(rest: Rest) -> int:
    """How many calls count against the customer's limit."""
    return int(rest.get("/can", customer_id="acme", feature="calls")["used"] or 0)


def until(began: float, ask: Callable[[], int], count: int) -> float:
    """Seconds from `began` until the answer is `count`; asks without a pause, as the answer takes milliseconds."""
    while ask() != count:
        if time.perf_counter() - began > PATIENCE_SECONDS:
            raise TimeoutError(f"event {count} is not seen")
    return time.perf_counter() - began


def measure(rest: Rest, ask: Callable[[Rest], int], first: int) -> list[float]:
    """Seconds from each acknowledgement until the event is visible."""
    seconds = []
    for number in range(first, first + EVENTS):
        event = {"transaction_id": f"event-{number}", "external_subscription_id": "sub", "code": "api_call"}
        rest.post("/events", {"event": event})
        seconds.append(until(time.perf_counter(), lambda: ask(rest), number))
    return sorted(seconds)


def main() -> None:
    """Measure both and report; the ratio says how many times faster than the target the slowest are."""
    rows = []
    with running() as server, server.new_organization() as organization:
        sell(organization.rest, {"acme": "sub"})
        measure(organization.rest, in_usage, 1)
        for place, (name, ask) in enumerate([("seen_in_usage", in_usage), ("seen_by_can", in_limit)], start=1):
            seconds = measure(organization.rest, ask, place * EVENTS + 1)
            slowest = seconds[EVENTS * 99 // 100]
            print(f"{name}: median {statistics.median(seconds) * 1000:.0f} ms, 99th percentile {slowest * 1000:.0f} ms")
            reached = round(REACH_SECONDS / slowest, 1)
            rows.append(Row(f"{name}_p99", reached, round(slowest * 1000), "ms", 1000, EVENTS, 1.0))
    report(rows)


if __name__ == "__main__":
    main()
