"""Structured logs: readable on a terminal, one JSON object a line otherwise.

Each call ends in one canonical line (chassis.rpc) that says who, what, how long and how it ended; other lines are for
what no call causes: starts, stops, retries, dead letters.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import msgspec
import structlog

_encoder = msgspec.json.Encoder(enc_hook=str)


def _to_json(event: dict[str, Any], **_: Any) -> bytes:
    return _encoder.encode(event)


def configure(service: str, level: str) -> None:
    """Set up logging for a process; call once, before the first line.

    Args:
        service: name every line carries.
        level: least level that is written: debug, info, warning, error.
    """
    renderer: Any = structlog.dev.ConsoleRenderer()
    output: Any = structlog.PrintLoggerFactory(sys.stderr)
    if not sys.stderr.isatty():
        renderer = structlog.processors.JSONRenderer(serializer=_to_json)
        # One write a line: each is a system call that gives the interpreter away in the middle of a call.
        output = structlog.BytesLoggerFactory(sys.stderr.buffer)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=output,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)


def logger(name: str) -> Any:
    """A logger whose lines name the module they come from."""
    return structlog.get_logger(module=name)
