"""Test clocks: set before there is data, and moved forward with everything that becomes due on the way.

An advance answers once every service has done what was due. Rating first applies the usage that the log has so far,
then does everything due until the new time, in order of time, sets the clock, and waits for the other services to
report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.engine import Connection

from services.chassis.wait import wait_until
from services.kernel.errors import (
    AbortedError,
    FailedPreconditionError,
    InvalidArgumentError,
    ResourceExhaustedError,
    UnavailableError,
)
from services.kernel.ids import OrganizationId
from services.rating.clock.due import run_due
from services.rating.deps import Deps
from services.rating.organizations import clock_store as store
from services.rating.organizations.events import TestClockAdvanced
from services.wire.shards import SHARD_COUNT, log_name

# A longer step is a typing mistake, and would close thousands of periods in one call.
MAX_STEP = timedelta(days=3653)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
# The log and the other services answer within a second when they run; a caller that waits longer should learn why.
LOG_SECONDS = 20.0
FOLLOWERS_SECONDS = 30.0
# A repeat waits for the advance it repeats as long as front ends wait for the slowest advance.
PATIENCE_SECONDS = 600.0
# Another organization's advance usually takes a second or two.
SLOT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Advanced:
    """What happened during an advance.

    Attributes:
        now: the organization's time.
        closed_periods: billing periods that were closed.
        finalized_invoices: invoices that were finalized.
        set_aside: how much work failed and was left out.
    """

    now: datetime
    closed_periods: int
    finalized_invoices: int
    set_aside: int = 0


def set_test_clock(deps: Deps, tx: Connection, organization: OrganizationId, now: datetime) -> datetime:
    """Start the clock of a test-mode organization at any instant, before it has customers.

    Raises:
        FailedPreconditionError: `ORGANIZATION_NOT_IN_TEST_MODE`, or `ORGANIZATION_HAS_DATA`.
    """
    _require_within("now", now, EARLIEST, LATEST)
    clock = store.clock_of(tx, organization, lock=True)
    _require_test_mode(clock)
    if clock.now != now and store.has_data(tx, organization):
        raise FailedPreconditionError("ORGANIZATION_HAS_DATA", "the clock is set before there are customers")
    revision = store.set_clock(tx, organization, now)
    deps.announce(tx, TestClockAdvanced(organization, now, revision))
    return now


def advance_test_clock(deps: Deps, organization: OrganizationId, to: datetime) -> Advanced:
    """Move the clock forward, under `alone`; several transactions, each of which may be repeated after a failure.

    Raises:
        FailedPreconditionError: `ORGANIZATION_NOT_IN_TEST_MODE`.
        InvalidArgumentError: `to` is before the present time, or too far after it.
        UnavailableError: `TEST_CLOCK_WAITS`, a service did not follow in time; the same call continues from there.
    """
    _require_forward(deps, organization, to)
    positions = deps.shard_positions()
    _wait_for_logs(deps, organization, positions)
    report = run_due(deps, to, organization)
    revision = _move(deps, organization, to, positions)
    _wait_for_followers(deps, organization, revision)
    return Advanced(to, report.closed, report.finalized, report.set_aside)


def catch_up(deps: Deps, organization: OrganizationId) -> None:
    """Do what a start in the past has made due by now, if time moves only by advances; otherwise a job does it."""
    with deps.db.transaction(organization) as tx:
        clock = store.clock_of(tx, organization)
    if clock.now is not None:
        with alone(deps, organization, is_patient=True):
            run_due(deps, clock.now, organization)


@contextmanager
def alone(deps: Deps, organization: OrganizationId, *, is_patient: bool) -> Iterator[None]:
    """Hold the organization's advance lock; if the process dies, the lock ends with its connection.

    Args:
        deps: what commands need.
        organization: the organization whose clock is moved.
        is_patient: whether to wait for an advance that is in progress.

    Raises:
        AbortedError: `TEST_CLOCK_BUSY`, another advance is in progress, or still is after the longest wait.
        ResourceExhaustedError: `TOO_MANY_ADVANCES`, other organizations have too many advances in progress.
    """
    if not deps.long_calls.acquire(timeout=SLOT_SECONDS):
        raise ResourceExhaustedError("TOO_MANY_ADVANCES", "as many test clocks are being moved as can be at once")
    try:
        with (
            deps.db.worker_session() as session,
            _locked(session, organization, PATIENCE_SECONDS if is_patient else 0.0),
        ):
            yield
    finally:
        deps.long_calls.release()


@contextmanager
def _locked(session: Connection, organization: OrganizationId, patience_seconds: float) -> Iterator[None]:
    """Hold the organization's advance lock.

    It is released before the caller is answered: PostgreSQL releases the locks of a closed session only some time
    later, and a caller with an answer may request the next advance at once.
    """
    key = (f"farebox.test_clock.{organization}",)

    def is_locked() -> bool:
        return bool(session.exec_driver_sql("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", key).scalar_one())

    try:
        wait_until(is_locked, timeout=patience_seconds, what="another advance")
    except TimeoutError as error:
        raise AbortedError("TEST_CLOCK_BUSY", "another advance of this clock is on its way") from error
    try:
        yield
    finally:
        session.exec_driver_sql("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", key)


def _require_forward(deps: Deps, organization: OrganizationId, to: datetime) -> None:
    with deps.db.transaction(organization) as tx:
        clock = store.clock_of(tx, organization)
    _require_test_mode(clock)
    now = clock.now or deps.clock.now()
    _require_within("to", to, now, min(now + MAX_STEP, LATEST))


def _wait_for_logs(deps: Deps, organization: OrganizationId, positions: Mapping[int, int]) -> None:
    """Wait until rating has applied everything the log had when the advance began."""
    wanted = {log_name(shard): number for shard, number in positions.items() if shard < SHARD_COUNT}
    _wait(deps, organization, lambda tx: store.logs_behind(tx, wanted), LOG_SECONDS)


def _move(deps: Deps, organization: OrganizationId, to: datetime, positions: Mapping[int, int]) -> int:
    with deps.db.transaction(organization) as tx:
        revision = store.set_clock(tx, organization, to)
        deps.announce(tx, TestClockAdvanced(organization, to, revision, tuple(sorted(positions.items()))))
    return revision


def _wait_for_followers(deps: Deps, organization: OrganizationId, revision: int) -> None:
    followers = deps.clock_followers
    _wait(deps, organization, lambda tx: store.waiting_for(tx, organization, followers, revision), FOLLOWERS_SECONDS)


def _wait(
    deps: Deps, organization: OrganizationId, behind: Callable[[Connection], frozenset[str]], seconds: float
) -> None:
    """Wait until nobody is behind any more; each check is a transaction of its own."""
    missing: frozenset[str] = frozenset()

    def is_reached() -> bool:
        nonlocal missing
        with deps.db.transaction(organization) as tx:
            missing = behind(tx)
        return not missing

    try:
        wait_until(is_reached, timeout=seconds, what="the followers of a test clock")
    except TimeoutError as error:
        names = ", ".join(sorted(missing))
        raise UnavailableError("TEST_CLOCK_WAITS", f"not there yet: {names}", waiting_for=names) from error


def _require_test_mode(clock: store.ClockRow) -> None:
    if not clock.test_mode:
        raise FailedPreconditionError("ORGANIZATION_NOT_IN_TEST_MODE", "only a test-mode organization has a test clock")


def _require_within(field: str, at: datetime, earliest: datetime, latest: datetime) -> None:
    if not earliest <= at <= latest:
        raise InvalidArgumentError.of_field(
            field, "value_is_invalid", f"is from {earliest.isoformat()} to {latest.isoformat()}"
        )
