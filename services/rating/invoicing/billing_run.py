"""Billing runs: what is invoiced when a subscription starts, reaches a period's end, or ends.

The calendar alone decides a run; what usage costs is added to it afterwards (`period_rating`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.kernel.cadence import period_containing
from services.kernel.ids import SubscriptionId
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.resolution import Resolution
from services.rating.invoicing.credit_amounts import for_used_days
from services.rating.pricing.base_price import base_fee
from services.rating.pricing.commitment import commitment_fee
from services.rating.pricing.due import due_at
from services.rating.pricing.fee import Fee, FeeKind
from services.rating.pricing.proration import DayShare, day_share
from services.rating.usage.billing_period import BillingPeriod

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Commitment:
    """The plan period whose minimum commitment is checked.

    Attributes:
        nominal: the full period.
        part: the days of it that belong to the subscription.
    """

    nominal: Period
    part: Period


@dataclass(frozen=True, slots=True)
class BillingRun:
    """What one invoice of a subscription bills.

    Attributes:
        agreement: the subscription.
        at: when it falls due.
        span: the time that the invoice is about.
        usage: the billing period whose usage is billed, with its final span; None if no usage is billed.
        base: the base price that is due; None if none is.
        commitment: the plan's period that ended; None if none did.
        following: the billing period to open afterwards; None if there is none.
    """

    agreement: Agreement
    at: datetime
    span: Period
    usage: BillingPeriod | None = None
    base: Fee | None = None
    commitment: Commitment | None = None
    following: Period | None = None

    @property
    def subscription_id(self) -> SubscriptionId:
        """The subscription whose run it is."""
        return self.agreement.subscription_id


def start_run(agreement: Agreement) -> BillingRun:
    """The run of a subscription's start: its base price, if that is due in advance."""
    at = agreement.subscription.starts_at
    first = agreement.period_at(at) or Period(at, at)
    return BillingRun(agreement, at, first, base=_base_in_advance(agreement, at), following=first)


def trial_end_run(agreement: Agreement, at: datetime) -> BillingRun:
    """The run of a trial's end: the rest of a base price that is due in advance.

    If a trial ends when a period begins, the run of the previous period's end, at the same instant, does this instead.
    """
    nominal = period_containing(agreement.cadence, at)
    begins = nominal.start == at and agreement.subscription.starts_at < at
    base = None if begins else _base_in_advance(agreement, at)
    return BillingRun(agreement, at, Period(at, nominal.end), base=base)


def period_end_run(agreement: Agreement, ended: BillingPeriod) -> BillingRun:
    """The run of a billing period's end if the subscription continues: usage in arrears, base price, commitment."""
    at = ended.period.end
    due = due_at(agreement.plan, agreement.cadence, at)
    base = None
    if due.base_period is not None:
        in_advance = agreement.plan.in_advance
        base = _base_in_advance(agreement, at) if in_advance else _base_of(agreement, due.base_period)
    commitment = commitment_of(agreement, due.closed_period) if due.closed_period is not None else None
    following = agreement.period_at(at)
    return BillingRun(agreement, at, ended.period, ended, base, commitment, following)


def end_run(agreement: Agreement, ended: BillingPeriod) -> BillingRun:
    """The run of a subscription's end, which cuts its period: usage, base price in arrears, commitment.

    It bills the plan's period that holds the start of the open period. If the subscription ends at a boundary, the run
    of the period that ended there has billed that period already, and the open period is empty.
    """
    at = ended.period.end
    nominal = period_containing(agreement.cadence, ended.period.start)
    base = None if agreement.plan.in_advance else _base_of(agreement, nominal)
    return BillingRun(agreement, at, ended.period, ended, base, commitment_of(agreement, nominal))


def cut_period(agreement: Agreement, at: datetime, opened_at: datetime) -> Period | None:
    """The plan's full period whose base price, due in advance, is cut by a subscription's end; None if none is.

    Args:
        agreement: the ended subscription.
        at: when it ended.
        opened_at: when the billing period that was open then began.
    """
    nominal = period_containing(agreement.cadence, opened_at)
    cut = agreement.subscription.base_ends_at
    trial_ends_at = agreement.trial_ends_at
    is_in_trial = trial_ends_at is not None and at < trial_ends_at
    if not agreement.plan.in_advance or is_in_trial or cut is None or cut >= nominal.end:
        return None
    return nominal


def unused_share(agreement: Agreement, nominal: Period, billed: Period) -> DayShare | None:
    """The billed days of a cut period that nobody will use; None if there are none."""
    cut = max(agreement.subscription.base_ends_at or billed.end, billed.start)
    return day_share(Period(cut, billed.end), nominal, agreement.timezone) if cut < billed.end else None


def without_unused(agreement: Agreement, nominal: Period, billed: Fee) -> Fee:
    """A fee that was billed for a full period, without what was given back because the subscription ended.

    Only a base price that was due in advance is given back, and not even that if `credit: none` was requested.
    """
    is_kept = agreement.end_terms.resolution is Resolution.NONE or agreement.subscription.ended_at is None
    if is_kept or billed.kind is not FeeKind.SUBSCRIPTION or not agreement.plan.in_advance:
        return billed
    share = unused_share(agreement, nominal, billed.period)
    return billed if share is None else for_used_days(billed, share, agreement.plan.currency)


def commitment_due(agreement: Agreement, commitment: Commitment, billed: Iterable[Fee]) -> Fee | None:
    """What the fees of a plan's period lack to its minimum commitment; None if they lack nothing.

    What is given back of a base price is not counted.
    """
    nominal = commitment.nominal
    belonging = [without_unused(agreement, nominal, fee) for fee in billed]
    return commitment_fee(
        agreement.plan, agreement.subscription_id, commitment.part, nominal, belonging, agreement.timezone
    )


def base_begun_in(agreement: Agreement, period: Period) -> Fee | None:
    """The base price of the plan's period that begins, for this subscription, within a billing period; or None.

    A trial's end also begins one. Whether it is due in advance or in arrears, it is earned evenly over its own period.
    """
    nominal = period_containing(agreement.cadence, period.start)
    fee = _base_of(agreement, nominal)
    if fee is None or period.end <= fee.period.start:
        return None
    begins_here = max(fee.period.start, agreement.subscription.starts_at)
    return fee if period.start <= begins_here < max(period.end, period.start + _INSTANT) else None


def _base_in_advance(agreement: Agreement, at: datetime) -> Fee | None:
    """The base price of the plan's period that holds `at`, from `at` on, unless a trial runs."""
    trial_ends_at = agreement.trial_ends_at
    if not agreement.plan.in_advance or (trial_ends_at is not None and at < trial_ends_at):
        return None
    return _base_of(agreement, period_containing(agreement.cadence, at))


def _base_of(agreement: Agreement, nominal: Period) -> Fee | None:
    days = agreement.base_days(nominal)
    return base_fee(agreement.plan, agreement.subscription_id, nominal, days, agreement.timezone)


def commitment_of(agreement: Agreement, nominal: Period) -> Commitment | None:
    """The commitment in a period of the plan; None for a period that was a trial as long as the subscription lived."""
    subscription, trial_ends_at = agreement.subscription, agreement.trial_ends_at
    lived_until = min(subscription.ended_at or nominal.end, nominal.end)
    is_all_trial = trial_ends_at is not None and lived_until <= trial_ends_at
    if not agreement.plan.minimum_commitment_amount or is_all_trial:
        return None
    days = subscription.days_in(nominal, agreement.timezone)
    return Commitment(nominal, days) if days is not None else None
