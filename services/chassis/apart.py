"""One message for many organizations: the parts that cannot be applied are set aside; all others take effect.

A follower isolates messages (chassis.follower). A message with parts of several organizations is isolated here, part by
part (chassis.isolate).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

from google.protobuf.message import DecodeError
from sqlalchemy.engine import Connection

from services.chassis import metrics
from services.chassis.db import is_passing
from services.chassis.followed import Apply, Message
from services.chassis.isolate import isolated
from services.chassis.log import logger

log = logger(__name__)

# Distinguishes the parts of one message in the table of dead letters.
_DIGEST_BYTES = 8
# How much of an error is stored: enough to recognise it.
_MAX_ERROR = 2000

Split = Callable[[Message], Sequence[bytes]]
"""The bodies of the smallest messages that together do what one message does, in order."""


def applying_apart(apply: Apply, split: Split) -> Apply:
    """Apply messages so that a faulty part of one stops neither other messages nor the other parts of its own.

    Args:
        apply: applies whole messages.
        split: splits one message; a message that cannot be split is set aside as a whole. A part is set aside as a
            dead letter of `<log>/<digest of its body>`.
    """

    def apply_messages(tx: Connection, messages: Sequence[Message]) -> None:
        # If several messages fail together, the follower repeats them one by one, so savepoints are needed only for
        # one.
        if len(messages) != 1:
            apply(tx, messages)
            return
        for message, error in _apart(tx, messages[0], apply, split):
            _set_aside(tx, message, error)

    return apply_messages


def _apart(tx: Connection, message: Message, apply: Apply, split: Split) -> list[tuple[Message, Exception]]:
    """Apply a message, part by part if it fails as a whole; returns the parts that failed, with their errors."""

    def take(messages: Sequence[Message]) -> None:
        apply(tx, messages)

    _, failed = isolated(tx, [message], take, is_passing=is_passing)
    parts = _parts(message, split) if failed else []
    if len(parts) <= 1:
        return [(part, failed[0][1]) for part in parts]
    _, failed = isolated(tx, parts, take, is_passing=is_passing)
    return failed


def _parts(message: Message, split: Split) -> list[Message]:
    """The parts of a message; the message itself if it cannot even be read."""
    try:
        bodies = split(message)
    except DecodeError:
        bodies = ()
    return [replace(message, body=body) for body in bodies] or [message]


def _set_aside(tx: Connection, message: Message, error: Exception) -> None:
    digest = hashlib.blake2b(message.body, digest_size=_DIGEST_BYTES).hexdigest()
    tx.exec_driver_sql(
        "INSERT INTO dead_letters (log, number, subject, body, error) VALUES (%s, %s, %s, %s, %s) "
        "ON CONFLICT DO NOTHING",
        (f"{message.log}/{digest}", message.first, message.subject, message.body, repr(error)[:_MAX_ERROR]),
    )
    metrics.DEAD_LETTERS.labels(message.log).inc()
    log.error("dead_letter", log=message.log, number=message.first, part=digest, error=repr(error))
