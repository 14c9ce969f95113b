"""What travels over NATS: messages, and the parts of a message that is too large for NATS.

NATS takes 1 MiB for a message, and a domain event may be larger: a plan of a hundred charges, an invoice of thousands
of fees. The bus sends such a message in parts with the same headers, each with its place among them, and the reader of
a log joins them again. So neither the announcing nor the applying code knows of parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

# A part leaves half of NATS's default of 1 MiB for headers, and for installations with a lower limit.
PART_BYTES = 512 * 1024
# The most that may be announced: an invoice of 60,000 fees. Every consumer holds it in memory while it applies it.
MAX_BODY_BYTES = 32 * 1024 * 1024

ID_HEADER = "Nats-Msg-Id"
NUMBER_HEADER = "Farebox-Number"
LAST_NUMBER_HEADER = "Farebox-Last-Number"
PART_HEADER = "Farebox-Part"
"""Place and count, as in `2/5`; absent for a whole message."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish.

    Attributes:
        subject: `<service>.<noun>.<past participle>`.
        body: serialized protobuf.
        headers: texts by name; `Nats-Msg-Id` lets the server drop a quick repeat.
    """

    subject: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that was read.

    Attributes:
        subject: where it was published.
        body: serialized protobuf.
        headers: text by name.
        sequence: its place in the stream, or that of the part that came last.
        begins: the place of its first part; the same if it came whole.
    """

    subject: str
    body: bytes
    headers: dict[str, str]
    sequence: int
    begins: int

    @property
    def numbers(self) -> tuple[int, int]:
        """The first and the last of its numbers.

        Raises:
            ValueError: it has none, so it is not a message of a numbered log.
        """
        first = self.headers.get(NUMBER_HEADER, "")
        return int(first), int(self.headers.get(LAST_NUMBER_HEADER, first))


def split(message: Outgoing, part_bytes: int = PART_BYTES) -> Iterator[Outgoing]:
    """The message as it travels: whole, or its parts in order."""
    count = -(-len(message.body) // part_bytes)
    if count <= 1:
        yield message
        return
    for place in range(count):
        part = f"{place + 1}/{count}"
        headers = {**message.headers, PART_HEADER: part}
        if ID_HEADER in headers:
            headers[ID_HEADER] += f"-{part}"
        yield replace(message, body=message.body[place * part_bytes : (place + 1) * part_bytes], headers=headers)


@dataclass(slots=True)
class _Parts:
    """The parts of one message that have come so far, by their place."""

    last: int
    came: dict[int, Incoming] = field(default_factory=dict)

    @property
    def begins(self) -> int:
        return min(part.sequence for part in self.came.values())

    def joined(self, newest: Incoming) -> Incoming:
        body = b"".join(self.came[place].body for place in sorted(self.came))
        return replace(newest, body=body, begins=self.begins)


class Joiner:
    """Joins the parts that a log's reader receives into messages; parts may come twice and in any order."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int, int, int], _Parts] = {}

    def join(self, incoming: Incoming) -> Incoming | None:
        """The message that is now complete; None if parts of it are still to come.

        Raises:
            ValueError: it carries no numbers like a message of a log; somebody else wrote it.
        """
        first, last = incoming.numbers
        place, count = map(int, incoming.headers.get(PART_HEADER, "1/1").split("/"))
        if count == 1:
            return incoming
        key = incoming.subject, first, last, count
        parts = self._open.setdefault(key, _Parts(last))
        parts.came.setdefault(place, incoming)
        if len(parts.came) < count:
            return None
        return self._open.pop(key).joined(incoming)

    def forget(self, number: int) -> None:
        """Drop parts of messages up to a number, since they have been applied."""
        self._open = {key: parts for key, parts in self._open.items() if parts.last > number}

    def clear(self) -> None:
        """Drop everything, since the log is read again."""
        self._open.clear()

    def begins(self, number: int) -> list[int]:
        """Where the incomplete messages beyond a number begin in the stream."""
        return [parts.begins for parts in self._open.values() if parts.last > number]

    @property
    def held_bytes(self) -> int:
        """How much memory the parts take."""
        return sum(len(part.body) for parts in self._open.values() for part in parts.came.values())
