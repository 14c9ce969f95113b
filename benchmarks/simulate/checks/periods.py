"""Subscriptions and their billing periods: as the independent calendar says, without gap or overlap, closed once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from benchmarks.simulate.checks.ledger import Kept, Ledger
from benchmarks.simulate.days import day_of, midnight_of

Span = tuple[datetime, datetime]


def check_periods(ledger: Ledger) -> Iterator[str]:
    """Every subscription began and ended when it must, and its periods are those of the calendar."""
    yield from ledger.strays
    for kept in ledger.kept:
        yield from _check_life(kept, ledger.now)
        found = [row for row in ledger.periods[kept.subscription_id] if row.period_start < row.period_end]
        spans = [(row.period_start, row.period_end) for row in found]
        expected = list(_spans(kept, ledger.now))
        if spans != expected:
            wrong = sorted(set(spans) ^ set(expected)) or spans
            yield f"{_name(kept)}: periods differ from the calendar at {wrong[0][0]} to {wrong[0][1]}"
        is_closed = {row.period_end <= ledger.now for row in found if row.state == "closed"}
        is_open = {row.period_end > ledger.now for row in found if row.state == "open"}
        if not is_closed <= {True} or not is_open <= {True}:
            yield f"{_name(kept)}: a period is open after its end, or closed before it"


def _name(kept: Kept) -> str:
    return f"{kept.life.external_id} on {kept.segment.offer.code} ({kept.life.zone})"


def _check_life(kept: Kept, now: datetime) -> Iterator[str]:
    row, segment = kept.row, kept.segment
    if (row.plan_code, row.starts_at) != (segment.offer.code, segment.starts_at):
        yield f"{_name(kept)}: is on {row.plan_code} since {row.starts_at}, not since {segment.starts_at}"
    if kept.life.called_off:
        if row.state != "canceled":
            yield f"{_name(kept)}: was called off, but is {row.state}"
    elif row.ended_at != segment.ended_at:
        yield f"{_name(kept)}: ended at {row.ended_at}, not at {segment.ended_at}"
    elif segment.starts_at <= now and row.state != ("active" if segment.ended_at is None else "terminated"):
        yield f"{_name(kept)}: is {row.state}"


def _spans(kept: Kept, now: datetime) -> Iterator[Span]:
    """The periods that must exist, by the calendar in days."""
    life, segment = kept.life, kept.segment
    if life.called_off or segment.starts_at > now:
        return
    rhythm, start = life.usage_rhythm_of(segment.offer), segment.starts_at
    while start <= now and start != segment.ended_at:
        _, following = rhythm.span(day_of(start, life.zone))
        end = midnight_of(following, life.zone)
        end = end if segment.ended_at is None else min(end, segment.ended_at)
        yield start, end
        start = end
