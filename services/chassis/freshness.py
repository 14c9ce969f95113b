"""How far a service has heard a log, and waiting until it has heard more: bounded, and shared by all who wait.

A service that follows a log knows a change once its position (chassis.follower) has reached the number of the change.
Whoever asks after a change waits for that; whoever names no change may still let the log's source be asked for the
number of the organization's newest one, which is done before something is said to be missing.

**The contract.** Once a wait has ended well, the *database* of the service holds what the change did. What a process
keeps in memory beside it must be compared with the database after that: by `know`, which is called before any wait ends
(entitlements' memory), or by whoever uses it (ingest's catalog, at every commit).

Nobody's wait holds a thread of its own or a loop: one thread looks at the position while anybody waits, another asks,
for all organizations at once. A number that does not come in time is waited for by nobody else: no later number comes
before it, so that a bus that stands still costs one wait and not one a call.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple

from services.chassis.db import DATABASE_ERRORS, Database
from services.chassis.job import Job
from services.chassis.log import logger
from services.kernel.errors import UnavailableError
from services.kernel.ids import OrganizationId

log = logger(__name__)

# A position is looked at again after a quarter of the time that was waited so far, within these bounds: a change comes
# within some milliseconds, or much later.
FIRST_LOOK_SECONDS = 0.002
LAST_LOOK_SECONDS = 0.05
# Between two questions to the source: some tens a second, however many callers are denied.
ASK_PAUSE_SECONDS = 0.02
# Organizations in one question, as many as rating takes.
MAX_ORGANIZATIONS = 1_000
# A source that could not be asked is left in peace for this long; callers are answered from what is known.
SILENT_SECONDS = 0.25
# How long a number that did not come in time is waited for by nobody else.
OVERDUE_SECONDS = 30.0
# Threads of a server that may wait at once, in all and for one organization; the others answer from what is known.
MAX_THREADS = 12
MAX_THREADS_OF_ONE = 6
# Beyond the wait itself, for the thread that looks.
GRACE_SECONDS = 1.0

# Makes what is kept in memory as new as the database is; where it raises, nothing was heard yet.
Know = Callable[[], None]
# The number of the newest change of each of these organizations; raises UnavailableError.
AskNewest = Callable[[Collection[OrganizationId]], Mapping[OrganizationId, int]]


class Heard(NamedTuple):
    """How a wait ended.

    Attributes:
        number: the position of the log that is reached for certain; 0 where nothing had to be waited for.
        is_behind: whether there is a change that did not come in time, or nobody could say whether there is one.
    """

    number: int = 0
    is_behind: bool = False


NOTHING_MISSED = Heard()
BEHIND = Heard(is_behind=True)


@dataclass(order=True)
class _Waiter:
    number: int
    deadline: float = field(compare=False)
    future: Future[Heard] = field(compare=False)


class Freshness:
    """What this process knows of a log's position; start it beside the follower.

    Attributes:
        heard: the last position that was seen, and is known; the database's may be further.
    """

    def __init__(
        self,
        db: Database,
        log_name: str,
        ask_newest: AskNewest,
        *,
        wait_seconds: float,
        know: Know | None = None,
    ) -> None:
        """Prepare to wait.

        Args:
            db: of the service that follows.
            log_name: the log, as the follower calls it.
            ask_newest: asks the log's source.
            wait_seconds: the longest wait for a number.
            know: makes what is kept in memory as new as the database is.
        """
        self.heard = 0
        self._db = db
        self._log_name = log_name
        self._ask_newest = ask_newest
        self._wait_seconds = wait_seconds
        self._know = know
        self._guard = threading.Lock()
        self._waiters: list[_Waiter] = []
        self._waiting_since = 0.0
        # The least number that did not come in time, and until when that is remembered.
        self._overdue, self._overdue_until = 0, 0.0
        self._asking: dict[OrganizationId, list[Future[Heard]]] = {}
        self._silent_until = 0.0
        self._threads: Counter[OrganizationId] = Counter()
        self._waits, self._asked = threading.Event(), threading.Event()
        self._looker = Job(f"hear-{log_name}", self._look, wake=self._waits)
        self._asker = Job(f"ask-{log_name}", self._ask, wake=self._asked)

    def start(self) -> None:
        """Begin to look and to ask, when somebody waits."""
        self._looker.start()
        self._asker.start()

    def stop(self) -> None:
        """End; whoever still waits is behind."""
        self._asker.stop()
        self._looker.stop()
        with self._guard:
            left = [*(waiter.future for waiter in self._waiters)]
            left += [future for futures in self._asking.values() for future in futures]
            self._waiters, self._asking = [], {}
        for future in left:
            future.set_result(BEHIND)

    def hear(self, number: int) -> Future[Heard]:
        """Resolves once the position has reached a number, or has not in time."""
        future = _future()
        self._await(number, future)
        return future

    def hear_newest(self, organization: OrganizationId) -> Future[Heard]:
        """Resolves once every change of the organization that was answered before this call is known, or is not."""
        future = _future()
        with self._guard:
            is_silent = time.monotonic() < self._silent_until
            if not is_silent:
                self._asking.setdefault(organization, []).append(future)
                self._asked.set()
        if is_silent:
            future.set_result(BEHIND)
        return future

    def wait(self, organization: OrganizationId, number: int) -> Heard:
        """As `hear`, for a thread of a server; costs nothing where the number was reached before."""
        if number <= self.heard:
            return NOTHING_MISSED
        return self._stand_still(organization, lambda: self.hear(number))

    def wait_for_newest(self, organization: OrganizationId) -> Heard:
        """As `hear_newest`, for a thread of a server."""
        return self._stand_still(organization, lambda: self.hear_newest(organization))

    def _stand_still(self, organization: OrganizationId, begin: Callable[[], Future[Heard]]) -> Heard:
        with self._guard:
            if self._threads.total() >= MAX_THREADS or self._threads[organization] >= MAX_THREADS_OF_ONE:
                return BEHIND
            self._threads[organization] += 1
        try:
            return begin().result(2 * self._wait_seconds + GRACE_SECONDS)
        except TimeoutError:
            return BEHIND
        finally:
            with self._guard:
                self._threads[organization] -= 1
                if not self._threads[organization]:
                    del self._threads[organization]

    def _await(self, number: int, future: Future[Heard]) -> None:
        now = time.monotonic()
        with self._guard:
            is_overdue = 0 < self._overdue <= number and now < self._overdue_until
            must_wait = number > self.heard and not is_overdue
            if must_wait:
                heapq.heappush(self._waiters, _Waiter(number, now + self._wait_seconds, future))
                self._waiting_since = now
                self._waits.set()
        if not must_wait:
            future.set_result(Heard(number) if number <= self.heard else BEHIND)

    def _look(self, stopping: threading.Event) -> bool:
        """Look at the position once, where somebody waits, and tell those whose wait is over."""
        self._waits.clear()
        if not self._waiters and not self._overdue:
            # Asked to stop before the event was cleared, nobody would set it again.
            if not stopping.is_set():
                self._waits.wait()
            return True
        position = self._known_position()
        now = time.monotonic()
        with self._guard:
            self.heard = max(self.heard, position)
            arrived, late = self._pop(now)
            self._note_overdue(late, now)
            pause = min(max((now - self._waiting_since) / 4, FIRST_LOOK_SECONDS), LAST_LOOK_SECONDS)
        for waiter in arrived:
            waiter.future.set_result(Heard(waiter.number))
        for waiter in late:
            waiter.future.set_result(BEHIND)
        self._waits.wait(pause)
        return True

    def _known_position(self) -> int:
        """The position in the database, once what is kept in memory is as new; the one before where that fails."""
        try:
            position = self._position()
            if position > self.heard and self._know is not None:
                self._know()
        except (UnavailableError, *DATABASE_ERRORS) as error:
            log.warning("position_unknown", log=self._log_name, error=repr(error))
            return self.heard
        return position

    def _position(self) -> int:
        with self._db.worker_transaction(quiet=True) as tx:
            number: int | None = tx.exec_driver_sql(
                "SELECT last_number FROM inbox WHERE log = %s", (self._log_name,)
            ).scalar_one_or_none()
        return number or 0

    def _pop(self, now: float) -> tuple[list[_Waiter], list[_Waiter]]:
        """Those whose number has come, and those whose time is up."""
        arrived: list[_Waiter] = []
        while self._waiters and self._waiters[0].number <= self.heard:
            arrived.append(heapq.heappop(self._waiters))
        late = [waiter for waiter in self._waiters if waiter.deadline <= now]
        if late:
            self._waiters = [waiter for waiter in self._waiters if waiter.deadline > now]
            heapq.heapify(self._waiters)
        return arrived, late

    def _note_overdue(self, late: Collection[_Waiter], now: float) -> None:
        if self._overdue and (self._overdue <= self.heard or self._overdue_until <= now):
            self._overdue = 0
        if late:
            least = min(waiter.number for waiter in late)
            self._overdue = min(least, self._overdue) if self._overdue else least
            self._overdue_until = now + OVERDUE_SECONDS
            log.warning("log_is_behind", log=self._log_name, position=self.heard, number=least)

    def _ask(self, stopping: threading.Event) -> bool:
        """Ask the source once, for all who wait to hear of their organization's newest change."""
        self._asked.clear()
        with self._guard:
            wanted = [*self._asking][:MAX_ORGANIZATIONS]
            asking = {organization: self._asking.pop(organization) for organization in wanted}
        if not asking:
            if not stopping.is_set():
                self._asked.wait()
            return True
        newest: Mapping[OrganizationId, int] | None = None
        try:
            newest = self._ask_newest(list(asking))
        except UnavailableError as error:
            log.warning("source_cannot_be_asked", log=self._log_name, error=repr(error))
            with self._guard:
                self._silent_until = time.monotonic() + SILENT_SECONDS
        finally:
            for organization, futures in asking.items():
                for future in futures:
                    self._tell(None if newest is None else newest.get(organization, 0), future)
        stopping.wait(ASK_PAUSE_SECONDS)
        return True

    def _tell(self, number: int | None, future: Future[Heard]) -> None:
        if number is None:
            future.set_result(BEHIND)
        elif number == 0:
            future.set_result(NOTHING_MISSED)
        else:
            self._await(number, future)


def _future() -> Future[Heard]:
    """A future that nobody can cancel, since who waits in a loop may leave before it resolves."""
    future: Future[Heard] = Future()
    future.set_running_or_notify_cancel()
    return future
