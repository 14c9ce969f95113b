"""REST against its raw baselines: `python -m benchmarks.gateway [NAME …]`, all of them if none is named.

The whole system runs with its default settings on the local PostgreSQL with fsync on, one process a service, left to
the scheduler. Each round begins when the system is idle: what is accepted is also counted, enforced and costed, and
what a round leaves of that must not be paid by the next. Requests are written before the clock starts.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from benchmarks import http_load
from benchmarks.harness import Row, chosen, compare, in_threads, rate, report
from benchmarks.http_load import PERCENTILES, Figures
from benchmarks.ingest_load import Load, copier
from benchmarks.offer import sell
from farebox.testing import Farebox, FareboxServer
from services.chassis.wait import wait_until
from services.kernel.ids import new_id
from services.local.ports import LOOPBACK, Port
from services.local.readiness import http_is_healthy
from services.local.stack import Stack
from services.local.stack_options import StackOptions

CONNECTIONS = 64
CUSTOMERS = 100
# One to five seconds a round: long enough for many answers, short enough that the machine's mood is shared.
ROUND_REQUESTS = 3_000
BASELINE_REQUESTS = 20_000
ROUND_BATCHES = 300
BATCH = 100
REACH = {"rest_single": 0.25, "rest_batch_100": 0.25, "can_rest": 0.15}
READY_SECONDS = 30.0
# Timers and heartbeats of an idle system take a tenth of a CPU over all processes; looked at for so long.
IDLE_SHARE = 0.3
IDLE_WINDOW_SECONDS = 0.5
# A round leaves some ten seconds of counting behind at most.
SETTLE_SECONDS = 120.0


class Requests:
    """Makes requests of one key."""

    def __init__(self, secret_key: str) -> None:
        """Make requests with this key."""
        self._headers = f"host: farebox\r\nauthorization: Bearer {secret_key}\r\n"

    def single(self, count: int) -> Iterator[bytes]:
        """Fresh events, one a request."""
        return (self._post("/api/v1/events", f'{{"event": {_event(number)}}}') for number in range(count))

    def batches(self, count: int) -> Iterator[bytes]:
        """Fresh events, a hundred a request."""
        for number in range(count):
            events = ", ".join(_event(number * BATCH + place) for place in range(BATCH))
            yield self._post("/api/v1/events/batch", f'{{"events": [{events}]}}')

    def can(self, count: int) -> Iterator[bytes]:
        """Questions of all customers in turn."""
        for number in range(count):
            path = f"/api/v1/can?customer_id=customer-{number % CUSTOMERS}&feature=calls"
            yield f"GET {path} HTTP/1.1\r\n{self._headers}\r\n".encode()

    def _post(self, path: str, body: str) -> bytes:
        about = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        return f"POST {path} HTTP/1.1\r\n{self._headers}{about}\r\n{body}".encode()


def _event(number: int) -> str:
    properties = f'{{"tokens": {number}, "model": "gpt-4o", "region": "eu-west-1"}}'
    return (
        f'{{"transaction_id": "{new_id()}", "external_subscription_id": "sub-{number % CUSTOMERS}", '
        f'"code": "api_call", "properties": {properties}}}'
    )


class Bench:
    """A running system, and the constant server beside it.

    Attributes:
        requests: makes requests of its organization.
    """

    def __init__(self, stack: Stack, organization: Farebox, constant: tuple[str, int]) -> None:
        """Use what runs."""
        parts = urlsplit(stack.http_url)
        self.requests = Requests(organization.secret_key)
        self._gateway = (str(parts.hostname), int(parts.port or 0))
        self._constant = constant
        self._stack = stack
        self._load = Load()
        self.milliseconds: dict[str, list[dict[int, float]]] = {}

    def against_constant(self, name: str, requests: Callable[[int], Iterator[bytes]]) -> Row:
        """Requests through the gateway against the same requests at the constant server."""

        def baseline() -> float:
            self._settle()
            return http_load.run(self._constant, CONNECTIONS, requests(BASELINE_REQUESTS)).rate

        return compare(
            name, lambda: self._rest(name, requests(ROUND_REQUESTS)).rate, baseline, unit="/s", reach=REACH[name]
        )

    def against_copy(self, name: str) -> Row:
        """Batches through the gateway against COPY of finished rows, one connection, one commit a batch."""

        def baseline() -> float:
            data = self._load.copies(ROUND_BATCHES, BATCH)
            self._settle()
            with psycopg.connect(self._stack.database_url("ingest")) as connection:
                connection.execute(f"SET ROLE {connection.info.user}_worker")
                connection.commit()
                jobs = [partial(copier(connection), batch) for batch in data]
                return rate(len(jobs) * BATCH, lambda: in_threads(1, jobs))

        return compare(
            name,
            lambda: self._rest(name, self.requests.batches(ROUND_BATCHES)).rate * BATCH,
            baseline,
            unit="events/s",
            reach=REACH[name],
        )

    def _rest(self, name: str, requests: Iterator[bytes]) -> Figures:
        self._settle()
        figures = http_load.run(self._gateway, CONNECTIONS, requests)
        self.milliseconds.setdefault(name, []).append(figures.milliseconds)
        return figures

    def _settle(self) -> None:
        """Wait until the system has nothing to do."""
        pids = [self._stack.process(name).pid for name in self._stack.names]
        wait_until(lambda: _busy(pids) < IDLE_SHARE, timeout=SETTLE_SECONDS, what="the system to be idle")


BENCHMARKS: dict[str, Callable[[Bench], Row]] = {
    "rest_single": lambda bench: bench.against_constant("rest_single", bench.requests.single),
    "rest_batch_100": lambda bench: bench.against_copy("rest_batch_100"),
    "can_rest": lambda bench: bench.against_constant("can_rest", bench.requests.can),
}


def _busy(pids: list[int]) -> float:
    """CPUs that processes keep busy just now."""
    before = _cpu_seconds(pids)
    time.sleep(IDLE_WINDOW_SECONDS)
    return (_cpu_seconds(pids) - before) / IDLE_WINDOW_SECONDS


def _cpu_seconds(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        # The name, which may hold spaces, ends with the last parenthesis; user and system time are 12th and 13th after.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def constant_server() -> Iterator[tuple[str, int]]:
    """The constant server, in a process of its own."""
    port = Port(0)
    environment = {**StackOptions().environment(), "HTTP_BIND": port.address}
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.constant_server"], env=environment)
    try:
        wait_until(lambda: http_is_healthy(port.number), timeout=READY_SECONDS, what="the constant server")
        yield LOOPBACK, port.number
    finally:
        process.terminate()
        process.wait()
        port.release()


def main() -> None:
    """Run what is named on the command line, or everything, on one system."""
    names = chosen(BENCHMARKS)
    rows = []
    with (
        Stack.temporary() as stack,
        FareboxServer.on(stack) as server,
        server.new_organization() as organization,
        constant_server() as constant,
    ):
        sell(organization.rest, {f"customer-{number}": f"sub-{number}" for number in range(CUSTOMERS)})
        bench = Bench(stack, organization, constant)
        for name in names:
            rows.append(BENCHMARKS[name](bench))
            by_round = bench.milliseconds[name][1:]
            medians = {share: statistics.median(figures[share] for figures in by_round) for share in PERCENTILES}
            print(f"{name}: " + ", ".join(f"{share}th percentile {ms:.1f} ms" for share, ms in medians.items()))
    report(rows)


if __name__ == "__main__":
    main()
