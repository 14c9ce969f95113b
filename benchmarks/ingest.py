"""Ingest against its raw baselines: `python -m benchmarks.ingest [NAME …]`, all of them if none is named.

The service runs with its default settings (logging included) on the local PostgreSQL with fsync on, as many processes
as the row says, each kept on one CPU as a pod with a CPU of its own is: a process has one interpreter lock, so a second
CPU only makes its threads wait for each other across CPUs. The null server is kept in the same way. The client and COPY
run in this process. Requests are serialized before the clock starts: what is measured is the service, not a client
library.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import psycopg
from pydantic import SecretStr

from benchmarks import null_server
from benchmarks.harness import Row, chosen, compare, in_threads, rate, report
from benchmarks.ingest_load import Load, copier, sender
from services.chassis.config import Settings
from services.chassis.db import Database
from services.chassis.rpc.channel import open_channel
from services.chassis.wait import wait_until
from services.local.ports import Port
from services.local.readiness import grpc_is_serving
from services.local.stack import Stack

# Callers share a commit, so there must be several: twenty-four batches of 1,000 in progress, or sixty-four of 100.
BATCH_CALLERS = {1000: 24, 100: 64}
SINGLE_CALLERS = 64
# As many processes as k8s/base runs.
REPLICAS = 2
# One to three seconds for a round: long enough for many commits, short enough that the machine's mood is the same.
ROUND_EVENTS = 160_000
ROUND_CALLS = 10_000
FEW_STORED = 100_000
MANY_STORED = 10_000_000
LOAD_BATCH = 10_000
READY_SECONDS = 30.0


class Bench:
    """A running ingest service and a load for it.

    Attributes:
        load: makes the events.
        channel: the channel to the service, balanced over its processes.
    """

    def __init__(self, stack: Stack, load: Load) -> None:
        """Use a running stack."""
        self.load = load
        self.channel = open_channel(stack.address("ingest"))
        self._url = stack.database_url("ingest")
        db = Database(Settings(database_url=SecretStr(self._url), database_pool_size=1))
        load.teach(db)
        db.dispose()

    def send(self, size: int, callers: int, events: int = ROUND_EVENTS) -> float:
        """Events a second through the service."""
        requests = self.load.requests(events // size, size)
        send = sender(self.channel, self.load, size=size)
        jobs = [partial(send, request) for request in requests]
        return rate(len(jobs) * size, lambda: in_threads(callers, jobs))

    def copy(self, size: int, events: int = ROUND_EVENTS) -> float:
        """Events a second through COPY of finished rows: one connection, one commit for each batch."""
        data = self.load.copies(events // size, size)
        with self.connection() as connection:
            jobs = [partial(copier(connection), batch) for batch in data]
            return rate(len(jobs) * size, lambda: in_threads(1, jobs))

    def fill(self, events: int) -> None:
        """Store events without the service."""
        with self.connection() as connection:
            copy = copier(connection)
            for _ in range(events // LOAD_BATCH):
                copy(self.load.copies(1, LOAD_BATCH)[0])

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        """A connection with the service's own role for batches."""
        with psycopg.connect(self._url) as connection:
            connection.execute(f"SET ROLE {connection.info.user}_worker")
            connection.commit()
            yield connection


def batch(bench: Bench, size: int, name: str) -> Row:
    """A batch size against raw COPY of the same batches."""
    return compare(
        name, lambda: bench.send(size, BATCH_CALLERS[size]), lambda: bench.copy(size), unit="events/s", reach=0.5
    )


def single(bench: Bench) -> Row:
    """Single events against a null call, with 64 callers each."""
    with null_channel() as channel:
        call: Any = channel.unary_unary(null_server.METHOD)
        jobs = [partial(call, b"", timeout=60, metadata=bench.load.metadata)] * ROUND_CALLS

        def null() -> float:
            return rate(ROUND_CALLS, lambda: in_threads(SINGLE_CALLERS, jobs))

        return compare(
            "ingest_single",
            lambda: bench.send(1, SINGLE_CALLERS, ROUND_CALLS),
            null,
            unit="events/s",
            reach=0.7,
        )


@contextmanager
def null_channel() -> Iterator[grpc.Channel]:
    """A channel to a null server in a process of its own."""
    port = Port(0)
    environment = {"GRPC_BIND": port.address}
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.null_server"], env=_inherit(environment))
    channel = open_channel(port.address)
    try:
        wait_until(lambda: grpc_is_serving(port.number), timeout=READY_SECONDS, what="the null server")
        keep_on_one_cpu(process.pid, 0)
        yield channel
    finally:
        channel.close()
        process.terminate()
        process.wait()
        port.release()


def _inherit(changes: dict[str, str]) -> dict[str, str]:
    from services.local.stack_options import StackOptions

    return {**StackOptions().environment(), **changes}


def at_size(name: str, make_id: Callable[[], str] | None = None) -> Row:
    """Batches of 1,000 when many events are stored, against batches when few are."""
    loads = [Load(make_id) if make_id else Load() for _ in range(2)]
    with one_service(REPLICAS) as few_stack, one_service(REPLICAS) as many_stack:
        few, many = Bench(few_stack, loads[0]), Bench(many_stack, loads[1])
        few.fill(FEW_STORED)
        many.fill(MANY_STORED)
        return compare(
            name,
            lambda: many.send(1000, BATCH_CALLERS[1000]),
            lambda: few.send(1000, BATCH_CALLERS[1000]),
            unit="events/s",
            reach=0.8,
        )


@contextmanager
def one_service(replicas: int = 1) -> Iterator[Stack]:
    """A stack of PostgreSQL, NATS and this many processes of ingest."""
    with Stack.temporary(services=["ingest"], gateway=False, replicas={"ingest": replicas}) as stack:
        for number, name in enumerate(name for name in stack.names if name.startswith("ingest")):
            keep_on_one_cpu(stack.process(name).pid, number)
        yield stack


def keep_on_one_cpu(pid: int, number: int) -> None:
    """Keep all threads of a process on one of our CPUs; numbers beyond the last CPU start again at the first."""
    cpus = sorted(os.sched_getaffinity(0))
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {cpus[number % len(cpus)]})


def with_bench(run: Callable[[Bench], Row], replicas: int = 1) -> Row:
    """Run a benchmark on a fresh stack."""
    with one_service(replicas) as stack:
        bench = Bench(stack, Load())
        bench.fill(FEW_STORED)
        return run(bench)


BENCHMARKS: dict[str, Callable[[], Row]] = {
    "ingest_batch_1000": lambda: with_bench(lambda bench: batch(bench, 1000, "ingest_batch_1000"), REPLICAS),
    "ingest_batch_100": lambda: with_bench(lambda bench: batch(bench, 100, "ingest_batch_100"), REPLICAS),
    "ingest_single": lambda: with_bench(single),
    "ingest_at_10m": lambda: at_size("ingest_at_10m"),
    "ingest_at_10m_hashed_ids": lambda: at_size("ingest_at_10m_hashed_ids", lambda: secrets.token_hex(16)),
}


def main() -> None:
    """Run the benchmarks named on the command line, or all of them."""
    names = chosen(BENCHMARKS)
    report([BENCHMARKS[name]() for name in names])


if __name__ == "__main__":
    main()
