"""What a service has heard of a log, pretended."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field

from services.chassis.freshness import NOTHING_MISSED, Heard


@dataclass
class PretendedFreshness:
    """Answers every wait at once, and remembers who waited.

    Attributes:
        heard: the position.
        newest: how a wait for an organization's newest change ends.
        waited: the numbers and organizations that were waited for, in order.
    """

    heard: int = 0
    newest: Heard = NOTHING_MISSED
    waited: list[int | str] = field(default_factory=list)

    def wait(self, _: str, number: int) -> Heard:
        if number <= self.heard:
            return NOTHING_MISSED
        self.waited.append(number)
        return Heard(number)

    def wait_for_newest(self, organization: str) -> Heard:
        self.waited.append(organization)
        return self.newest

    def hear(self, number: int) -> Future[Heard]:
        return _done(self.wait("", number))

    def hear_newest(self, organization: str) -> Future[Heard]:
        return _done(self.wait_for_newest(organization))


def _done(heard: Heard) -> Future[Heard]:
    future: Future[Heard] = Future()
    future.set_result(heard)
    return future
