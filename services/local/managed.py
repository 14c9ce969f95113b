"""One child process under our care: started, watched, stopped, killed; its output goes to a log file."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from services.chassis.wait import wait_until
from services.kernel.errors import UnavailableError
from services.local import child

# Enough of a log to show a Python traceback or PostgreSQL's reasons, and short enough for an error message.
TAIL_LINES = 30
# A line of these logs is rarely longer than this; the tail is read from the file's end, not the whole file.
TAIL_BYTES = TAIL_LINES * 500
# SIGKILL works at once, except on a process that is stuck waiting for the disk.
KILL_SECONDS = 10.0

# Every fork happens on this one thread, which lives as long as the process. The kernel takes the death of the forking
# *thread* for the death of the parent (see `child`), so a short-lived thread would end its child with it.
_FORKS = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fork")


class ProcessFailedError(UnavailableError):
    """A local process did not start, or ended when it should run; the message shows the end of its log."""


@dataclass(frozen=True)
class User:
    """Whom a child runs as instead of root."""

    uid: int
    gid: int


class ManagedProcess:
    """A child process that dies with us and can be started again after it ended.

    Attributes:
        name: what it is called in logs and messages.
        log_path: where its standard output and error go.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        user: User | None = None,
        death_signal: signal.Signals = signal.SIGKILL,
        cwd: Path | None = None,
    ) -> None:
        """Describe the process; nothing starts yet.

        Args:
            name: what it is called in logs and messages.
            command: program and arguments.
            log_path: where its output is appended; its directory must exist.
            env: its whole environment; ours if None.
            user: whom to run as, for a parent that is root.
            death_signal: what the kernel sends it when we die.
            cwd: its working directory; ours if None.
        """
        self.name = name
        self.log_path = log_path
        self._command = list(command)
        self._env = dict(os.environ if env is None else env)
        self._user = user
        self._death_signal = death_signal
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the latest start."""
        if self._process is None:
            raise ProcessFailedError("PROCESS_NOT_STARTED", f"{self.name} was never started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended. If it has ended, it is reaped."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How the latest start ended, negative for a signal; None while it runs or before the first start."""
        return None if self._process is None else self._process.poll()

    def launch(self) -> None:
        """Start it without waiting for anything; does nothing if it runs."""
        if not self.is_running:
            self._process = _FORKS.submit(self._fork).result()

    def wait_ready(self, is_ready: Callable[[], bool], *, timeout: float) -> None:
        """Wait until `is_ready` holds, and fail at once if the process ends first.

        Raises:
            ProcessFailedError: it ended, or was not ready in time and has been killed.
        """

        def ended_or_ready() -> bool:
            return not self.is_running or is_ready()

        try:
            wait_until(ended_or_ready, timeout=timeout, what=f"{self.name} to be ready")
        except TimeoutError as error:
            self.kill()
            raise self.failure(str(error)) from error
        if not self.is_running:
            raise self.failure(f"{self.name} ended with exit code {self.exit_code} before it was ready")

    def send(self, number: signal.Signals) -> None:
        """Send a signal; does nothing if the process has ended."""
        if self._process is not None:
            self._process.send_signal(number)

    def wait_stopped(self, *, grace: float) -> None:
        """Wait for a process that was asked to end; kill it if it has not ended within `grace` seconds."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout=grace)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill it (kill -9) with everything in its process group, and wait until it is gone."""
        if self._process is None or self._process.poll() is not None:
            return
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=KILL_SECONDS)

    def tail(self) -> str:
        """The last lines of its log."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
            text = log.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-TAIL_LINES:])

    def failure(self, message: str) -> ProcessFailedError:
        """An error with the last lines of the process's log."""
        message = f"{message}; {self.log_path} ends:\n{self.tail()}"
        return ProcessFailedError("PROCESS_FAILED", message, process=self.name)

    def _fork(self) -> subprocess.Popen[bytes]:
        user = "-" if self._user is None else f"{self._user.uid}:{self._user.gid}"
        # Resolved here, because the launcher may no longer be able to search once it has given up root.
        program = shutil.which(self._command[0], path=self._env.get("PATH")) or self._command[0]
        tie = [str(os.getpid()), str(int(self._death_signal)), user]
        # The launcher needs neither site-packages nor PYTHON* variables; the command still gets the latter.
        launcher = [sys.executable, "-I", "-S", child.__file__, *tie]
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                [*launcher, program, *self._command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                # A group of its own: Ctrl-C reaches only the parent, which then stops its children in order.
                start_new_session=True,
            )
