"""What a fee had counted: the events of its period by the log, less what came or went after its watermark.

An entry that is applied while its period is open needs no note: its period's invoice counts it. One that comes later
is noted as a correction with its batch number. So which events a fee counted is known without a row for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from services.rating.shared.usage_log import ListedUsageEvent


class Correction(NamedTuple):
    """What came of an event after its period was closed.

    Attributes:
        accepted_number: batch that brought it; None where it was there before.
        voided_number: batch that took it back; None where none did, or where it was taken back before.
    """

    accepted_number: int | None = None
    voided_number: int | None = None


_NONE = Correction()


@dataclass(frozen=True, slots=True)
class UsageEventsOfFee:
    """The events a fee counted.

    Attributes:
        corrections: by transaction id.
        watermark: last batch that was counted.
        since: for an adjustment: last batch that was invoiced before it; None for a fee of the period itself.
    """

    corrections: Mapping[str, Correction]
    watermark: int
    since: int | None = None

    def counts(self, event: ListedUsageEvent, watermark: int) -> bool:
        """Whether an event was counted once the log was applied up to a batch."""
        known = self.corrections.get(event.transaction_id, _NONE)
        if known.accepted_number is not None and known.accepted_number > watermark:
            return False
        if not event.is_voided:
            return True
        return known.voided_number is not None and known.voided_number > watermark

    def sign(self, event: ListedUsageEvent) -> int:
        """1 where the fee counted the event, -1 where it took it back, 0 where it has nothing to do with it."""
        counted = self.counts(event, self.watermark)
        if self.since is None:
            return int(counted)
        return int(counted) - int(self.counts(event, self.since))
