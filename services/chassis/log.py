"""Structured logs: readable on a terminal, otherwise one JSON object on each line.

Each call ends in one canonical line (chassis.rpc) that says who, what, how long and how it ended. Other lines are for
what no call causes: starts, stops, retries, dead letters.

Lines of calls that went well are written together, a few times a second: each write is a system call that gives up the
interpreter in the middle of a call. Every worse line is written at once, with everything that waits before it.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, BinaryIO

import msgspec
import structlog

# How long a line may wait to be written; a process that is killed loses the good news of this time.
WRITE_SECONDS = 0.1

_encode = msgspec.json.Encoder(enc_hook=str).encode
_UTC_OFFSET = len("+00:00")


class Lines:
    """Lines on their way to a stream; also the class that structlog uses as a logger."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._waiting: deque[bytes] = deque()
        self._writing = threading.Lock()

    def start(self) -> None:
        """Write waiting lines again and again, and at the end of the process."""
        atexit.register(self.write)
        threading.Thread(target=self._run, name="log-lines", daemon=True).start()

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(WRITE_SECONDS):
            self.write()

    def write(self) -> None:
        """Write the waiting lines."""
        with self._writing:
            if self._waiting:
                lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
                # A closed or broken stream: nobody reads it any more, and a service must not end because of that.
                with contextlib.suppress(OSError, ValueError):
                    self._stream.write(b"\n".join((*lines, b"")))
                    self._stream.flush()

    def info(self, line: bytes) -> None:
        """A line that may wait."""
        self._waiting.append(line)

    debug = info

    def error(self, line: bytes) -> None:
        """A line that may be the last."""
        self._waiting.append(line)
        self.write()

    warning = critical = error


def configure(service: str, level: str) -> None:
    """Set up logging for a process; call once, before the first line.

    Args:
        service: the name that every line carries.
        level: the lowest level that is written: debug, info, warning, error.
    """
    structlog.configure(
        processors=[_completer(service), structlog.processors.format_exc_info, *_renderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=_output(),
        cache_logger_on_first_use=True,
    )


Event = MutableMapping[str, Any]


def _completer(service: str) -> Callable[[Any, str, Event], Event]:
    """A processor that adds the time, the level and the service; one for all three costs a third of one for each."""

    def complete(_: Any, level: str, event: Event) -> Event:
        event["level"] = level
        event["timestamp"] = datetime.now(UTC).isoformat()[:-_UTC_OFFSET] + "Z"
        event["service"] = service
        return event

    return complete


def _renderer() -> list[Any]:
    if sys.stderr.isatty():
        return [structlog.dev.ConsoleRenderer()]
    return [lambda _logger, _level, event: _encode(event)]


def _output() -> Callable[..., Any]:
    if sys.stderr.isatty():
        return structlog.PrintLoggerFactory(sys.stderr)
    lines = Lines(sys.stderr.buffer)
    lines.start()
    return lambda *_: lines


def logger(name: str) -> Any:
    """A logger whose lines name the module from which they come."""
    return structlog.get_logger(module=name)
