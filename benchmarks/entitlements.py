"""Entitlements against their raw baselines: `python -m benchmarks.entitlements [NAME …]`, all of them if none is named.

One process with its default settings (its log included) on the local PostgreSQL with fsync on. It and the null server
are each kept on one CPU, as in benchmarks.ingest. Requests are serialized before the clock starts, and what was counted
is compared with what was answered at the end of each row.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import grpc
import psycopg

from benchmarks import null_server
from benchmarks.entitlements_load import Load
from benchmarks.harness import ROUNDS, Row, chosen, compare, in_threads, rate, report
from benchmarks.ingest import keep_on_one_cpu, null_channel
from farebox.entitlements.v1 import access_service_pb2 as pb
from services.chassis.rpc.channel import open_channel
from services.local.stack import Stack

TIMEOUT_SECONDS = 60
CHECK_CALLERS = 16
BATCH_CALLERS = 4
BATCH = 100
CONSUME_CALLERS = 64
# Customers of one organization that are consumed for side by side.
SPREAD = 40
# The connections that update one row, in a transaction each time.
RAW_CONNECTIONS = 32
# A second or two a round: long enough for many commits, short enough that the machine's mood is shared.
LONE_CALLS = 1500
ROUND_CALLS = 4000
ROUND_BATCHES = 300
RAW_CALLS = 1500
REACH_BATCH = 50_000


class Bench:
    """A running entitlements service and a load for it.

    Attributes:
        load: what is asked.
        channel: to the service.
        url: of its database.
    """

    def __init__(self, stack: Stack) -> None:
        """Sell to the customers of a running stack."""
        self.load = Load()
        self.url = stack.database_url("entitlements")
        self.channel = open_channel(stack.address("entitlements"))
        self.load.sell(self.url)

    def jobs(self, method: str, requests: Sequence[bytes], verify: Callable[[bytes], None]) -> list[Callable[[], None]]:
        """Calls of a method, each of which makes sure of its answer."""
        call: Any = self.channel.unary_unary(f"/farebox.entitlements.v1.AccessService/{method}")

        def send(request: bytes) -> None:
            verify(call(request, metadata=self.load.metadata, timeout=TIMEOUT_SECONDS))

        return [partial(send, request) for request in requests]

    def consumed(self) -> tuple[int, int]:
        """Units in the ledger, and units that count against limits."""
        with psycopg.connect(self.url) as connection:
            connection.execute(f"SET ROLE {connection.info.user}_worker")
            row = connection.execute(
                "SELECT (SELECT coalesce(sum(units), 0) FROM consumptions), "
                "(SELECT coalesce(sum(consumed_units), 0) FROM entitlements)"
            ).fetchone()
        assert row is not None
        return int(row[0]), int(row[1])


def percentile(jobs: Sequence[Callable[[], None]]) -> float:
    """The 99th percentile of the time one caller waits, in ms."""
    waits = []
    for job in jobs:
        began = time.perf_counter()
        job()
        waits.append(time.perf_counter() - began)
    return sorted(waits)[len(waits) * 99 // 100] * 1000


def null_jobs(channel: grpc.Channel, bench: Bench, count: int) -> list[Callable[[], None]]:
    """Calls of a method that answers nothing."""
    call: Any = channel.unary_unary(null_server.METHOD)
    return [partial(call, b"", timeout=TIMEOUT_SECONDS, metadata=bench.load.metadata)] * count


def check_p99(bench: Bench) -> Row:
    """One caller's 99th percentile against that of a null call."""
    with null_channel() as channel:
        jobs, null = (
            bench.jobs("Check", bench.load.checks(LONE_CALLS), is_allowed),
            null_jobs(channel, bench, LONE_CALLS),
        )
        return compare(
            "check_p99", lambda: percentile(jobs), lambda: percentile(null), unit="ms", reach=1.5, is_at_most=True
        )


def check_rate(bench: Bench) -> Row:
    """Sixteen callers against a null call."""
    with null_channel() as channel:
        jobs, null = (
            bench.jobs("Check", bench.load.checks(ROUND_CALLS), is_allowed),
            null_jobs(channel, bench, ROUND_CALLS),
        )
        return compare(
            "check_rate",
            lambda: rate(ROUND_CALLS, lambda: in_threads(CHECK_CALLERS, jobs)),
            lambda: rate(ROUND_CALLS, lambda: in_threads(CHECK_CALLERS, null)),
            unit="checks/s",
            reach=0.6,
        )


def batch_check_100(bench: Bench) -> Row:
    """A hundred questions a call against the rate to reach."""
    jobs = bench.jobs("BatchCheck", bench.load.batches(ROUND_BATCHES, BATCH), are_allowed)

    def once() -> float:
        return rate(ROUND_BATCHES * BATCH, lambda: in_threads(BATCH_CALLERS, jobs))

    once()
    median = statistics.median(once() for _ in range(ROUNDS))
    return Row("batch_check_100", round(median / REACH_BATCH, 3), median, "checks/s", REACH_BATCH, ROUNDS, 1.0)


def consume(bench: Bench, name: str, customers: int, reach: float) -> Row:
    """Units consumed by this many customers, compared with one raw transaction on one row for each call."""
    counted_before = bench.consumed()
    calls = 0

    def once() -> float:
        nonlocal calls
        calls += ROUND_CALLS
        jobs = bench.jobs("Consume", bench.load.consumptions(ROUND_CALLS, customers), is_allowed)
        return rate(ROUND_CALLS, lambda: in_threads(CONSUME_CALLERS, jobs))

    with raw_row(bench.url) as update:
        row = compare(
            name,
            once,
            lambda: rate(RAW_CALLS, lambda: in_threads(RAW_CONNECTIONS, [update] * RAW_CALLS)),
            unit="calls/s",
            reach=reach,
        )
    counted = tuple(now - before for now, before in zip(bench.consumed(), counted_before, strict=True))
    assert counted == (calls, calls), f"{calls} units were answered, {counted} are in the ledger and in the limits"
    return row


@contextmanager
def raw_row(url: str) -> Iterator[Callable[[], None]]:
    """One durable transaction that counts on one row, on a free one of this many connections."""
    connections = [psycopg.connect(url, autocommit=True, prepare_threshold=1) for _ in range(RAW_CONNECTIONS)]
    connections[0].execute("CREATE TABLE IF NOT EXISTS raw_row (id integer PRIMARY KEY, units numeric NOT NULL)")
    connections[0].execute("INSERT INTO raw_row VALUES (1, 0) ON CONFLICT DO NOTHING")
    free = list(connections)

    def update() -> None:
        connection = free.pop()
        connection.execute("UPDATE raw_row SET units = units + 1 WHERE id = 1")
        free.append(connection)

    yield update
    for connection in connections:
        connection.close()


def is_allowed(answer: bytes) -> None:
    """Make sure that an answer says yes; Check's and Consume's begin alike."""
    assert pb.CheckResponse.FromString(answer).access.allowed


def are_allowed(answer: bytes) -> None:
    """Make sure that every answer of a batch says yes."""
    answers = pb.BatchCheckResponse.FromString(answer).answers
    assert len(answers) == BATCH
    assert answers[0].allowed


@contextmanager
def running() -> Iterator[Bench]:
    """A stack of PostgreSQL, NATS and one process of entitlements."""
    with Stack.temporary(services=["entitlements"], gateway=False) as stack:
        bench = Bench(stack)
        keep_on_one_cpu(stack.process("entitlements-1").pid, 0)
        yield bench


BENCHMARKS: dict[str, Callable[[Bench], Row]] = {
    "check_p99": check_p99,
    "check_rate": check_rate,
    "batch_check_100": batch_check_100,
    "consume_hot": lambda bench: consume(bench, "consume_hot", 1, 3.0),
    "consume_spread": lambda bench: consume(bench, "consume_spread", SPREAD, 5.0),
}


def main() -> None:
    """Run what is named on the command line, or everything."""
    names = chosen(BENCHMARKS)
    rows = []
    for name in names:
        # Each on a database of its own, so that no row pays for what another has stored.
        with running() as bench:
            rows.append(BENCHMARKS[name](bench))
    report(rows)


if __name__ == "__main__":
    main()
