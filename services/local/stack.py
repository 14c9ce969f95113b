"""The whole suite on one machine: PostgreSQL, NATS, every service and the gateway, each a process of its own.

`make run`, the demo, the benchmarks and the tests use it. Whatever ends this process, even kill -9, ends the others
with it (see `child`). The kernel locks the data directory, so no lock file can be left behind.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from services.chassis import log
from services.kernel.errors import FailedPreconditionError, NotFoundError
from services.local.daemon import Daemon
from services.local.directories import lock_directory, make_directories, temporary_directory
from services.local.managed import ManagedProcess
from services.local.nats_server import NatsServer
from services.local.ports import Port
from services.local.postgres_server import PostgresServer
from services.local.readiness import grpc_is_serving, http_is_healthy
from services.local.service_process import ServiceProcess
from services.local.stack_options import GATEWAY, StackOptions, database_variable, grpc_target

# Less than a second per service measured; a migration that fills a column of a large table takes as long as it takes.
MIGRATE_SECONDS = 600.0
# How soon `make run` notices that a process ended; nothing else waits for it.
WATCH_SECONDS = 0.5
# A process that ends this often is broken; restarting it would only hide the reason.
MAX_RESTARTS = 5


class Stack:
    """One running suite; start it once, as a context manager or with `start` and `stop`.

    Attributes:
        options: what it should be.
        data_dir: everything it stores.
        postgres: its own server; None if all databases are elsewhere.
        nats: its own server; None if NATS is elsewhere.
    """

    def __init__(self, options: StackOptions | None = None) -> None:
        self.options = options or StackOptions()
        self.data_dir = self.options.data_dir.absolute()
        self.postgres: PostgresServer | None = None
        self.nats: NatsServer | None = None
        self._ports: dict[str, Port] = {}
        self._servers: dict[str, ServiceProcess] = {}
        # Undoes what was started so far, in reverse order.
        self._undo = ExitStack()

    @classmethod
    @contextmanager
    def temporary(cls, **changes: Any) -> Iterator[Stack]:
        """A started stack on free ports, stopped and deleted at the end; `changes` as in StackOptions."""
        with temporary_directory() as parent:
            stack = cls(replace(StackOptions(ports={}), data_dir=parent / "data", **changes))
            try:
                with stack:
                    yield stack
            finally:
                if stack.postgres is not None:
                    stack.postgres.files.discard()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything in order; if anything fails, what was started is stopped again.

        Raises:
            FailedPreconditionError: another stack uses the data directory.
            ProcessFailedError: a process did not become ready; the message shows the end of its log.
            UnavailableError: a fixed port is in use.
        """
        began = time.monotonic()
        try:
            self._undo.callback(os.close, lock_directory(self.data_dir))
            make_directories(self.data_dir / "logs")
            self._start_stores()
            if self.options.migrate and self.options.services:
                self._migrate()
            self._launch_services()
            if self.options.gateway:
                self._launch_gateway()
            for server in self._servers.values():
                server.wait_ready()
        except BaseException:
            self.stop()
            raise
        log.logger(__name__).info("stack started", seconds=round(time.monotonic() - began, 2))

    def stop(self) -> None:
        """Stop everything in reverse order; calling it twice does no harm."""
        self._undo.close()

    @property
    def names(self) -> list[str]:
        """The names of all processes, in the order they started."""
        return list(self._daemons())

    @property
    def http_url(self) -> str:
        """Where the gateway answers."""
        return f"http://{self._ports[GATEWAY].address}"

    @property
    def nats_url(self) -> str:
        """The URL of NATS, ours or the one elsewhere."""
        return self.nats.url if self.nats is not None else str(self.options.external_nats())

    def database_url(self, service: str) -> str:
        """The URL of a service's database, ours or the one elsewhere."""
        external = self.options.external_database(service)
        if external is not None:
            return external
        if self.postgres is None:
            raise FailedPreconditionError("STACK_NOT_STARTED", "the stack was not started")
        return self.postgres.service_url(service)

    def address(self, service: str) -> str:
        """The gRPC target that reaches all processes of a service."""
        return grpc_target([self._ports[name] for name in self.options.names(service)])

    def metrics_url(self, name: str) -> str:
        """Where a process shows its metrics."""
        return f"http://{self._ports[f'{name}-metrics'].address}/metrics"

    def process(self, name: str) -> ManagedProcess:
        """The process called `name`, e.g. `postgres`, `nats`, `gateway`, `ingest-1`."""
        return self._daemon(name).process

    def log_path(self, name: str) -> Path:
        """Where a process writes its log."""
        return self.data_dir / "logs" / f"{name}.log"

    def kill(self, name: str) -> None:
        """End a process by kill -9, as a crash would."""
        self._daemon(name).kill9()

    def restart(self, name: str) -> None:
        """Stop a process if it runs, start it on the same port and wait until it is ready."""
        self._daemon(name).restart()

    def watch(self) -> None:
        """Restart every process that ends, until one has ended too often; never returns.

        Raises:
            ProcessFailedError: a process ended more than `MAX_RESTARTS` times.
        """
        restarts: Counter[str] = Counter()
        while True:
            time.sleep(WATCH_SECONDS)
            for name, daemon in self._daemons().items():
                if daemon.process.is_running:
                    continue
                restarts[name] += 1
                if restarts[name] > MAX_RESTARTS:
                    raise daemon.process.failure(f"{name} ended {restarts[name]} times")
                log.logger(__name__).warning("process ended", name=name, exit_code=daemon.process.exit_code)
                daemon.start()

    def _daemon(self, name: str) -> Daemon:
        daemons = self._daemons()
        if name not in daemons:
            raise NotFoundError("PROCESS_UNKNOWN", f"no process {name!r}; there are {', '.join(daemons)}", name=name)
        return daemons[name]

    def _daemons(self) -> dict[str, Daemon]:
        stores: dict[str, Daemon | None] = {"nats": self.nats, "postgres": self.postgres}
        return {**{name: store for name, store in stores.items() if store is not None}, **self._servers}

    def _start_stores(self) -> None:
        """NATS and PostgreSQL side by side, and the databases."""
        ports = self.options.ports
        if self.options.external_nats() is None:
            self.nats = NatsServer(
                self.data_dir / "nats",
                port=ports.get("nats", 0),
                monitor_port=ports.get("nats-monitor", 0),
                log_path=self._fresh_log("nats"),
            )
            self._undo.callback(self.nats.close)
            self.nats.process.launch()
        own = [service for service in self.options.services if self.options.external_database(service) is None]
        if own:
            self.postgres = PostgresServer(
                self.data_dir / "postgres",
                port=ports.get("postgres", 0),
                log_path=self._fresh_log("postgres"),
                settings=self.options.postgres_settings,
            )
            self._undo.callback(self.postgres.close)
            self.postgres.start()
            self.postgres.provision(own)
        if self.nats is not None:
            self.nats.wait_ready()

    def _migrate(self) -> None:
        """Migrate all services in one process: most of the time goes into importing Alembic."""
        services = self.options.services
        urls = {database_variable(service): self.database_url(service) for service in services}
        process = ManagedProcess(
            "migrate",
            [sys.executable, "-m", "services.chassis.migrate", *services],
            log_path=self._fresh_log("migrate"),
            env={**self.options.environment(), **urls},
        )
        self._undo.callback(process.kill)
        process.launch()
        process.wait_stopped(grace=MIGRATE_SECONDS)
        if process.exit_code != 0:
            raise process.failure(f"the migrations ended with exit code {process.exit_code}")

    def _launch_services(self) -> None:
        """Start all services at once: each needs only its stores, and finds the others when it calls them."""
        for service in self.options.services:
            for name in self.options.names(service):
                self._reserve(name)
        self._undo.callback(self._stop_services)
        for service in self.options.services:
            told = {"DATABASE_URL": self.database_url(service), **self._addresses()}
            for name in self.options.names(service):
                port = self._ports[name]
                bind = {"GRPC_BIND": port.address, "METRICS_BIND": self._ports[f"{name}-metrics"].address}
                self._launch(name, service, {**told, **bind}, partial(grpc_is_serving, port.number))

    def _launch_gateway(self) -> None:
        """Start the gateway beside the services, which it finds when it calls them; it is stopped before them."""
        self._reserve(GATEWAY)
        port = self._ports[GATEWAY]
        bind = {"HTTP_BIND": port.address, "METRICS_BIND": self._ports[f"{GATEWAY}-metrics"].address}
        server = self._launch(GATEWAY, GATEWAY, {**self._addresses(), **bind}, partial(http_is_healthy, port.number))
        self._undo.callback(server.stop)

    def _launch(self, name: str, service: str, told: dict[str, str], is_ready: Callable[[], bool]) -> ServiceProcess:
        env = self.options.process_environment(name, service, told)
        process = ManagedProcess(name, self.options.command(service), log_path=self._fresh_log(name), env=env)
        server = self._servers[name] = ServiceProcess(process, is_ready)
        process.launch()
        return server

    def _stop_services(self) -> None:
        """Stop the services: all are asked first, so that they drain side by side."""
        for server in self._servers.values():
            server.ask_to_stop()
        for server in self._servers.values():
            server.wait_stopped()

    def _reserve(self, name: str) -> None:
        """Reserve a process's port and its metrics port until the stack stops."""
        for label in (name, f"{name}-metrics"):
            self._ports[label] = self.options.port(label)
            self._undo.callback(self._ports[label].release)

    def _addresses(self) -> dict[str, str]:
        targets = {f"{service.upper()}_ADDRESS": self.address(service) for service in self.options.services}
        return {**targets, "NATS_URL": self.nats_url}

    def _fresh_log(self, name: str) -> Path:
        """An empty log; the last run's is kept beside it."""
        path = self.log_path(name)
        if path.exists():
            path.replace(path.with_suffix(".log.1"))
        return path
