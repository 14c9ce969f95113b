"""The messages of one log, whole and in the order of their numbers, in whatever order the bus delivers them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from services.chassis.followed import Log, Message
from services.chassis.messages import Incoming, Joiner
from services.kernel.errors import UnavailableError

# Messages that came before their turn and wait in memory for a missing one.
MAX_EARLY = 10_000
# Bytes of such messages, and of parts whose other parts are still to come.
MAX_EARLY_BYTES = 256 * 1024 * 1024


class Ordering:
    """Holds the messages of one log until their turn.

    Attributes:
        log: the log of the messages.
        number: the last number that was applied.
        sequence: the place in the stream that is stored with the position.
    """

    def __init__(self, log: Log, number: int, sequence: int) -> None:
        self.log = log
        self.number = number
        self.sequence = sequence
        self._early: dict[int, Message] = {}
        self._bytes = 0
        self._joiner = Joiner()
        # The position at the last question how far the source has published, and the answer.
        self._stood_at = -1
        self._published = 0

    def take(self, incoming: Incoming) -> None:
        """Take a message, or a part of one, from the bus.

        Raises:
            ValueError: it is not a message of a log.
            UnavailableError: `LOG_GAP`, too much waits for a missing message.
        """
        whole = self._joiner.join(incoming)
        if whole is not None:
            first, last = whole.numbers
            self._keep(Message(whole.subject, first, last, whole.body, whole.sequence, whole.begins))
        if len(self._early) > MAX_EARLY or self._bytes + self._joiner.held_bytes > MAX_EARLY_BYTES:
            raise UnavailableError("LOG_GAP", f"{self.log.name}: number {self.number + 1} is missing")

    def take_replayed(self, messages: Iterable[Message]) -> None:
        """Take messages that the source sent again."""
        for message in messages:
            self._keep(message)

    def _keep(self, message: Message) -> None:
        known = self._early.get(message.first)
        if message.last <= self.number or (known is not None and known.last >= message.last):
            return
        self._bytes += len(message.body) - (len(known.body) if known else 0)
        self._early[message.first] = replace(message, log=self.log.name)

    def next_in_line(self, count: int, size: int) -> list[Message]:
        """The messages that may be applied now: at most `count`, together at most `size` bytes, a larger one alone."""
        ready: list[Message] = []
        number, total = self.number, 0
        for first in sorted(self._early) if self._early else ():
            message = self._early[first]
            total += len(message.body)
            if first > number + 1 or len(ready) == count or (ready and total > size):
                break
            if message.last > number:
                ready.append(message)
                number = message.last
        return ready

    def applied(self, number: int, sequence: int) -> None:
        """Record the number that was applied, and the place in the stream that was stored with it."""
        self.number, self.sequence = number, sequence
        passed = [first for first, message in self._early.items() if message.last <= number]
        for first in passed:
            self._bytes -= len(self._early.pop(first).body)
        self._joiner.forget(number)

    def resume_after(self, number: int, read_up_to: int) -> int:
        """The place in the stream where reading continues after a number is applied: before every message that waits.

        Args:
            number: the number that is applied.
            read_up_to: the place up to which everything in the stream was taken in.
        """
        waiting = [message.begins for message in self._early.values() if message.last > number and message.begins]
        waiting += self._joiner.begins(number)
        return max(0, min([read_up_to, *(begins - 1 for begins in waiting)]))

    @property
    def is_waiting(self) -> bool:
        """Whether a message waits that cannot be applied yet, or of which parts are missing."""
        return bool(self._early) or bool(self._joiner.held_bytes)

    def missing(self) -> tuple[int, int] | None:
        """The first and the last number that are missing before the waiting messages; None if none are."""
        upcoming = min(self._early, default=0)
        return (self.number + 1, upcoming - 1) if upcoming > self.number + 1 else None

    def suspect_after(self, published: int) -> int:
        """The last number that the bus may have lost, given the last number that the source has published; 0 for none.

        This is the number that the source had published at the question before, if the position has not moved since.
        """
        suspect = self._published if self._stood_at == self.number and self._published > self.number else 0
        self._stood_at, self._published = self.number, published
        return suspect
