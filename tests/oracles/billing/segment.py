"""A segment: one plan in the life of a subscription, and what it costs by days.

A day belongs to one plan. The day of a start is billed whole, and so is the day on which a subscription is terminated;
the day of a change belongs to the new plan, and the day on which a trial ends bears the base price.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from typing import Any

from tests.oracles.billing.charge import Fee, Part
from tests.oracles.billing.days import (
    DAY,
    INTERVALS,
    PER_YEAR,
    Calendar,
    Days,
    Span,
    day_of,
    first_instant,
    same_time_after,
)
from tests.oracles.billing.money import from_cents, to_cents


def interval_of(plan: Mapping[str, Any]) -> tuple[str, int]:
    """The length of a plan's period: what is counted, and how many of it."""
    if plan["interval"] == "custom":
        return plan["interval_unit"], plan["interval_count"]
    return INTERVALS[plan["interval"]]


def yearly_cents(plan: Mapping[str, Any]) -> Fraction:
    """The base price of a year, by which plans are told dearer or cheaper."""
    unit, every = interval_of(plan)
    return Fraction(plan["amount_cents"] * PER_YEAR[unit], every)


@dataclass
class Segment:
    """One plan in the life of a subscription.

    Attributes:
        plan: the plan, as its REST body.
        zone: whose days they are.
        anchor: when the subscription began; trials and anniversaries are counted from there.
        is_anniversary: what its periods follow.
        starts_at: when this plan came into force.
        has_predecessor: whether another plan was in force before.
        ended_at: when it ceased to be; None while it is in force.
        free_from: the first day that is no longer this plan's.
        is_followed: whether another plan took over.
    """

    plan: Mapping[str, Any]
    zone: str
    anchor: datetime
    is_anniversary: bool
    starts_at: datetime
    has_predecessor: bool = False
    ended_at: datetime | None = None
    free_from: date | None = None
    is_followed: bool = False

    # --- calendars --------------------------------------------------------------------------------------------------

    @property
    def currency(self) -> str:
        return str(self.plan["amount_currency"])

    @property
    def calendar(self) -> Calendar:
        """The periods of its base price."""
        return Calendar(*interval_of(self.plan), self.is_anniversary, day_of(self.anchor, self.zone), self.zone)

    @property
    def usage_calendar(self) -> Calendar:
        """The periods of its usage: the same, or the months within them."""
        return self.calendar.monthly() if self.plan.get("bill_charges_monthly") else self.calendar

    @property
    def is_in_advance(self) -> bool:
        """Whether the base price is due as its period begins."""
        return bool(self.plan.get("pay_in_advance"))

    @property
    def trial_ends_at(self) -> datetime | None:
        days = self.plan.get("trial_period", 0)
        return same_time_after(self.anchor, days, self.zone) if days else None

    def is_in_trial(self, at: datetime) -> bool:
        return self.trial_ends_at is not None and at < self.trial_ends_at

    def covers(self, at: datetime) -> bool:
        """Whether usage of an instant is this plan's."""
        return self.starts_at <= at and (self.ended_at is None or at < self.ended_at)

    # --- its days ---------------------------------------------------------------------------------------------------

    def days_of(self, nominal: Days, since: date | None = None) -> Days:
        """Its days of a full period, from a day on where one is given."""
        first = max(nominal.first, day_of(self.starts_at, self.zone), since or date.min)
        return Days(first, min(nominal.end, self.free_from or date.max))

    def base_days(self, nominal: Days) -> Days:
        """The days that bear the base price: none before the trial's end, none at all of a life within the trial."""
        trial_ends_at = self.trial_ends_at
        if trial_ends_at is None:
            return self.days_of(nominal)
        if self.ended_at is not None and self.ended_at < trial_ends_at:
            return Days(nominal.first, nominal.first)
        return self.days_of(nominal, day_of(trial_ends_at, self.zone))

    def part_of(self, at: datetime) -> Part | None:
        """What it has of the usage period that holds an instant; None of one that is all a trial free of usage."""
        calendar = self.usage_calendar
        nominal = calendar.days_at(at)
        whole = calendar.span_of(nominal)
        span = Span(max(whole.start, self.starts_at), min(whole.end, self.ended_at or whole.end))
        counted, days = span, self.days_of(nominal)
        free_until = None if self.plan.get("bill_usage_in_trial", True) else self.trial_ends_at
        if free_until is not None and free_until > span.start:
            if free_until >= span.end:
                return None
            counted = Span(free_until, span.end)
            days = self.days_of(nominal, day_of(free_until, self.zone))
        shared = Days(
            max(nominal.first, day_of(self.starts_at, self.zone)) if self.has_predecessor else nominal.first,
            min(nominal.end, self.free_from) if self.is_followed and self.free_from else nominal.end,
        )
        return Part(nominal, days, shared, span, counted, whole, self.zone, self.currency)

    # --- what it costs ----------------------------------------------------------------------------------------------

    def base_fee(self, at: datetime) -> Fee | None:
        """The base price of the period that holds an instant, by days; None where no day bears it."""
        nominal = self.calendar.days_at(at)
        days, price = self.base_days(nominal), from_cents(self.plan["amount_cents"], self.currency)
        if not days.count() or not price:
            return None
        cents = to_cents(price * Fraction(days.count(), nominal.count()), self.currency)
        return Fee("subscription", "", cents, self.calendar.span_of(days), plan=self.plan["code"])

    def commitment_cents(self, at: datetime) -> int:
        """The least that its days of a period cost in all; nothing of one that was all trial while it lived."""
        nominal = self.calendar.days_at(at)
        least = from_cents(self.plan.get("minimum_commitment", {}).get("amount_cents", 0), self.currency)
        end = self.calendar.span_of(nominal).end
        lived_until = min(self.ended_at or end, end)
        if self.trial_ends_at is not None and lived_until <= self.trial_ends_at:
            return 0
        return to_cents(least * Fraction(self.days_of(nominal).count(), nominal.count()), self.currency)

    # --- its end ----------------------------------------------------------------------------------------------------

    def change(self, at: datetime) -> None:
        """Another plan takes over: the day is the other's."""
        self.ended_at, self.free_from, self.is_followed = at, day_of(at, self.zone), True

    def terminate(self, at: datetime, *, is_agreed: bool = False) -> None:
        """It ends. The day is still billed, unless the end was agreed for the first instant of a day."""
        day = day_of(at, self.zone)
        is_midnight = at == first_instant(day, self.zone)
        self.ended_at, self.free_from = at, day if is_agreed and is_midnight else day + DAY
