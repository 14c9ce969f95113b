"""A process of a service, or the gateway."""

from __future__ import annotations

from collections.abc import Callable

from services.local.daemon import Daemon
from services.local.managed import ManagedProcess


class ServiceProcess(Daemon):
    """A process of a service, or the gateway.

    Its ports belong to the stack, which tells them to other processes first.
    """

    # One to two seconds measured; tests start many processes at once, on machines with two slow cores.
    READY_SECONDS = 60.0
    # `drain_notice_seconds` + `drain_seconds` of config.Settings, and a little more to close pools.
    STOP_SECONDS = 25.0

    def __init__(self, process: ManagedProcess, is_ready: Callable[[], bool]) -> None:
        """Describe the process; nothing starts yet.

        Args:
            process: the operating system's process.
            is_ready: whether it answers.
        """
        super().__init__(process)
        self._is_ready = is_ready

    def is_ready(self) -> bool:
        """Whether it answers."""
        return self._is_ready()
