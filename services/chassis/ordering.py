"""The messages of one log, whole and in the order of their numbers, however the bus brought them."""

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
    """Holds what came of one log until its turn.

    Attributes:
        log: whose messages.
        number: the last one that was applied.
        sequence: the place in the stream that is stored with the position.
    """

    def __init__(self, log: Log, number: int, sequence: int) -> None:
        self.log = log
        self.number = number
        self.sequence = sequence
        self._early: dict[int, Message] = {}
        self._bytes = 0
        self._joiner = Joiner()
        # The position when the source was last asked how far it has published, and its answer.
        self._stood_at = -1
        self._published = 0

    def take(self, incoming: Incoming) -> None:
        """Take in what the bus brought.

        Raises:
            ValueError: it is no message of a log.
            UnavailableError: `LOG_GAP`, too much waits for a missing message.
        """
        whole = self._joiner.join(incoming)
        if whole is not None:
            first, last = whole.numbers
            self._keep(Message(whole.subject, first, last, whole.body, whole.sequence, whole.begins))
        if len(self._early) > MAX_EARLY or self._bytes + self._joiner.held_bytes > MAX_EARLY_BYTES:
            raise UnavailableError("LOG_GAP", f"{self.log.name}: number {self.number + 1} is missing")

    def take_replayed(self, messages: Iterable[Message]) -> None:
        """Take in what the source sent again."""
        for message in messages:
            self._keep(message)

    def _keep(self, message: Message) -> None:
        known = self._early.get(message.first)
        if message.last <= self.number or (known is not None and known.last >= message.last):
            return
        self._bytes += len(message.body) - (len(known.body) if known else 0)
        self._early[message.first] = replace(message, log=self.log.name)

    def next_in_line(self, count: int, size: int) -> list[Message]:
        """What may be applied now, at most `count` messages of together `size` bytes, a larger one by itself."""
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
        """Note what was applied, and the place in the stream that was stored with it."""
        self.number, self.sequence = number, sequence
        passed = [first for first, message in self._early.items() if message.last <= number]
        for first in passed:
            self._bytes -= len(self._early.pop(first).body)
        self._joiner.forget(number)

    def resume_after(self, number: int, read_up_to: int) -> int:
        """Where in the stream reading goes on once a number is applied: before all that waits.

        Args:
            number: what is applied.
            read_up_to: the place up to which everything in the stream was taken in.
        """
        waiting = [message.begins for message in self._early.values() if message.last > number and message.begins]
        waiting += self._joiner.begins(number)
        return max(0, min([read_up_to, *(begins - 1 for begins in waiting)]))

    @property
    def is_waiting(self) -> bool:
        """Whether something came that cannot be applied yet, or parts of it are still to come."""
        return bool(self._early) or bool(self._joiner.held_bytes)

    def missing(self) -> tuple[int, int] | None:
        """The first and the last number that are missing before what came; None where nothing is."""
        upcoming = min(self._early, default=0)
        return (self.number + 1, upcoming - 1) if upcoming > self.number + 1 else None

    def suspect_after(self, published: int) -> int:
        """The last number that the bus may have lost, now that the source says up to where it published; 0 for none.

        That is what the source had published when it was asked before, where the position stands where it stood then.
        """
        suspect = self._published if self._stood_at == self.number and self._published > self.number else 0
        self._stood_at, self._published = self.number, published
        return suspect
