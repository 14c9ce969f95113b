"""A numbered log from the side of its followers: its messages, their source, and their effect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from services.chassis.bus import Stream


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a numbered log.

    Attributes:
        subject: where it was published.
        first, last: its consecutive numbers; equal for a domain event.
        body: serialized protobuf.
        sequence: its place in the stream, or that of its last part; 0 if it came from the source.
        begins: the place of its first part in the stream; 0 if it came from the source.
        log: name of its log.
    """

    subject: str
    first: int
    last: int
    body: bytes
    sequence: int = 0
    begins: int = 0
    log: str = ""


Apply = Callable[[Connection, Sequence[Message]], None]
"""Takes the effect of messages, in order, in the transaction it is given."""


@dataclass(frozen=True)
class Source:
    """A source from which a log's messages can be fetched again.

    Attributes:
        replay: fetches the messages from the first to the last number.
        published: the last number that the source has sent to the bus.
        beyond: the part of a message with several numbers that lies beyond one of them.
    """

    replay: Callable[[int, int], Iterable[Message]]
    published: Callable[[], int]
    beyond: Callable[[Message, int], Iterable[Message]]


@dataclass(frozen=True)
class Log:
    """A log to follow.

    Attributes:
        name: key of the position, e.g. `usage.3` or `rating`.
        stream: JetStream stream that carries it.
        subject: subject filter within the stream.
        apply: takes the effect of messages. Logs of one stream that share it are applied by one call, each log's
            messages in their order.
        source: where its messages can be fetched again; without a source, the log waits for missing ones.
    """

    name: str
    stream: Stream
    subject: str
    apply: Apply
    source: Source | None = None
