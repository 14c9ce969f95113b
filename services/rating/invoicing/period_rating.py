"""Rating a billing period: its aggregates become fees, each with the proof of what it counted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from services.kernel.money import ZERO, Currency
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.invoicing import adjustment
from services.rating.invoicing.invoice_fee import InvoiceFee, Proof, ProvenFee
from services.rating.pricing.catalog import MetricVersion
from services.rating.pricing.charge_filter import Bucket
from services.rating.pricing.charge_usage import Window
from services.rating.pricing.charges import model_name
from services.rating.pricing.fee import Fee, FeeKind
from services.rating.pricing.plan import Charge
from services.rating.pricing.rate import RatedFor, rate_charge
from services.rating.usage.aggregate import UsageAggregate, aggregates_of_charge
from services.rating.usage.counting import has_own_buckets


def rate_period(
    agreement: Agreement,
    period: Period,
    kept: Iterable[UsageAggregate],
    metrics: Mapping[str, MetricVersion],
    watermarks: Mapping[int, int],
    *,
    only: Collection[str] | None = None,
) -> list[ProvenFee]:
    """The fees of a period's usage, in the order of the plan's charges.

    There are none if the whole period is a trial without usage fees, or if it was ended before it had an instant or a
    day.

    Args:
        agreement: the subscription whose period it is.
        period: its span, which may be cut short.
        kept: its aggregates.
        metrics: the current versions of the plan's metrics.
        watermarks: the last counted batch of each shard of the log.
        only: codes of the metrics whose charges are rated; None means all.
    """
    plan = agreement.plan
    window = agreement.window(period)
    if _is_free(agreement, period) or _is_empty(agreement, window):
        return []
    rated_for = RatedFor(agreement.subscription_id, plan.code, plan.currency, window)
    by_metric: dict[str, list[UsageAggregate]] = {}
    for aggregate in kept:
        by_metric.setdefault(aggregate.metric_code, []).append(aggregate)
    fees = []
    for charge in plan.charges:
        if only is not None and charge.metric_code not in only:
            continue
        usage = by_metric.get(charge.metric_code, [])
        fees += _rate_charge(agreement, charge, metrics[charge.metric_code], usage, rated_for, watermarks)
    return fees


def _is_free(agreement: Agreement, period: Period) -> bool:
    """Whether all of a period is a trial whose usage the plan does not bill."""
    free_until = agreement.usage_free_until
    return free_until is not None and period.end <= free_until


def _is_empty(agreement: Agreement, window: Window) -> bool:
    """Whether the subscription ended where its period began, on a day that belongs to another."""
    return agreement.subscription.ended_at is not None and not window.period.length and window.days is None


def _rate_charge(
    agreement: Agreement,
    charge: Charge,
    metric: MetricVersion,
    usage: Sequence[UsageAggregate],
    rated_for: RatedFor,
    watermarks: Mapping[int, int],
) -> list[ProvenFee]:
    free_until = agreement.usage_free_until
    own = charge if has_own_buckets(charge, metric, free_until) else None
    kept = aggregates_of_charge(charge, metric, usage, free_until)
    usages = {bucket: aggregate.charge_usage(metric, own, agreement.timezone) for bucket, aggregate in kept.items()}
    fees = []
    for fee in _worth_saying(agreement, charge, rate_charge(charge, metric.definition, usages, rated_for)):
        found = kept.get(Bucket(fee.filter_key, fee.group)) if fee.kind is FeeKind.CHARGE else None
        named = replace(fee, description=charge.description or metric.name, taxes=fee.taxes or agreement.plan.taxes)
        fees.append(ProvenFee(named, _proof(charge, metric, fee, found, watermarks)))
    return fees


def _worth_saying(agreement: Agreement, charge: Charge, fees: Sequence[Fee]) -> Sequence[Fee]:
    """The fees of a charge that an invoice shows: filters that nothing matched are left out.

    Without any usage only the charge's own price is shown, as for a charge without filters. A subscription that ended
    where one of its periods began owes that day, but could not use anything in it.
    """
    ended_at_once = agreement.subscription.ended_at is not None and not fees[0].period.length
    if not charge.filters and not ended_at_once:
        return fees
    of_usage = [fee for fee in fees if fee.kind is FeeKind.CHARGE]
    said = [fee for fee in of_usage if fee.units or fee.amount_cents or fee.event_count]
    if not said and not ended_at_once:
        said = of_usage[-1:]
    return [*said, *(fee for fee in fees if fee.kind is not FeeKind.CHARGE)]


def _proof(
    charge: Charge, metric: MetricVersion, fee: Fee, kept: UsageAggregate | None, watermarks: Mapping[int, int]
) -> Proof:
    matched = next((charge_filter for charge_filter in charge.filters if charge_filter.key == fee.filter_key), None)
    shard = kept.shard if kept else 0
    return Proof(
        period_start=fee.period.start,
        metric_id=metric.metric_id,
        metric_version=metric.version,
        charge_model=model_name(charge.model_for(fee.filter_key)),
        filter_name=matched.description or matched.key if matched else "",
        shard=shard,
        watermark=watermarks.get(shard, 0) if kept else 0,
        event_count=kept.event_count if kept else 0,
        units=fee.units,
        digest=kept.digest if kept else 0,
        metric_name=metric.name,
        aggregation=metric.definition.aggregation,
        charge_code=charge.code,
        filter_values=matched.conditions if matched else (),
    )


def adjust_period(
    invoiced: Sequence[InvoiceFee], rerated: Sequence[ProvenFee], currency: Currency, watermarks: Mapping[int, int]
) -> list[ProvenFee]:
    """The adjustments that a closed period needs now, each with the proof of the usage on which it was rated.

    Usage that no longer exists keeps the names under which it was invoiced.
    """
    proofs = {_subject(billed.fee): _without_usage(billed.proof, watermarks) for billed in invoiced}
    proofs |= {_subject(proven.fee): proven.proof for proven in rerated}
    fees = adjustment.adjust([billed.fee for billed in invoiced], [proven.fee for proven in rerated], currency)
    return [ProvenFee(fee, proofs[_subject(fee)]) for fee in fees]


def _without_usage(proof: Proof, watermarks: Mapping[int, int]) -> Proof:
    """The proof of a fee none of whose usage is left at the last counted batch."""
    watermark = watermarks.get(proof.shard, 0)
    return replace(proof, watermark=watermark, event_count=0, units=ZERO, digest=0)


def _subject(fee: Fee) -> tuple[object, ...]:
    """What a fee is about, for a fee and for its adjustment alike."""
    return (fee.adjusts or fee.kind, fee.charge_id, fee.filter_key, fee.group)
