"""The parts a local stack is made of: processes that can be killed and started again, and a locked directory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from services.kernel.errors import FailedPreconditionError
from services.local.managed import ManagedProcess
from services.local.unprivileged import make_directories

# One to two seconds measured; tests start many processes at once on machines with two slow cores.
READY_SECONDS = 60.0
# `drain_notice_seconds` + `drain_seconds` of config.Settings, and a little to close pools.
STOP_SECONDS = 25.0


class Part(Protocol):
    """A process of the stack that can be stopped, killed and started again."""

    @property
    def process(self) -> ManagedProcess:
        """The process itself."""

    def start(self) -> None:
        """Start it and wait until it is ready."""

    def stop(self) -> None:
        """Stop it in order."""

    def kill9(self) -> None:
        """End it by kill -9."""


class Server:
    """A process of a service, or the gateway.

    Attributes:
        process: the process itself.
    """

    def __init__(self, process: ManagedProcess, is_ready: Callable[[], bool]) -> None:
        self.process = process
        self._is_ready = is_ready

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.process.launch()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until a launched one is ready."""
        self.process.wait_ready(self._is_ready, timeout=READY_SECONDS)

    def stop(self) -> None:
        """Let it drain, and kill it if that takes too long."""
        self.process.stop(grace=STOP_SECONDS)

    def kill9(self) -> None:
        """End it by kill -9."""
        self.process.kill()


def lock_directory(directory: Path) -> int:
    """Lock the directory itself for as long as the returned handle is open; the kernel lets go of it when we die.

    Raises:
        FailedPreconditionError: another process holds the lock.
    """
    make_directories(directory)
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        message = f"another stack uses {directory}"
        raise FailedPreconditionError("DATA_DIRECTORY_IN_USE", message, directory=directory) from error
    return handle
