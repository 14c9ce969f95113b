"""How many groups the usage of a billing period may fall into; each of them becomes a fee of one invoice.

Grouping by something that never repeats, such as a request's id, would make an invoice that nobody can read and no
message can carry. An event that would open one more group than `MAX_GROUPS` is refused, so that it is quarantined with
a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy.engine import Connection

from services.kernel.errors import InvalidArgumentError
from services.rating.usage.aggregate import PeriodKey, UsageAggregate
from services.rating.usage.counting import CountedBucket
from services.rating.usage.store import aggregates

# Filters and groups of all charges of a subscription in one billing period. An invoice of this many fees has some 4 MB
# on the wire and 300 pages as PDF; real price sheets have tens, and a fee for each member of a team makes hundreds.
MAX_GROUPS = 10_000
# For how many periods a shard remembers the number of groups; some 200 bytes each.
MAX_REMEMBERED = 20_000

Remembered = dict[PeriodKey, int]
"""How many groups billing periods are known to have, kept between the batches of one shard."""


class GroupLimit:
    """Admits the groups of one batch of events.

    As long as the known groups and those that the batch names stay below the limit together, it does not matter which
    of them are new. Only near the limit the period's groups are read.
    """

    def __init__(self, tx: Connection, remembered: Remembered) -> None:
        self._tx = tx
        self._remembered = remembered
        self._named: dict[PeriodKey, set[str]] = {}
        self._existing: dict[PeriodKey, set[str]] = {}

    def require(self, period: PeriodKey, buckets: Sequence[CountedBucket]) -> None:
        """Count groups towards a period's limit.

        Raises:
            InvalidArgumentError: `TOO_MANY_GROUPS`, the period would have too many.
        """
        if len(buckets) == 1:
            # These are only the metric's own buckets.
            return
        keys = {bucket.key for bucket in buckets if bucket.charge_id}
        named = self._named.setdefault(period, set())
        if keys <= named:
            return
        if self._known(period) + len(named | keys) > MAX_GROUPS and not self._fit(period, named | keys):
            raise InvalidArgumentError(
                "TOO_MANY_GROUPS", f"the usage of a period falls into at most {MAX_GROUPS} filters and groups"
            )
        named |= keys

    def _known(self, period: PeriodKey) -> int:
        if period not in self._remembered:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[period] = aggregates.count_of_charges(self._tx, period)
        return self._remembered[period]

    def _fit(self, period: PeriodKey, keys: set[str]) -> bool:
        """Whether the period's groups and these together stay within the limit."""
        if period not in self._existing:
            self._existing[period] = aggregates.keys_of_charges(self._tx, period)
        return len(self._existing[period] | keys) <= MAX_GROUPS

    def keep(self, counted: Iterable[UsageAggregate]) -> None:
        """Remember the groups that a batch has opened."""
        for aggregate in counted:
            if aggregate.counted.charge_id and aggregate.revision == 1 and aggregate.period in self._remembered:
                self._remembered[aggregate.period] += 1
