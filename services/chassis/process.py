"""The life of a process: start its parts, report ready, wait for SIGTERM, drain in reverse order."""

from __future__ import annotations

import gc
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from services.chassis import metrics
from services.chassis.config import Settings
from services.chassis.log import configure, logger

S = TypeVar("S", bound=Settings)
D = TypeVar("D")
log = logger(__name__)

# Objects made between two looks for garbage: those of ten batches of 1,000 events.
GC_THRESHOLD = 50_000


class Worker(Protocol):
    """Something that runs beside the server: a relay, a follower, a job."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """Finish the present work and end."""


class Server(Protocol):
    """A gRPC server: chassis.rpc.server.Server or chassis.rpc.server_async.AsyncServer."""

    @property
    def port(self) -> int:
        """The port on which it listens."""

    def start(self, service_names: Sequence[str]) -> None:
        """Accept calls."""

    def drain(self) -> None:
        """Finish running calls and accept no more."""


@dataclass(frozen=True)
class Parts(Generic[D]):
    """The parts of a service, as its `main.build` returns them.

    Attributes:
        server: the gRPC server with its servicers.
        service_names: full names of the gRPC services, for reflection.
        workers: what is started before the server and stopped after it, in reverse order.
        close: closes pools and connections at the very end.
        deps: what its commands and queries are given, for callers other than the server.
    """

    server: Server
    service_names: Sequence[str]
    workers: Sequence[Worker]
    close: Callable[[], None]
    deps: D


def run(service: str, settings_type: type[S], build: Callable[[S], Parts[Any]]) -> None:
    """Run a service until SIGTERM or SIGINT; `--print-config` only prints its settings, with secrets hidden."""
    settings = settings_type()
    if "--print-config" in sys.argv:
        sys.stdout.write(settings.model_dump_json(indent=2) + "\n")
        return
    configure(service, settings.log_level)
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    parts = build(settings)
    tune_memory()
    metrics.serve(settings.metrics_bind)
    for worker in parts.workers:
        worker.start()
    parts.server.start(parts.service_names)
    log.info("ready", port=parts.server.port)
    stop.wait()
    log.info("draining")
    parts.server.drain()
    for worker in reversed(parts.workers):
        worker.stop()
    parts.close()
    log.info("stopped")


def tune_memory() -> None:
    """Look for garbage cycles rarely: a batch makes thousands of objects and no cycle, and 15 % of the rate is lost."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
