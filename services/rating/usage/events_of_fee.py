"""The events that a fee counted: those of its period in the log, less what came or was voided after its watermark.

An entry that is applied while its period is open needs no note: its period's invoice counts it. A later entry is noted
as a correction with its batch number. So the events that a fee counted are known without a row for each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from services.rating.shared.usage_log import ListedUsageEvent


class Correction(NamedTuple):
    """What happened to an event after its period was closed.

    Attributes:
        accepted_number: the batch that brought it; None if it was there before.
        voided_number: the batch that voided it; None if none did, or if it had been voided before.
    """

    accepted_number: int | None = None
    voided_number: int | None = None


_NONE = Correction()


@dataclass(frozen=True, slots=True)
class UsageEventsOfFee:
    """The events that a fee counted.

    Attributes:
        corrections: by transaction id.
        watermark: the last batch that was counted.
        since: for an adjustment, the last batch that was invoiced before it; None for a fee of the period itself.
    """

    corrections: Mapping[str, Correction]
    watermark: int
    since: int | None = None

    def counts(self, event: ListedUsageEvent, watermark: int) -> bool:
        """Whether an event was counted when the log had been applied up to a batch."""
        known = self.corrections.get(event.transaction_id, _NONE)
        if known.accepted_number is not None and known.accepted_number > watermark:
            return False
        if not event.is_voided:
            return True
        return known.voided_number is not None and known.voided_number > watermark

    def sign(self, event: ListedUsageEvent) -> int:
        """1 if the fee counted the event, -1 if it took the event back, 0 if the event does not concern it."""
        counted = self.counts(event, self.watermark)
        if self.since is None:
            return int(counted)
        return int(counted) - int(self.counts(event, self.since))
