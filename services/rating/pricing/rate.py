"""Rating: the usage of a charge over a period becomes fees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from services.kernel.ids import SubscriptionId
from services.kernel.money import ZERO, Currency
from services.rating.pricing.charge_filter import Bucket
from services.rating.pricing.charge_usage import ChargeUsage, Window
from services.rating.pricing.charges import Line, Priced, price
from services.rating.pricing.fee import Fee, FeeKind
from services.rating.pricing.metric import BillableMetric
from services.rating.pricing.plan import Charge

# A fee for the whole charge, such as a true-up, has no filter and no group.
_WHOLE = Bucket()


@dataclass(frozen=True, slots=True)
class RatedFor:
    """For whom, and for which time, a charge is rated.

    Attributes:
        subscription_id: the subscription.
        plan_code: its plan.
        currency: the plan's.
        window: the billed period.
    """

    subscription_id: SubscriptionId
    plan_code: str
    currency: Currency
    window: Window


def rate_charge(
    charge: Charge, metric: BillableMetric, usages: Mapping[Bucket, ChargeUsage], rated_for: RatedFor
) -> tuple[Fee, ...]:
    """The fees of a charge: one for each filter and group, and a true-up if they stay below the minimum.

    The charge's own price and every filter have a fee even without usage, since some prices are above zero at zero
    units.
    """
    buckets = _buckets(charge, usages)
    fees = [_rate_bucket(charge, metric, bucket, usages.get(bucket), rated_for) for bucket in buckets]
    true_up = true_up_fee(charge, fees, rated_for)
    return (*fees, true_up) if true_up else tuple(fees)


def true_up_fee(charge: Charge, fees: Iterable[Fee], rated_for: RatedFor) -> Fee | None:
    """What the fees lack to reach the charge's minimum, prorated by days; None if they lack nothing."""
    window, currency = rated_for.window, rated_for.currency
    if not charge.minimum_amount:
        return None
    missing = shortfall("minimum of the charge", window.share.exact(charge.minimum_amount), fees, currency)
    if missing is None:
        return None
    fee = Fee.of(FeeKind.TRUE_UP, window.period, missing, currency)
    return _about(fee, charge, rated_for)


def shortfall(description: str, least_amount: Fraction, fees: Iterable[Fee], currency: Currency) -> Priced | None:
    """What fees lack to reach a least amount, both rounded first so that they add up; None if they lack nothing."""
    least = currency.to_major(currency.to_minor(least_amount))
    billed = currency.to_major(sum(fee.amount_cents for fee in fees))
    if billed >= least:
        return None
    lines = (
        Line(description, Decimal(1), least, ZERO, least),
        Line("already billed", Decimal(1), -billed, ZERO, -billed),
    )
    return Priced.of(lines, Decimal(1))


def _buckets(charge: Charge, usages: Mapping[Bucket, ChargeUsage]) -> list[Bucket]:
    """The buckets of a charge: its filters in their order, then its own price, with groups sorted by name."""
    buckets = []
    for filter_key in (*(charge_filter.key for charge_filter in charge.filters), ""):
        groups = sorted(bucket for bucket in usages if bucket.filter_key == filter_key)
        buckets += groups or [Bucket(filter_key)]
    return buckets


def _rate_bucket(
    charge: Charge, metric: BillableMetric, bucket: Bucket, usage: ChargeUsage | None, rated_for: RatedFor
) -> Fee:
    """The fee of one filter and group."""
    window, model = rated_for.window, charge.model_for(bucket.filter_key)
    if usage is None:
        usage = ChargeUsage.empty(metric, model, prorated=charge.prorated, timezone=window.timezone)
    measured = usage.usage(metric, window)
    priced = price(model, measured)
    fee = Fee.of(FeeKind.CHARGE, window.period, priced, rated_for.currency, event_count=measured.event_count)
    return _about(fee, charge, rated_for, bucket)


def _about(fee: Fee, charge: Charge, rated_for: RatedFor, bucket: Bucket = _WHOLE) -> Fee:
    """The fee, with the subscription, plan, charge and bucket that it is for."""
    return replace(
        fee,
        subscription_id=rated_for.subscription_id,
        plan_code=rated_for.plan_code,
        charge_id=charge.charge_id,
        metric_code=charge.metric_code,
        description=charge.description or charge.metric_code,
        taxes=charge.taxes,
        filter_key=bucket.filter_key,
        group=bucket.group,
    )
