"""From acknowledged to counted, limited and costed: `python -m benchmarks.pipeline [NAME …]`.

pipeline              a burst of events until rating, entitlements and margin have applied it, events a second, against
                      the same burst into ingest with nobody behind it, in turns
pipeline_sustained    the highest rate at which what is not applied yet does not grow, against the same ingest alone
freshness_usage       from an event's acknowledgement until current usage counts it, at half of that rate; p99
freshness_check       the same until Check counts it
idle_bus              messages a second that all services announce while nobody sends anything

After each row the sums of all services are what was sent. Replays, moved positions, memory and CPU an event are printed
beside the table.
`BENCH_SHORT=1` takes fewer rounds of fewer events, for a machine that others need, too.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from benchmarks.harness import Row, chosen, compare, rate, report
from benchmarks.ingest import Bench
from benchmarks.ingest_load import Load, sender
from benchmarks.pipeline_world import CALL_SECONDS, FEATURE, World, event, world
from farebox.entitlements.v1.access_service_pb2 import CheckRequest
from farebox.entitlements.v1.access_service_pb2_grpc import AccessServiceStub
from farebox.ingest.v1.usage_event_service_pb2 import IngestUsageEventsRequest
from farebox.rating.v1.usage_service_pb2 import GetCurrentUsageRequest
from farebox.rating.v1.usage_service_pb2_grpc import UsageServiceStub
from services.chassis.wait import wait_until
from services.local.stack import Stack

IS_SHORT = bool(os.environ.get("BENCH_SHORT"))
BATCH, CALLERS = 1000, 24
BURST = 40_000 if IS_SHORT else 200_000
ROUNDS = 3 if IS_SHORT else 5
CUSTOMERS = int(os.environ.get("BENCH_CUSTOMERS", "200"))
# A rate is held if the lag at the end of this time is at most what one second brings.
HOLD_SECONDS = 8.0 if IS_SHORT else 60.0
# Each step is this much above the last rate that was held; the search ends at the first that is not.
STEP = 1.3
FIRST_RATE = 1_000
# Events in one call of the paced sender: as many as a gateway's coalescer combines.
PACED_BATCH = 50
PROBES = 60 if IS_SHORT else 300
PROBE_PAUSE_SECONDS = 0.05
IDLE_SECONDS = 10.0
SEEN_SECONDS = 30.0
REACH_BURST, REACH_SUSTAINED = 0.4, 0.3
REACH_MS = {"freshness_usage": 250, "freshness_check": 150}


def burst(system: World) -> float:
    """Events a second until all of a burst are applied everywhere."""
    requests = system.requests(BURST // BATCH, BATCH)

    def work() -> None:
        system.send(requests, BATCH, CALLERS)
        system.settle()

    return rate(BURST, work)


def pipeline(system: World, alone: Bench) -> list[Row]:
    """A burst through everything, and into ingest alone."""
    before, began = system.cpu_seconds(), time.perf_counter()
    row = compare(
        "pipeline",
        lambda: burst(system),
        lambda: alone.send(BATCH, CALLERS, BURST),
        unit="events/s",
        reach=REACH_BURST,
        rounds=ROUNDS,
    )
    events = BURST * (ROUNDS + 1)
    used = {name: seconds - before[name] for name, seconds in system.cpu_seconds().items()}
    shares = ", ".join(f"{name} {seconds / events * 1e6:.0f}" for name, seconds in used.items())
    services = sum(seconds for name, seconds in used.items() if name not in {"nats", "postgres"})
    print(f"CPU an event, µs: {shares}; services together {services / events * 1e6:.0f}")
    _print_health(system, time.perf_counter() - began)
    return [row]


class Paced:
    """Sends events at a rate, from a thread of its own, as long as its block lasts."""

    def __init__(self, system: World, events_per_second: float) -> None:
        self._system = system
        self._pause = PACED_BATCH / events_per_second
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.missed = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        send = sender(self._system.channels["ingest"], self._system, size=PACED_BATCH)
        due = time.perf_counter()
        while not self._stopping.is_set():
            send(self._system.requests(1, PACED_BATCH)[0])
            self._system.count(PACED_BATCH)
            due += self._pause
            ahead = due - time.perf_counter()
            self.missed = max(self.missed, -ahead)
            self._stopping.wait(max(0.0, ahead))


def is_held(system: World, events_per_second: float) -> bool:
    """Whether the number of unapplied events does not grow at a rate."""
    with Paced(system, events_per_second) as paced:
        middle = _lag_after(system, HOLD_SECONDS / 2)
        end = _lag_after(system, HOLD_SECONDS / 2)
    system.settle()
    most = events_per_second
    print(
        f"{events_per_second:,.0f}/s: lag {middle:,} after half the time, {end:,} at its end; late {paced.missed:.1f} s"
    )
    return end <= most and paced.missed < HOLD_SECONDS / 4


def _lag_after(system: World, seconds: float) -> int:
    threading.Event().wait(seconds)
    return min(system.lag() for _ in range(3))


def sustained(system: World, alone: Bench) -> tuple[Row, float]:
    """The highest rate that is held, against ingest alone."""
    held, upcoming = 0.0, float(FIRST_RATE)
    while is_held(system, upcoming):
        held, upcoming = upcoming, upcoming * STEP
    baseline = statistics.median(alone.send(BATCH, CALLERS, BURST) for _ in range(3))
    row = Row("pipeline_sustained", round(held / baseline, 3), held, "events/s", round(baseline), 1, REACH_SUSTAINED)
    return row, held


def freshness(system: World, events_per_second: float) -> list[Row]:
    """How soon single events are visible while others arrive at a rate."""
    usage = UsageServiceStub(system.channels["rating"])
    access = AccessServiceStub(system.channels["entitlements"])
    wanted = GetCurrentUsageRequest(external_customer_id="customer-0", external_subscription_id="customer-0")
    asked = CheckRequest(external_customer_id="customer-0", feature_code=FEATURE)
    questions: dict[str, Callable[[], float]] = {
        "freshness_usage": lambda: sum(
            float(fee.units.value) for fee in system.call(usage.GetCurrentUsage, wanted).usage.fees
        ),
        "freshness_check": lambda: float(system.call(access.Check, asked).access.used.value),
    }
    rows = []
    for name, ask in questions.items():
        # The other events do not touch this customer, so its units say what was visible.
        with Paced(system, events_per_second):
            seconds = sorted(_seen_after(system, ask) for _ in range(PROBES))
        system.settle()
        slowest, middle = seconds[len(seconds) * 99 // 100], statistics.median(seconds)
        print(f"{name} at {events_per_second:,.0f}/s: median {middle * 1000:.0f} ms, p99 {slowest * 1000:.0f} ms")
        reach = REACH_MS[name]
        rows.append(
            Row(f"{name}_p99", round(reach / slowest / 1000, 2), round(slowest * 1000), "ms", reach, PROBES, 1.0)
        )
    return rows


def _seen_after(system: World, ask: Callable[[], float]) -> float:
    before = ask()
    call: Any = system.channels["ingest"].unary_unary("/farebox.ingest.v1.UsageEventService/IngestUsageEvents")
    call(
        IngestUsageEventsRequest(events=[event("customer-0")]).SerializeToString(),
        metadata=system.metadata,
        timeout=CALL_SECONDS,
    )
    began = time.perf_counter()
    system.count(1)
    wait_until(lambda: ask() > before, timeout=SEEN_SECONDS, what="the event to be seen")
    seconds = time.perf_counter() - began
    threading.Event().wait(PROBE_PAUSE_SECONDS)
    return seconds


def idle_bus(system: World) -> Row:
    """Messages a second while nobody sends."""
    wait_until(system.is_announced, timeout=SEEN_SECONDS, what="rest")
    threading.Event().wait(2.0)
    before = system.announced()
    threading.Event().wait(IDLE_SECONDS)
    messages = (system.announced() - before) / IDLE_SECONDS
    return Row("idle_bus", None, messages, f"messages/s, {CUSTOMERS} customers", None, 1)


def _print_health(system: World, seconds: float) -> None:
    replayed, moved = system.metric("farebox_log_replayed_total{"), system.position_moved()
    print(
        f"in {seconds:.0f} s: {replayed} messages replayed, {moved} positions moved, {system.announced():,} announced"
    )
    print("memory, MiB: " + ", ".join(f"{name} {mib}" for name, mib in system.memory_mib().items()))


NAMES = ("pipeline", "pipeline_sustained", "freshness", "idle_bus")


def main() -> None:
    """Run the benchmarks named on the command line, or all of them."""
    names = chosen(NAMES)
    rows: list[Row] = []
    with Stack.temporary(services=["ingest"], gateway=False) as ingest_alone, world(CUSTOMERS) as system:
        alone = Bench(ingest_alone, Load())
        if "pipeline" in names:
            rows += pipeline(system, alone)
        pace = float(os.environ.get("BENCH_RATE", "3000"))
        if "pipeline_sustained" in names:
            row, held = sustained(system, alone)
            rows.append(row)
            pace = held / 2
        if "freshness" in names:
            rows += freshness(system, pace)
        if "idle_bus" in names:
            rows.append(idle_bus(system))
        _print_health(system, 0)
    report(rows)


if __name__ == "__main__":
    main()
