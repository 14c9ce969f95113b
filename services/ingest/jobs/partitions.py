"""Makes the partitions of the coming months, ahead of time. Without it nothing fails; retention gets coarser."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import psycopg

from services.chassis.config import Settings
from services.chassis.log import logger
from services.ingest.store import partitions as store
from services.kernel.clock import Clock

log = logger(__name__)

# Months that are made ahead: enough that a keeper that failed for weeks has moved nothing but strays.
MONTHS_AHEAD = 2
CHECK_SECONDS = 6 * 3600.0
# Splitting waits for running commits; later commits wait behind it, so it gives up quickly and tries again.
LOCK_TIMEOUT_MS = 2_000
RETRY_SECONDS = 30.0
_MONTHS_A_YEAR = 12


class PartitionKeeper:
    """`turn` is a turn of chassis.job.Job."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Keep the partitions of the database that `settings` names, as the owner of its tables."""
        self._url = settings.database_url.get_secret_value()
        self._clock = clock

    def turn(self, stopping: threading.Event) -> bool:
        """Make what is missing, then wait; always again."""
        try:
            self.make_missing()
        except psycopg.Error as error:
            log.warning("partitions_wait", error=repr(error))
            stopping.wait(RETRY_SECONDS)
        else:
            stopping.wait(CHECK_SECONDS)
        return True

    def make_missing(self) -> None:
        """Let a range begin with each of the coming months."""
        now = self._clock.now()
        for ahead in range(1, MONTHS_AHEAD + 1):
            with owner_connection(self._url) as owner:
                store.hold_alone(owner)
                ranges = [one for one in store.listed(owner) if one.end is not None]
                at = store.key_at(month_after(now, ahead))
                if ranges and at > ranges[-1].first:
                    store.split_last(owner, ranges[-1], at)
                    log.info("partition_made", first_key=str(at))


def owner_connection(url: str) -> store.Owner:
    """A connection as the owner of the tables; it commits when its block ends well."""
    return psycopg.connect(url, options=f"-c lock_timeout={LOCK_TIMEOUT_MS} -c timezone=UTC", connect_timeout=2)


def month_after(instant: datetime, months: int) -> datetime:
    """The beginning of the month that is so many months after an instant's, in UTC."""
    index = instant.year * _MONTHS_A_YEAR + instant.month - 1 + months
    return datetime(index // _MONTHS_A_YEAR, index % _MONTHS_A_YEAR + 1, 1, tzinfo=UTC)
