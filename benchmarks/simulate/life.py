"""What must happen to a subscription, by the simulation's own rules and calendar."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from benchmarks.simulate.days import DAY, Rhythm, day_of, midnight_of
from benchmarks.simulate.offers import Offer
from services.kernel.ids import OrganizationId


@dataclass
class Segment:
    """A subscription to one plan, from its start to its end.

    Attributes:
        offer: the plan.
        starts_at: its first instant.
        ended_at: the first instant after it; None while it continues.
        unpaid_from: the first day for which no base price is due any more; None while it continues.
        is_credited: whether unused days that were paid in advance are given back.
        was_promised: whether the end was scheduled, so that it comes before a period's end at the same instant.
    """

    offer: Offer
    starts_at: datetime
    ended_at: datetime | None = None
    unpaid_from: date | None = None
    is_credited: bool = True
    was_promised: bool = False


@dataclass(frozen=True)
class Promise:
    """A change that waits for the period's end; without an offer it is a cancellation."""

    at: datetime
    offer: Offer | None
    is_credited: bool


@dataclass
class Life:
    """Everything under one external id, from a start to an end.

    Attributes:
        organization: the organization it belongs to.
        zone: IANA name of the customer's zone.
        customer, external_id: the names it is known by.
        is_anniversary: how its periods are aligned.
        first_started_at: from which trials count.
        segments: one for each plan it had.
        promise: a pending change.
        ending_at: when it is agreed to end.
        called_off: whether it ended before it began.
    """

    organization: OrganizationId
    zone: str
    customer: str
    external_id: str
    is_anniversary: bool
    first_started_at: datetime
    segments: list[Segment]
    promise: Promise | None = None
    ending_at: datetime | None = None
    called_off: bool = False
    _rhythms: dict[tuple[str, int], Rhythm] = field(default_factory=dict)

    @property
    def current(self) -> Segment:
        """The newest segment."""
        return self.segments[-1]

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.called_off or self.current.ended_at is not None

    def has_begun(self, now: datetime) -> bool:
        """Whether its start has come."""
        return self.segments[0].starts_at <= now

    def rhythm(self, unit: str, every: int) -> Rhythm:
        """When periods of a length begin for this customer."""
        first_day = day_of(self.segments[0].starts_at, self.zone)
        return self._rhythms.setdefault((unit, every), Rhythm(unit, every, self.is_anniversary, first_day))

    def rhythm_of(self, offer: Offer) -> Rhythm:
        """When periods of a plan begin."""
        return self.rhythm(offer.unit, offer.every)

    def usage_rhythm_of(self, offer: Offer) -> Rhythm:
        """When periods of a plan's usage begin."""
        return self.rhythm("month", 1) if offer.monthly_usage else self.rhythm_of(offer)

    def period_end(self, now: datetime) -> datetime:
        """When the current plan's period ends."""
        _, following = self.rhythm_of(self.current.offer).span(day_of(now, self.zone))
        return midnight_of(following, self.zone)

    def trial_end(self, offer: Offer) -> datetime | None:
        """When a plan's trial ends: the same time of day as the first start."""
        if not offer.trial_days:
            return None
        started = self.first_started_at.astimezone(ZoneInfo(self.zone))
        return (started + timedelta(days=offer.trial_days)).astimezone(self.first_started_at.tzinfo)

    def segment_at(self, at: datetime) -> Segment | None:
        """The segment to which an instant's usage belongs."""
        if self.called_off:
            return None
        for segment in self.segments:
            if segment.starts_at <= at and (segment.ended_at is None or at < segment.ended_at):
                return segment
        return None

    def settle(self, now: datetime) -> None:
        """Let everything happen that was scheduled until now."""
        while not self.is_over:
            promise, ending_at = self.promise, self.ending_at
            if promise is not None and promise.at <= now and (ending_at is None or promise.at <= ending_at):
                self.current.was_promised = True
                self.change(promise.offer, promise.at, is_credited=promise.is_credited)
            elif ending_at is not None and ending_at <= now:
                day = day_of(ending_at, self.zone)
                # What was asked for with the pending end applies to this one, too.
                self.current.is_credited = promise is None or promise.is_credited
                self.current.was_promised = True
                self._end(ending_at, day if midnight_of(day, self.zone) == ending_at else day + DAY)
            else:
                return

    def change(self, offer: Offer | None, at: datetime, *, is_credited: bool) -> None:
        """Move to another plan, or end at a day's first instant; that day is not billed any more."""
        self.current.is_credited = is_credited
        self._end(at, day_of(at, self.zone))
        if offer is not None:
            self.segments.append(Segment(offer, at))

    def cancel(self, at: datetime, *, is_credited: bool) -> None:
        """End now; the day is billed."""
        self.current.is_credited = is_credited
        self._end(at, day_of(at, self.zone) + DAY)

    def _end(self, at: datetime, unpaid_from: date) -> None:
        self.current.ended_at, self.current.unpaid_from, self.promise = at, unpaid_from, None
