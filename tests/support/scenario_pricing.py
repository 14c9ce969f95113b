"""A scenario priced by rating's pure domain alone: a calendar, aggregates in memory, fees, credits and totals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.kernel.cadence import Alignment
from services.kernel.ids import CustomerId, OrganizationId, SubscriptionId
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.change import request_change
from services.rating.agreements.subscription import Subscription, activate, apply_change
from services.rating.invoicing.adjustment import adjust, settle
from services.rating.invoicing.billing_run import (
    BillingRun,
    cut_period,
    end_run,
    period_end_run,
    start_run,
    trial_end_run,
    unused_share,
)
from services.rating.invoicing.credit_note import CreditableInvoice, InvoicedFee, credit_unused
from services.rating.invoicing.invoice import Balance, Totals, compute_totals
from services.rating.pricing.catalog import MetricVersion, PlanVersion
from services.rating.pricing.charge_filter import Bucket, bucket_of
from services.rating.pricing.charge_usage import ChargeUsage, Window
from services.rating.pricing.commitment import commitment_fee
from services.rating.pricing.fee import Fee, FeeKind
from services.rating.pricing.plan import Charge
from services.rating.pricing.rate import RatedFor, rate_charge
from services.rating.usage.billing_period import BillingPeriod
from tests.support.scenario_catalog import metric_draft, plan_draft
from tests.support.scenarios import CUSTOMER, Scenario, Step, instant

_OF_USAGE = {FeeKind.CHARGE, FeeKind.TRUE_UP, FeeKind.ADJUSTMENT}

PeriodOf = tuple[SubscriptionId, datetime]


@dataclass(frozen=True)
class PricedInvoice:
    """An invoice of the domain."""

    fees: tuple[Fee, ...]
    totals: Totals


@dataclass
class Pricing:
    """One subscription over time, in memory.

    Attributes:
        agreement: the subscription as it is.
        invoices: made so far.
    """

    agreement: Agreement
    metrics: Mapping[str, MetricVersion]
    plans: Mapping[str, PlanVersion]
    invoices: list[PricedInvoice] = field(default_factory=list)
    _usages: dict[PeriodOf, dict[str, dict[Bucket, ChargeUsage]]] = field(default_factory=dict)
    _closed: list[tuple[Agreement, Period]] = field(default_factory=list)
    _open: Period | None = None
    _trial_end: datetime | None = None
    _balances: list[Balance] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def start(self) -> None:
        """Begin the subscription: its first period, and a base price due in advance."""
        run = start_run(self.agreement)
        self._open, self._trial_end = run.following, self.agreement.trial_ends_at
        self._invoice(run, [])

    def advance(self, to: datetime) -> None:
        """Do what is due until an instant."""
        while self._open is not None and min(self._open.end, self._trial_end or self._open.end) <= to:
            self._do_due(self._open)

    def _do_due(self, period: Period) -> None:
        """The first thing that is due; at one instant changes come before closings."""
        change = self.agreement.subscription.pending_change
        if self._trial_end is not None and self._trial_end <= period.end:
            trial_end, self._trial_end = self._trial_end, None
            self._invoice(trial_end_run(self.agreement, trial_end), [])
        elif change is not None and change.effective_at <= period.end:
            at, zone = change.effective_at, self.agreement.timezone
            self._succeed(*apply_change(self.agreement.subscription, new_id=self._next_id(), at=at, timezone=zone))
        else:
            run = period_end_run(self.agreement, self._billing_period(period))
            self._close(run, period)
            self._open = run.following

    def do(self, step: Step) -> None:
        """One step of a scenario."""
        at = instant(step.at)
        self.advance(at)
        if step.plan_code:
            self._change(self.plans[step.plan_code], at)
        for event in step.events:
            if event["transaction_id"] not in self._seen:
                self._seen.add(event["transaction_id"])
                self._count(event)

    def _next_id(self) -> SubscriptionId:
        return SubscriptionId(f"{self.agreement.subscription_id}+")

    def _change(self, plan: PlanVersion, at: datetime) -> None:
        agreement, old, zone = self.agreement, self.agreement.plan, self.agreement.timezone
        effect = request_change(agreement.subscription, old, plan.plan, new_id=self._next_id(), at=at, timezone=zone)
        if effect.successor is None:
            self.agreement = agreement.moved(effect.subscription)
        else:
            self._succeed(effect.subscription, effect.successor)

    def _succeed(self, ended: Subscription, successor: Subscription | None) -> None:
        """Credit the unused base price, close the period at the end, and begin what follows."""
        assert self._open is not None
        assert ended.ended_at is not None
        assert successor is not None
        over, cut = self.agreement.moved(ended), Period(self._open.start, ended.ended_at)
        self._credit(over, ended.ended_at)
        self._close(end_run(over, self._billing_period(cut)), cut)
        self.agreement = over.succeeded_by(successor, self.plans[successor.plan_code])
        self.start()

    def _credit(self, over: Agreement, at: datetime) -> None:
        assert self._open is not None
        nominal = cut_period(over, at, self._open.start)
        for invoice in reversed(self.invoices):
            for number, fee in enumerate(invoice.fees):
                is_own = fee.kind is FeeKind.SUBSCRIPTION and fee.subscription_id == over.subscription_id
                unused = unused_share(over, nominal, fee.period) if nominal and is_own else None
                if unused is None:
                    continue
                fees = tuple(InvoicedFee(each) for each in invoice.fees)
                credited = CreditableInvoice(fees, invoice.totals.sub_total_cents, invoice.totals.taxes_cents)
                note = credit_unused(credited, number, unused, over.plan.currency)
                if note is not None:
                    self._balances.append(Balance(f"note-{len(self._balances)}", note.credit_cents))
                return

    def _count(self, event: Mapping[str, Any]) -> None:
        """Count one event where its time belongs: the open period, or a closed one."""
        at = instant(event["timestamp"])
        assert self._open is not None
        spans = [*self._closed, (self.agreement, self._open)]
        agreement, period = next((owner, span) for owner, span in spans if at in span)
        metric = self.metrics[event["code"]].definition
        properties = event["properties"]
        measured = metric.measure(event_id=event["transaction_id"], at=at, properties=properties)
        kept = self._usages.setdefault((agreement.subscription_id, period.start), {})
        for charge in agreement.plan.charges:
            if charge.metric_code == metric.code:
                bucket = bucket_of(charge.filters, charge.group_keys(metric), properties)
                usages = kept.setdefault(charge.charge_id, {})
                empty = ChargeUsage.empty(metric, charge.model_for(bucket.filter_key), prorated=charge.prorated)
                usages[bucket] = usages.get(bucket, empty).add([measured])

    def _close(self, run: BillingRun, period: Period) -> None:
        self._invoice(run, self._usage_fees(run.agreement, period))
        self._closed.append((run.agreement, period))

    def _usage_fees(self, agreement: Agreement, period: Period) -> list[Fee]:
        plan = agreement.plan
        window = Window(period, agreement.nominal_period_at(period.start), agreement.timezone)
        rated_for = RatedFor(agreement.subscription_id, plan.code, plan.currency, window)
        kept = self._usages.get((agreement.subscription_id, period.start), {})

        def rated(charge: Charge) -> Iterable[Fee]:
            metric = self.metrics[charge.metric_code].definition
            return rate_charge(charge, metric, kept.get(charge.charge_id, {}), rated_for)

        return [fee for charge in plan.charges for fee in rated(charge)]

    def _adjustments(self, fees: Iterable[Fee]) -> list[Fee]:
        """What closed periods owe for events that came late."""
        owed: list[Fee] = []
        currency = self.agreement.plan.currency
        for agreement, period in self._closed:
            invoiced = [
                fee
                for invoice in self.invoices
                for fee in invoice.fees
                if fee.kind in _OF_USAGE and fee.subscription_id == agreement.subscription_id and fee.period == period
            ]
            owed += adjust(invoiced, self._usage_fees(agreement, period), currency)
        return list(settle(owed, fees)[0])

    def _invoice(self, run: BillingRun, usage: Iterable[Fee]) -> None:
        plan = run.agreement.plan
        fees = [*([run.base] if run.base else []), *usage]
        if run.commitment is not None:
            nominal = run.commitment.nominal
            earlier = [fee for invoice in self.invoices for fee in invoice.fees]
            within = [fee for fee in (*earlier, *fees) if fee.period.start in nominal]
            fee = commitment_fee(
                plan, run.subscription_id, run.commitment.part, nominal, within, run.agreement.timezone
            )
            fees += [fee] if fee else []
        fees += self._adjustments(fees)
        if fees:
            totals = compute_totals(fees, plan.currency, credit_notes=self._balances)
            drawn = {each.balance_id: each.amount_cents for each in totals.credit_notes}
            self._balances = [
                Balance(each.balance_id, each.amount_cents - drawn.get(each.balance_id, 0)) for each in self._balances
            ]
            self.invoices.append(PricedInvoice(tuple(fees), totals))

    def _billing_period(self, period: Period) -> BillingPeriod:
        owner = self.agreement
        customer = owner.subscription.customer_id
        return BillingPeriod(owner.organization_id, owner.subscription_id, customer, period)


def price_scenario(scenario: Scenario) -> list[PricedInvoice]:
    """The invoices of a scenario, oldest first."""
    starts_at = instant(scenario.clock["starts_at"])
    plans = {body["code"]: plan_draft(body) for body in scenario.plans}
    first = plans[scenario.plan["code"]]
    subscription = Subscription(
        SubscriptionId("subscription"),
        scenario.subscription["external_id"],
        CustomerId(CUSTOMER),
        first.plan.code,
        1,
        Alignment(scenario.subscription["billing_time"]),
        starts_at,
        starts_at,
        starts_at,
    )
    agreement = Agreement(
        OrganizationId("organization"),
        activate(subscription, at=starts_at),
        first,
        CUSTOMER,
        scenario.organization.get("timezone", "UTC"),
        "",
        starts_at,
    )
    pricing = Pricing(agreement, {body["code"]: metric_draft(body) for body in scenario.metrics}, plans)
    pricing.start()
    for step in scenario.steps:
        pricing.do(step)
    pricing.advance(instant(scenario.clock["ends_at"]))
    return pricing.invoices
