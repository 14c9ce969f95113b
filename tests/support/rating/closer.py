"""A replica that does nothing but close periods, as a process of its own that a test may kill.

python closer.py DATABASE_URL AS_OF BATCH

It imports nothing of the tests: outside of pytest another distribution's package may have their name.
"""

from __future__ import annotations

import sys
from datetime import datetime

from pydantic import SecretStr

from services.chassis.config import Settings
from services.chassis.db import Database
from services.kernel.clock import FrozenClock
from services.rating.clock import due
from services.rating.deps import Deps
from services.rating.main import announce_all
from services.rating.shared.usage_log import UsageEventPage, UsageEventsWanted


class _NoLog:
    """A log that is never asked: nothing is voided."""

    def page(self, wanted: UsageEventsWanted, *, size: int, token: str) -> UsageEventPage:  # noqa: ARG002 - a protocol's
        """No events."""
        return UsageEventPage(())


def main(url: str, as_of: str, batch: str) -> None:
    """Close everything that is due by an instant, `batch` periods in each transaction."""
    due.BATCH = int(batch)
    at = datetime.fromisoformat(as_of)
    database = Database(Settings(database_url=SecretStr(url), database_pool_size=2))
    deps = Deps(
        db=database,
        clock=FrozenClock(at),
        announce=lambda tx, event: announce_all(tx, [event]),
        announce_all=announce_all,
        pepper="",
        shard_positions=dict,
        usage_log=_NoLog(),
        known_features=lambda _, codes: codes,
        newest_change=lambda _: None,
    )
    due.run_due(deps, at)
    database.dispose()


if __name__ == "__main__":
    main(*sys.argv[1:])
