"""An account played by rating's pure domain alone: its calendar, its runs and its prices, over a log in memory.

What rating's commands do in SQL around that is done here by hand: the subscription of an event, what is due next, what
was billed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from services.kernel.cadence import Alignment, period_containing, start_of_day
from services.kernel.ids import CustomerId, OrganizationId, SubscriptionId, new_id
from services.kernel.money import CURRENCIES
from services.kernel.period import Period
from services.rating.agreements import subscription as verbs
from services.rating.agreements.agreement import Agreement, EndTerms
from services.rating.agreements.change import request_cancellation, request_change
from services.rating.agreements.resolution import Resolution
from services.rating.agreements.subscription import PendingChange, Subscription
from services.rating.catalog.store.taxes import TaxLevels
from services.rating.customers.customer import Customer
from services.rating.invoicing.billing_run import end_run, period_end_run, start_run, trial_end_run
from services.rating.invoicing.credit_amounts import CreditItem
from services.rating.invoicing.invoice_fee import ProvenFee
from services.rating.invoicing.period_rating import rate_period
from services.rating.invoicing.queries.priced_usage import UsageSummary, summary_of
from services.rating.organizations.organization import LateUsageEvents, Organization
from services.rating.pricing.catalog import AppliedCoupon, CatalogTax, Coupon, MetricVersion, PlanVersion
from services.rating.pricing.fee import FeeKind
from services.rating.shared.subscription_state import SubscriptionState
from services.rating.shared.usage_log import ListedUsageEvent
from services.rating.subscriptions.commands.start import activated, with_trial
from services.rating.usage.aggregate import PeriodKey, UsageAggregate
from services.rating.usage.billing_period import BillingPeriod
from services.rating.usage.counting import Counter
from services.rating.usage.recount import aggregates_from_log
from tests.support.accounts.account import CUSTOMER, SUBSCRIPTION, Body, CreditNote, Fee, Invoice, Usage
from tests.support.accounts.drafts import coupon_draft, item_draft, metric_draft, plan_draft, tax_draft
from tests.support.accounts.ledger import Ledger
from tests.support.accounts.records import by_number, credit_note_of, invoice_of, usage_of
from tests.support.accounts.words import TIMINGS, instant_or_none, properties_of


@dataclass
class Life:
    """One subscription over time.

    Attributes:
        agreement: the current agreement, or the last one if the subscription has ended.
        open: its open billing period; None before the subscription begins and after it ends.
        earlier: the agreements that it continues, oldest first.
    """

    agreement: Agreement
    open: BillingPeriod | None = None
    earlier: list[Agreement] = field(default_factory=list)

    def next_due(self) -> datetime | None:
        """When the next scheduled thing is due."""
        due = (self.agreement.due_at, self.open.period.end if self.open else None)
        return min((at for at in due if at is not None), default=None)

    def ids(self) -> set[SubscriptionId]:
        """The ids of the subscription and of those that it continues."""
        return {agreement.subscription_id for agreement in (*self.earlier, self.agreement)}


@dataclass(frozen=True)
class _Sent:
    """An event of the log."""

    subscription_id: SubscriptionId
    code: str
    event: ListedUsageEvent


class MemoryAccount:
    """See `Account`."""

    def __init__(self) -> None:
        self._now = datetime(2000, 1, 1, tzinfo=UTC)
        self._taxes: dict[str, CatalogTax] = {}
        self._coupons: dict[str, Coupon] = {}
        self._metrics: dict[str, MetricVersion] = {}
        self._plans: dict[str, PlanVersion] = {}
        self._lives: dict[str, Life] = {}
        self._log: dict[str, _Sent] = {}

    # --- what is sold -----------------------------------------------------------------------------------------------

    def open(self, at: datetime, **organization: Any) -> None:
        self._now = at
        late_events = LateUsageEvents(organization.pop("late_events", "adjust"))
        identity = OrganizationId(new_id())
        self._organization = Organization(identity, "Account", True, at, late_events=late_events, **organization)  # noqa: FBT003 - its order

    def tax(self, body: Body) -> None:
        self._taxes[body["code"]] = tax_draft(body)

    def customer(self, **fields: Any) -> None:
        billing = fields.get("billing_configuration", {})
        self._customer = Customer(
            CustomerId(CUSTOMER),
            CUSTOMER,
            1,
            self._now,
            self._now,
            currency=fields.get("currency", ""),
            timezone=fields.get("timezone", ""),
            tax_codes=tuple(fields.get("tax_codes", ())),
            invoice_grace_period_days=billing.get("invoice_grace_period"),
        )
        self._ledger = Ledger(self._organization, self._customer, self._metrics, self._kept)

    def metric(self, body: Body) -> None:
        self._metrics[body["code"]] = metric_draft(body)

    def plan(self, body: Body) -> None:
        draft = plan_draft(body)
        known = self._plans.get(draft.plan.code)
        version = known.plan.version + 1 if known else 1
        taxed = self._tax_levels().taxed(draft, self._customer.tax_codes)
        for charge in draft.plan.charges:
            charge.check_metric(self._metrics[charge.metric_code].definition)
        self._plans[draft.plan.code] = replace(taxed, plan=replace(taxed.plan, version=version))

    def _tax_levels(self) -> TaxLevels:
        return TaxLevels(
            {code: tax.tax for code, tax in self._taxes.items()},
            tuple(tax.tax for _, tax in sorted(self._taxes.items()) if tax.applied_to_organization),
        )

    def coupon(self, body: Body) -> None:
        self._coupons[body["code"]] = coupon_draft(body)

    def hold(self, coupon: str) -> None:
        self._ledger.hold(AppliedCoupon(new_id(), self._coupons[coupon], CustomerId(CUSTOMER), CUSTOMER, self._now))

    # --- a subscription's verbs -------------------------------------------------------------------------------------

    def subscribe(self, plan: str, **terms: Any) -> None:
        starts_at = instant_or_none(terms.get("subscription_at")) or self._now
        external_id = terms.get("external_id", SUBSCRIPTION)
        subscription = Subscription(
            subscription_id=SubscriptionId(new_id()),
            external_id=external_id,
            customer_id=CustomerId(CUSTOMER),
            plan_code=plan,
            plan_version=self._plans[plan].plan.version,
            alignment=Alignment(terms.get("billing_time", "calendar")),
            anchor=starts_at,
            starts_at=starts_at,
            first_started_at=starts_at,
        )
        agreement = Agreement(
            organization_id=self._organization.organization_id,
            subscription=subscription,
            plan_version=self._plans[plan],
            external_customer_id=CUSTOMER,
            timezone=self._customer.timezone or self._organization.timezone,
            name="",
            created_at=self._now,
            ending_at=instant_or_none(terms.get("ending_at")),
        )
        self._lives[external_id] = Life(agreement)
        self.advance(self._now)

    def change(self, plan: str, *, when: str = "", credit: str = "credit", external_id: str = SUBSCRIPTION) -> str:
        life, version = self._lives[external_id], self._plans[plan]
        agreement = life.agreement
        promised = agreement.subscription.pending_change
        if promised is not None and promised.target == (plan, version.plan.version) and when != "now":
            return str(agreement.subscription.state)
        effect = request_change(
            agreement.subscription,
            agreement.plan,
            version.plan,
            new_id=SubscriptionId(new_id()),
            at=self._now,
            timezone=agreement.timezone,
            timing=TIMINGS[when],
        )
        moved, terms = agreement.moved(effect.subscription), EndTerms(Resolution(credit))
        if effect.successor is None:
            life.agreement = replace(moved, end_terms=terms)
        else:
            self._end(life, moved, terms, self._now)
            self._follow(life, effect.successor, version)
        return str(life.agreement.subscription.state)

    def migrate(self, plan: str) -> None:
        for life in self._lives.values():
            at = period_containing(life.agreement.cadence, self._now).end
            change = PendingChange(at, plan, self._plans[plan].plan.version)
            life.agreement = life.agreement.moved(verbs.schedule_change(life.agreement.subscription, change))

    def cancel(
        self, *, when: str = "now", credit: str = "credit", is_invoiced: bool = True, external_id: str = SUBSCRIPTION
    ) -> None:
        life = self._lives[external_id]
        agreement = life.agreement
        effect = request_cancellation(
            agreement.subscription, agreement.plan, at=self._now, timezone=agreement.timezone, timing=TIMINGS[when]
        )
        moved, terms = agreement.moved(effect.subscription), EndTerms(Resolution(credit), not is_invoiced)
        if moved.is_active:
            life.agreement = replace(moved, end_terms=terms)
        else:
            self._end(life, moved, terms, self._now)

    def withdraw(self, *, external_id: str = SUBSCRIPTION) -> None:
        life = self._lives[external_id]
        kept = life.agreement.moved(verbs.withdraw_change(life.agreement.subscription))
        life.agreement = replace(kept, end_terms=EndTerms())

    # --- time -------------------------------------------------------------------------------------------------------

    def advance(self, to: datetime) -> None:
        while (due := self._next_due(to)) is not None:
            at, life = due
            if life is None:
                for draft in self._ledger.drafts():
                    if draft.grace_ends_at <= at:
                        self._ledger.finalize(draft, at)
            else:
                self._do_due(life, at)
        self._now = to

    def _next_due(self, to: datetime) -> tuple[datetime, Life | None] | None:
        """The next instant at which something is due, and for whom; ends of grace come last."""
        lives = [(at, 0, life) for life in self._lives.values() if (at := life.next_due()) is not None]
        grace = [(draft.grace_ends_at, 1, None) for draft in self._ledger.drafts()]
        due: list[tuple[datetime, int, Life | None]] = [*lives, *grace]
        earliest = min(due, key=lambda entry: entry[:2], default=None)
        return None if earliest is None or earliest[0] > to else (earliest[0], earliest[2])

    def _do_due(self, life: Life, at: datetime) -> None:
        """Do as rating's command: a start, a change, an end, a trial's end; if none is due, a period's end."""
        agreement = life.agreement
        change = agreement.subscription.pending_change
        if agreement.due_at is None or agreement.due_at > at:
            self._close(life)
        elif agreement.subscription.state is SubscriptionState.PENDING:
            life.agreement = activated(agreement, at)
            self._begin(life)
        elif change is not None and change.effective_at <= at:
            self._do_promised(life, agreement.subscription, at)
        elif agreement.ending_at is not None and agreement.ending_at <= at:
            self._end_as_agreed(life, agreement.ending_at)
        else:
            life.agreement = replace(agreement, trial_end_due_at=None)
            self._ledger.bill_base(trial_end_run(life.agreement, at))

    def _do_promised(self, life: Life, subscription: Subscription, at: datetime) -> None:
        agreement = life.agreement
        ended, successor = verbs.apply_change(
            subscription, new_id=SubscriptionId(new_id()), at=at, timezone=agreement.timezone
        )
        self._end(life, agreement.moved(ended), agreement.end_terms, at)
        if successor is not None:
            self._follow(life, successor, self._plans[successor.plan_code])

    def _end_as_agreed(self, life: Life, at: datetime) -> None:
        agreement = life.agreement
        if start_of_day(at, agreement.timezone) == at:
            self._do_promised(life, replace(agreement.subscription, pending_change=PendingChange(at)), at)
        else:
            ended = verbs.terminate(agreement.subscription, at=at, timezone=agreement.timezone)
            self._end(life, agreement.moved(ended), agreement.end_terms, at)

    def _begin(self, life: Life) -> None:
        run = start_run(life.agreement)
        life.open = self._opened(life.agreement, run.following) if run.following else None
        self._ledger.bill_base(run)

    def _close(self, life: Life) -> None:
        assert life.open is not None
        run = period_end_run(life.agreement, life.open)
        self._ledger.close(run, run.at)
        life.open = self._opened(life.agreement, run.following) if run.following else None

    def _end(self, life: Life, ended: Agreement, terms: EndTerms, at: datetime) -> None:
        """Credit what is unused, close the open period at the end."""
        ended = replace(ended, end_terms=terms)
        period, life.agreement, life.open = life.open, ended, None
        assert period is not None
        start = period.period.start
        self._ledger.credit_unused(ended, at, start, terms.resolution)
        cut = replace(period, period=Period(start, max(start, at)))
        self._ledger.close(end_run(ended, cut), at, is_invoiced=not terms.skip_final_invoice)

    def _follow(self, life: Life, successor: Subscription, version: PlanVersion) -> None:
        life.earlier.append(life.agreement)
        life.agreement = with_trial(life.agreement.succeeded_by(successor, version))
        self._begin(life)

    def _opened(self, agreement: Agreement, period: Period) -> BillingPeriod:
        return BillingPeriod(agreement.organization_id, agreement.subscription_id, CustomerId(CUSTOMER), period)

    # --- usage ------------------------------------------------------------------------------------------------------

    def use(self, events: Sequence[Body]) -> None:
        for given in events:
            if given["transaction_id"] in self._log:
                continue
            event = ListedUsageEvent(
                given["transaction_id"],
                datetime.fromisoformat(given["timestamp"]),
                properties_of(given),
                Decimal(str(given.get("precise_total_amount_cents", 0))),
            )
            life = self._lives[given.get("external_subscription_id", SUBSCRIPTION)]
            owner = next(
                agreement
                for agreement in (*life.earlier, life.agreement)
                if agreement.subscription.covers(event.occurred_at)
            )
            self._log[event.transaction_id] = _Sent(owner.subscription_id, given["code"], event)

    def void(self, transaction_id: str, replacement: Body | None = None) -> None:
        sent = self._log[transaction_id]
        self._log[transaction_id] = replace(sent, event=replace(sent.event, is_voided=True))
        if replacement is not None:
            self.use([replacement])

    def _kept(self, agreement: Agreement, period: Period) -> list[UsageAggregate]:
        """The aggregates of a period, from the log."""
        life = self._lives[agreement.subscription.external_id]
        key = PeriodKey(agreement.organization_id, agreement.subscription_id, period.start)
        found = []
        for code in sorted({charge.metric_code for charge in agreement.plan.charges}):
            metric = self._metrics[code]
            events = [
                sent
                for sent in self._log.values()
                if sent.code == code and not sent.event.is_voided and sent.subscription_id in life.ids()
            ]
            within = [
                sent.event
                for sent in events
                if sent.subscription_id == agreement.subscription_id and sent.event.occurred_at in period
            ]
            is_recurring = metric.definition.recurring
            before = [sent.event for sent in events if is_recurring and sent.event.occurred_at < period.start]
            found += aggregates_from_log(key, Counter.of(agreement, metric), within, before)
        return found

    # --- money ------------------------------------------------------------------------------------------------------

    def pay(self, invoice: Invoice, cents: int) -> None:
        self._ledger.pay(self._ledger.invoice_of(invoice.identity), cents)

    def void_invoice(self, invoice: Invoice) -> None:
        self._ledger.void(self._ledger.invoice_of(invoice.identity), self._now)

    def refresh(self, invoice: Invoice) -> Invoice:
        return invoice_of(self._ledger.refresh(self._ledger.invoice_of(invoice.identity)))

    def sell(self, items: Sequence[Body], currency: str) -> None:
        drafts = [item_draft(item) for item in items]
        self._ledger.sell(drafts, self._tax_levels(), CURRENCIES[currency], self._now)

    def credit(self, invoice: Invoice, items: Sequence[tuple[Fee, int]]) -> CreditNote:
        known = self._ledger.invoice_of(invoice.identity)
        places = {billed.fee_id: number for number, billed in enumerate(known.fees)}
        currency = known.currency
        given = [CreditItem(places[fee.identity], currency.to_major(cents)) for fee, cents in items]
        return credit_note_of(self._ledger.credit(known, given, self._now))

    # --- what came of it --------------------------------------------------------------------------------------------

    def invoices(self) -> list[Invoice]:
        return [invoice_of(known) for known in by_number(self._ledger.invoices)]

    def credit_notes(self) -> list[CreditNote]:
        return [credit_note_of(given) for given in self._ledger.given]

    def usage(self, kind: str = "current") -> Usage:
        life = self._lives[SUBSCRIPTION]
        assert life.open is not None
        span = life.open.period
        until = span.end if kind == "projected" else max(min(self._now, span.end), span.start)
        kept = self._kept(life.agreement, span)
        fees = rate_period(life.agreement, Period(span.start, until), kept, self._metrics, {})
        own = [
            ProvenFee(replace(proven.fee, period=span), proven.proof)
            for proven in fees
            if proven.fee.kind is FeeKind.CHARGE
        ]
        return usage_of(summary_of(life.agreement, span, own))

    def closed_usage(self) -> list[Usage]:
        ledger = self._ledger
        found = []
        for agreement, period in reversed(ledger.closed):
            fees = tuple(ledger._invoiced(period))
            invoices = [
                known
                for known in ledger.invoices
                if (known.terms.subscription_id, known.terms.usage_start)
                == (period.subscription_id, period.period.start)
            ]
            issued_on = invoices[0].issuing_date.isoformat() if invoices else ""
            found.append(usage_of(UsageSummary(period.period, agreement.plan.currency, fees), issued_on))
        return found
