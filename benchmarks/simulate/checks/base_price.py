"""The base price, recomputed day by day: no day is billed twice or missing, and every amount is exact."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

from sqlalchemy.engine import Row

from benchmarks.simulate.checks.ledger import Kept, Ledger
from benchmarks.simulate.days import day_of, midnight_of
from benchmarks.simulate.life import Segment
from services.kernel.money import CURRENCIES

# A fee is rounded once; a fee of which a part is given back is rounded twice. Shares keep twelve decimals of a major
# unit.
HALF_UNIT = Fraction(1, 2) + Fraction(1, 10**6)


class Due(NamedTuple):
    """What a full period of a plan must have cost a subscription.

    Attributes:
        first, last: the billed days, not including `last`.
        kept_until: the first day that was given back; `last` if none was.
        days: the days of the full period.
    """

    first: date
    last: date
    kept_until: date
    days: int


def check_base_price(ledger: Ledger, currencies: dict[str, str]) -> Iterator[str]:
    """Every day of every subscription's life is priced exactly once."""
    for kept in ledger.kept:
        currency = CURRENCIES[currencies[kept.life.organization]]
        fees = [row for row in ledger.fees[kept.subscription_id] if row.kind == "subscription"]
        expected = list(_due(kept, ledger.now))
        zone, name = kept.life.zone, f"{kept.life.external_id} on {kept.segment.offer.code} ({kept.life.zone})"
        spans = [(row.period_start, row.period_end) for row in fees]
        days = [(midnight_of(due.first, zone), midnight_of(due.last, zone)) for due in expected]
        if spans != days:
            wrong = sorted(set(spans) ^ set(days)) or spans
            word = "is missing" if wrong[0] in days else "was billed, but must not be"
            yield f"{name}: the base price of {wrong[0][0]} to {wrong[0][1]} {word}"
            continue
        for row, due in zip(fees, expected, strict=True):
            credited = Fraction(ledger.credited.get(row.fee_id, 0)) * 10**currency.exponent
            yield from _check_amount(name, row, due, credited, kept.segment)


def check_days(ledger: Ledger) -> Iterator[str]:
    """Over all plans of a life, no day is paid for twice; days that were given back are paid for with the next plan."""
    paid: dict[int, list[tuple[datetime, datetime, str]]] = {}
    for kept in ledger.kept:
        if not kept.segment.is_credited:
            continue
        cut = kept.segment.unpaid_from and midnight_of(kept.segment.unpaid_from, kept.life.zone)
        for row in ledger.fees[kept.subscription_id]:
            end = min(row.period_end, cut or row.period_end)
            if row.kind == "subscription" and row.period_start < end:
                paid.setdefault(id(kept.life), []).append((row.period_start, end, kept.life.external_id))
    for spans in paid.values():
        ordered = sorted(spans)
        for before, after in pairwise(ordered):
            if after[0] < before[1]:
                yield f"{after[2]}: {after[0]} to {min(before[1], after[1])} is paid for twice"


def _due(kept: Kept, now: datetime) -> Iterator[Due]:
    """What must have been billed, period by period."""
    life, segment, offer = kept.life, kept.segment, kept.segment.offer
    if life.called_off or segment.starts_at > now:
        return
    ends_at = segment.ended_at or now
    trial_end = life.trial_end(offer) or segment.starts_at
    begins_at = max(segment.starts_at, trial_end)
    first = day_of(begins_at, life.zone)
    rhythm = life.rhythm_of(offer)
    start, following = rhythm.span(first)
    while max(begins_at, midnight_of(start, life.zone)) <= ends_at:
        from_day = max(start, first)
        unpaid_from = min(max(segment.unpaid_from or following, from_day), following)
        due_at = max(begins_at, midnight_of(start, life.zone))
        if offer.in_advance:
            if _is_billed_at(segment, due_at):
                yield Due(from_day, following, unpaid_from, (following - start).days)
        elif from_day < unpaid_from and (segment.ended_at or midnight_of(following, life.zone) <= now):
            yield Due(from_day, unpaid_from, unpaid_from, (following - start).days)
        start, following = rhythm.span(following)


def _is_billed_at(segment: Segment, at: datetime) -> bool:
    """Whether a price that is due in advance at an instant, before or at the subscription's end, was billed.

    At the same instant a scheduled end comes before the end of a period, and a customer's decision comes after it.
    """
    return at != segment.ended_at or at == segment.starts_at or not segment.was_promised


def _check_amount(name: str, row: Row[Any], due: Due, credited: Fraction, segment: Segment) -> Iterator[str]:
    cents, days_kept = segment.offer.cents, (due.kept_until - due.first).days
    expected = Fraction(cents * days_kept, due.days)
    billed = Fraction(cents * (due.last - due.first).days, due.days)
    if abs(row.amount_cents - billed) > HALF_UNIT:
        yield f"{name}: {row.period_start} costs {row.amount_cents}, not {float(billed):.3f}"
    if not segment.is_credited or due.kept_until == due.last:
        if credited:
            yield f"{name}: {float(credited):.3f} of {row.period_start} was given back"
    elif abs(row.amount_cents - credited - expected) > 2 * HALF_UNIT:
        rest = float(row.amount_cents - credited)
        yield f"{name}: {row.period_start} less credits costs {rest:.3f}, not {float(expected):.3f}"
