"""Rebuilding an invoice from the event log: it must equal the original, fee by fee."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.engine import Connection

from services.kernel.cadence import period_containing
from services.kernel.ids import BillableMetricId, OrganizationId, SubscriptionId
from services.kernel.money import ZERO
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.store import agreements, lineage
from services.rating.catalog.store.metrics import metric_version
from services.rating.deps import Deps
from services.rating.invoicing.adjustment import settle
from services.rating.invoicing.invoice import Invoice
from services.rating.invoicing.invoice_fee import InvoiceFee, ProvenFee
from services.rating.invoicing.period_rating import adjust_period, rate_period
from services.rating.invoicing.store import invoices as store
from services.rating.invoicing.totals import compute_totals
from services.rating.pricing.base_price import base_fee
from services.rating.pricing.catalog import MetricVersion
from services.rating.pricing.fee import Fee, FeeKind
from services.rating.shared.usage_log import ListedUsageEvent, UsageEventsWanted
from services.rating.usage.aggregate import PeriodKey, UsageAggregate
from services.rating.usage.counting import Counter
from services.rating.usage.events_of_fee import Correction, UsageEventsOfFee
from services.rating.usage.recount import aggregates_from_log, listed_events, wanted_before
from services.rating.usage.store import corrections


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """An invoice that was computed again from the log.

    Attributes:
        invoice: the invoice with the fees and totals that the log gives.
        differences: the differences from the original, one sentence for each; empty if there are none.
    """

    invoice: Invoice
    differences: tuple[str, ...]


def rebuild_invoice(deps: Deps, organization: OrganizationId, invoice_id: str) -> Rebuilt:
    """Compute an invoice again from the events it counted, and compare both.

    Raises:
        NotFoundError: `INVOICE_UNKNOWN`.
        UnavailableError: the log is unavailable.
    """
    with deps.db.transaction(organization) as tx:
        original = store.invoice(tx, organization, invoice_id)
        source = _Source.of(deps, tx, original)
    rated = source.rated()
    waiting = _waiting(original, rated.values())
    fees = tuple(_anew(invoice_fee, source, rated) for invoice_fee in original.fees)
    totals = original.totals
    coupons = [credit.coupon for credit in totals.coupons]
    anew = compute_totals(
        [invoice_fee.fee for invoice_fee in fees], original.currency, coupons=coupons, credit_notes=totals.credit_notes
    )
    invoice = original.with_totals(fees, anew)
    missing = [
        f"{fee.description}: is not on the invoice"
        for fee in rated.values()
        if fee.amount_cents and fee.subject not in waiting
    ]
    return Rebuilt(invoice, (*_differences(original, invoice), *missing))


@dataclass(frozen=True, slots=True)
class _Group:
    """The usage fees of an invoice that were rated together: of one period, as fees or as adjustments.

    Attributes:
        key, period: the billing period.
        agreement: its subscription.
        fees: the fees.
        metrics: the metrics in the versions with which the fees were counted, by code.
        corrections: what changed after the period was closed, by metric.
        invoiced: what was billed before, for adjustments.
        chain: the subscription and those it continues, newest first, whose running values are carried in.
    """

    key: PeriodKey
    period: Period
    agreement: Agreement
    fees: Sequence[InvoiceFee]
    metrics: Mapping[str, MetricVersion]
    corrections: Mapping[str, Mapping[str, Correction]]
    invoiced: Sequence[InvoiceFee]
    chain: Sequence[Agreement]

    @property
    def is_adjustment(self) -> bool:
        """Whether they correct a period that had been invoiced before."""
        return self.fees[0].fee.kind is FeeKind.ADJUSTMENT


@dataclass(frozen=True, slots=True)
class _Source:
    """Everything, except the events, from which an invoice is rebuilt."""

    deps: Deps
    organization: OrganizationId
    groups: Sequence[_Group]
    agreements: Mapping[SubscriptionId, Agreement]

    @classmethod
    def of(cls, deps: Deps, tx: Connection, invoice: Invoice) -> _Source:
        """What is known of an invoice's fees."""
        organization = invoice.organization_id
        found = agreements(tx, organization, invoice.subscription_ids)
        grouped: dict[tuple[SubscriptionId, datetime, bool], list[InvoiceFee]] = {}
        for invoice_fee in invoice.fees:
            fee, start = invoice_fee.fee, invoice_fee.proof.period_start
            if start is not None and fee.subscription_id is not None and invoice_fee.proof.metric_id:
                key = (fee.subscription_id, start, fee.kind is FeeKind.ADJUSTMENT)
                grouped.setdefault(key, []).append(invoice_fee)
        groups = [_group(tx, organization, found[key[0]], key[1], fees) for key, fees in grouped.items()]
        return cls(deps, organization, groups, found)

    def rated(self) -> dict[tuple[object, ...], Fee]:
        """The usage fees according to the log, by what they are for."""
        fees = {}
        for group in self.groups:
            for proven in self._rate(group):
                fees[_key(proven.fee)] = proven.fee
        return fees

    def _rate(self, group: _Group) -> Sequence[ProvenFee]:
        kept = [aggregate for metric in group.metrics.values() for aggregate in self._kept(group, metric)]
        rated = rate_period(group.agreement, group.period, kept, group.metrics, {}, only=group.metrics)
        if not group.is_adjustment:
            return rated
        invoiced = [invoice_fee for invoice_fee in group.invoiced if invoice_fee.fee.metric_code in group.metrics]
        return adjust_period(invoiced, rated, group.agreement.plan.currency, {})

    def _kept(self, group: _Group, metric: MetricVersion) -> list[UsageAggregate]:
        """The aggregates of a metric according to its counted events."""
        code = metric.definition.code
        watermark = max(
            invoice_fee.proof.watermark for invoice_fee in group.fees if invoice_fee.fee.metric_code == code
        )
        of_fee = UsageEventsOfFee(group.corrections[code], watermark)
        counter = Counter.of(group.agreement, metric)
        before = self._before(group, metric, of_fee) if metric.definition.recurring else []
        wanted = UsageEventsWanted(self.organization, group.key.subscription_id, code, group.period)
        return aggregates_from_log(group.key, counter, self._counted(wanted, of_fee), before)

    def _before(self, group: _Group, metric: MetricVersion, of_fee: UsageEventsOfFee) -> list[ListedUsageEvent]:
        """The events before the period, of the subscription and of those it continues."""
        wanted = wanted_before(group.chain, metric.definition.code, group.period.start)
        return [event for query in wanted for event in self._counted(query, of_fee)]

    def _counted(self, wanted: UsageEventsWanted, of_fee: UsageEventsOfFee) -> list[ListedUsageEvent]:
        listed = listed_events(self.deps.usage_log, wanted)
        return [event for event in listed if of_fee.counts(event, of_fee.watermark)]


def _group(
    tx: Connection, organization: OrganizationId, agreement: Agreement, start: datetime, fees: Sequence[InvoiceFee]
) -> _Group:
    key = PeriodKey(organization, agreement.subscription_id, start)
    metrics = {}
    for invoice_fee in fees:
        proof = invoice_fee.proof
        metrics[invoice_fee.fee.metric_code or ""] = metric_version(
            tx, organization, BillableMetricId(proof.metric_id), proof.metric_version
        )
    first = min(invoice_fee.fee_id for invoice_fee in fees)
    chain = lineage(tx, agreement)
    ids = [agreement.subscription_id for agreement in chain]
    usage_fees = store.fees_of_usage(tx, organization, [(agreement.subscription_id, start)])
    return _Group(
        key,
        fees[0].fee.period,
        agreement,
        fees,
        metrics,
        {code: corrections.of_metric(tx, organization, ids, code) for code in metrics},
        [invoice_fee for invoice_fee in usage_fees[(agreement.subscription_id, start)] if invoice_fee.fee_id < first],
        chain,
    )


def _waiting(original: Invoice, rated: Iterable[Fee]) -> set[tuple[str, ...]]:
    """The subjects of those adjustments by the log that did not fit on the invoice and are on a later one."""
    others = [invoice_fee.fee for invoice_fee in original.fees if invoice_fee.fee.kind is not FeeKind.ADJUSTMENT]
    _, waiting = settle([fee for fee in rated if fee.kind is FeeKind.ADJUSTMENT], others)
    return {fee.subject for fee in waiting}


def _key(fee: Fee) -> tuple[object, ...]:
    return (fee.kind, *fee.subject)


def _anew(billed: InvoiceFee, source: _Source, rated: dict[tuple[object, ...], Fee]) -> InvoiceFee:
    """A fee according to the log. It is taken out of `rated`, so that what is left there is on no invoice."""
    fee = billed.fee
    if fee.kind is FeeKind.SUBSCRIPTION and fee.subscription_id is not None:
        agreement = source.agreements[fee.subscription_id]
        nominal = period_containing(agreement.cadence, fee.period.start)
        base = base_fee(agreement.plan, fee.subscription_id, nominal, fee.period, agreement.timezone)
        return billed if base is None else replace(billed, fee=replace(base, taxes=fee.taxes))
    if not billed.proof.metric_id:
        # A commitment's shortfall and one-off items do not come from events.
        return billed
    found = rated.pop(_key(fee), None)
    if found is None:
        return replace(billed, fee=replace(fee, precise_amount=ZERO, amount_cents=0, units=ZERO, event_count=0))
    return replace(billed, fee=replace(found, taxes=fee.taxes, description=fee.description))


def _differences(original: Invoice, rebuilt: Invoice) -> Iterator[str]:
    for before, after in zip(original.fees, rebuilt.fees, strict=True):
        for name in ("units", "event_count", "precise_amount", "amount_cents"):
            was, now = getattr(before.fee, name), getattr(after.fee, name)
            if was != now:
                yield f"{before.fee.description}: {name} is {was} on the invoice and {now} by the log"
    for name in ("fees_amount_cents", "coupons_amount_cents", "taxes_amount_cents", "total_amount_cents"):
        was, now = getattr(original.totals, name), getattr(rebuilt.totals, name)
        if was != now:
            yield f"{name} is {was} on the invoice and {now} by the log"
