"""A server process of the local stack: started until it is ready, stopped in order, killed, started again.

PostgreSQL, NATS, each service and the gateway are daemons; what differs is how one is asked whether it is ready,
how it is asked to end, and how long either may take.
"""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from typing import ClassVar, Self

from services.local.managed import ManagedProcess
from services.local.ports import Port


class Daemon(ABC):
    """A child process that serves on reserved ports.

    Attributes:
        READY_SECONDS: how long it may take from its launch until it is ready.
        STOP_SECONDS: how long it may take to end once it was asked.
        STOP_SIGNAL: what asks it to end in order.
        process: the process itself.
    """

    READY_SECONDS: ClassVar[float]
    STOP_SECONDS: ClassVar[float]
    STOP_SIGNAL: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, process: ManagedProcess, *ports: Port) -> None:
        """Describe the daemon; nothing starts yet.

        Args:
            process: what runs it.
            ports: reserved for it until `close`, over all restarts.
        """
        self.process = process
        self._ports = ports

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it answers its clients; asked again and again while it starts."""

    @property
    def is_running(self) -> bool:
        """Whether the process runs."""
        return self.process.is_running

    def start(self) -> None:
        """Start it and wait until it is ready; a running one stays as it is.

        Raises:
            ProcessFailedError: it could not start; the message shows the end of its log.
        """
        self.process.launch()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until a launched one is ready.

        Raises:
            ProcessFailedError: it ended or was not ready in time.
        """
        self.process.wait_ready(self.is_ready, timeout=self.READY_SECONDS)

    def ask_to_stop(self) -> None:
        """Ask it to end in order, without waiting for it: several can so end side by side."""
        self.process.send(self.STOP_SIGNAL)

    def wait_stopped(self) -> None:
        """Wait until one that was asked has ended; kill -9 if that takes too long."""
        self.process.wait_stopped(grace=self.STOP_SECONDS)

    def stop(self) -> None:
        """End it in order; kill -9 if that takes too long. Its ports stay reserved."""
        self.ask_to_stop()
        self.wait_stopped()

    def kill9(self) -> None:
        """End it by kill -9, as a crash would."""
        self.process.kill()

    def restart(self) -> None:
        """Stop it if it runs, and start it on the same ports with the same data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop it and give its ports back."""
        self.stop()
        for port in self._ports:
            port.release()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
