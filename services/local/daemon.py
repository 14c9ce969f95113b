"""A server process of the local stack: started until it is ready, stopped in order, killed, restarted.

PostgreSQL, NATS, each service and the gateway are daemons. They differ in how one checks that they are ready, how they
are asked to end, and how long either may take.
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
        STOP_SECONDS: how long it may take to end after it was asked to.
        STOP_SIGNAL: the signal that asks it to end in order.
        process: the process itself.
    """

    READY_SECONDS: ClassVar[float]
    STOP_SECONDS: ClassVar[float]
    STOP_SIGNAL: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, process: ManagedProcess, *ports: Port) -> None:
        """Describe the daemon; nothing starts yet.

        Args:
            process: the operating system's process.
            ports: kept reserved for it until `close`, over all restarts.
        """
        self.process = process
        self._ports = ports

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it answers its clients; called repeatedly while it starts."""

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return self.process.is_running

    def start(self) -> None:
        """Start it and wait until it is ready; does nothing if it runs.

        Raises:
            ProcessFailedError: it could not start; the message shows the end of its log.
        """
        self.process.launch()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until it is ready after its launch.

        Raises:
            ProcessFailedError: it ended, or was not ready in time.
        """
        self.process.wait_ready(self.is_ready, timeout=self.READY_SECONDS)

    def ask_to_stop(self) -> None:
        """Ask it to end in order, without waiting for it, so that several daemons can end side by side."""
        self.process.send(self.STOP_SIGNAL)

    def wait_stopped(self) -> None:
        """Wait until it has ended after it was asked to; kill -9 if that takes too long."""
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
