"""Usage periods of credits: when they are reset by themselves, and what a reset by hand does to later ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.entitlements.domain.credit_balance import Reset
from services.entitlements.domain.recurrence import Recurrence
from services.kernel.errors import InvalidArgumentError
from services.kernel.period import Period


@dataclass(frozen=True, slots=True)
class ManualReset:
    """A reset that somebody asked for.

    Attributes:
        at: when.
        with_overage: whether the overage goes on into the new period; None leaves it to the rule of the periods.
        with_anchor: whether the periods that follow still end when they would have; otherwise they count from here.
    """

    at: datetime
    with_overage: bool | None = None
    with_anchor: bool = False


@dataclass(frozen=True, slots=True)
class UsagePeriods:
    """The periods that usage is counted in, one after the other.

    Attributes:
        start: the first instant that is counted.
        recurrence: when a period ends and the next one begins; None if only somebody's asking ends it.
        with_overage: whether overage goes on into the next period, unless a reset says otherwise.
    """

    start: datetime
    recurrence: Recurrence | None = None
    with_overage: bool = False

    def resets(self, manual: Iterable[ManualReset], until: datetime) -> list[Reset]:
        """The resets later than the start and not later than `until`, in order.

        Raises:
            InvalidArgumentError: a reset lies before the start of the period that it would end.
        """
        resets, _ = self._walk(manual, until)
        return resets

    def current(self, manual: Iterable[ManualReset], at: datetime) -> Period | None:
        """The period that an instant belongs to; None if nothing but somebody's asking will end it.

        Raises:
            InvalidArgumentError: as `resets`.
        """
        resets, recurrence = self._walk(manual, at)
        if recurrence is None:
            return None
        return Period(resets[-1].at if resets else self.start, recurrence.next_after(at))

    def _walk(self, manual: Iterable[ManualReset], until: datetime) -> tuple[list[Reset], Recurrence | None]:
        """The resets until an instant, and what ends the period that the instant belongs to."""
        resets: list[Reset] = []
        recurrence, start = self.recurrence, self.start
        for reset in sorted(manual, key=lambda reset: reset.at):
            if reset.at < start:
                raise InvalidArgumentError.of_field(
                    "at",
                    "value_is_out_of_range",
                    f"{reset.at.isoformat()} is before current usage period start {start.isoformat()}",
                )
            if reset.at > until:
                break
            resets += [turn for turn in self._turns(recurrence, start, reset.at) if turn.at < reset.at]
            with_overage = self.with_overage if reset.with_overage is None else reset.with_overage
            resets.append(Reset(reset.at, with_overage=with_overage))
            if recurrence is not None and not reset.with_anchor:
                recurrence = replace(recurrence, anchor=reset.at)
            start = reset.at
        return [*resets, *self._turns(recurrence, start, until)], recurrence

    def _turns(self, recurrence: Recurrence | None, after: datetime, until: datetime) -> Sequence[Reset]:
        instants = () if recurrence is None else recurrence.between(after, until)
        return [Reset(instant, with_overage=self.with_overage) for instant in instants]
