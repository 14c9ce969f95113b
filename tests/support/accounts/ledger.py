"""What a customer was billed, kept in memory: the functions that rating makes invoices with, without the SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from services.kernel.ids import FeeId, new_id
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.resolution import Resolution
from services.rating.customers.customer import Customer
from services.rating.invoicing import credit_note as notes
from services.rating.invoicing import invoice as invoices
from services.rating.invoicing.bill import Bill, BilledFee
from services.rating.invoicing.billing_run import BillingRun, cut_period, unused_share
from services.rating.invoicing.commands import credit_notes, finalize, make
from services.rating.invoicing.commands.late_corrections import Adjustable
from services.rating.invoicing.commands.make import Loaded, Purse, commitment_fees, usage_fees
from services.rating.invoicing.credit_note import CreditItem, CreditNote
from services.rating.invoicing.invoice import Balance, InvoiceState
from services.rating.invoicing.kept_credit_note import CreditReason, GivenCredit, creditable
from services.rating.invoicing.period_rating import ProvenFee
from services.rating.organizations.organization import LateUsageEvents, Organization
from services.rating.pricing.catalog import AppliedCoupon, MetricVersion
from services.rating.pricing.fee import FeeKind
from services.rating.usage.aggregate import UsageAggregate
from services.rating.usage.billing_period import BillingPeriod

_OF_USAGE = {FeeKind.CHARGE, FeeKind.TRUE_UP, FeeKind.ADJUSTMENT}
_COMMITTED = {FeeKind.SUBSCRIPTION, FeeKind.CHARGE, FeeKind.TRUE_UP}
Kept = Callable[[Agreement, Period], Sequence[UsageAggregate]]


@dataclass
class Ledger:
    """Invoices, credit notes and coupons of one customer.

    Attributes:
        organization, customer: who bills whom.
        metrics: what is sold by, by code.
        kept: the aggregates of a period of an agreement, as they are now.
        bills: in the order in which they were made.
        given: credit notes, oldest first.
        closed: billing periods that were invoiced, with the agreement they were invoiced under.
    """

    organization: Organization
    customer: Customer
    metrics: dict[str, MetricVersion]
    kept: Kept
    bills: list[Bill] = field(default_factory=list)
    given: list[GivenCredit] = field(default_factory=list)
    closed: list[tuple[Agreement, BillingPeriod]] = field(default_factory=list)
    _purse: Purse = field(default_factory=lambda: Purse({}, {}, {}, {}))
    _numbered: int = 0

    def hold(self, coupon: AppliedCoupon) -> None:
        """The customer is given a coupon."""
        self._purse.coupons.setdefault(self.customer.customer_id, []).append(coupon)

    # --- invoices ---------------------------------------------------------------------------------------------------

    def bill(self, run: BillingRun, at: datetime) -> None:
        """Invoice a run, where there is something to bill; as a draft while there is grace."""
        loaded = self._loaded([run])
        fees = [ProvenFee(run.base)] if run.base is not None else []
        fees += usage_fees(run, loaded)
        fees += commitment_fees(run, fees, self._billed_within(run))
        billed = [BilledFee(FeeId(new_id()), proven.fee, proven.proof) for proven in fees]
        billed += self._adjustable().place(
            self.customer.customer_id, run.agreement.plan.currency, [proven.fee for proven in fees], {}
        )
        if billed:
            draft = make._total(make._draft(loaded, run, billed, at), self._purse, at)
            self.bills.append(draft)
            if draft.grace_ends_at <= at:
                self._number(draft, at)

    def close(self, run: BillingRun, at: datetime, *, is_invoiced: bool = True) -> None:
        """Invoice the end of a billing period."""
        if is_invoiced:
            self.bill(run, at)
        assert run.usage is not None
        self.closed.append((run.agreement, run.usage))

    def drafts(self) -> list[Bill]:
        """Those whose grace has not ended."""
        return [bill for bill in self.bills if bill.invoice.state is InvoiceState.DRAFT]

    def refresh(self, draft: Bill) -> Bill:
        """A draft from the usage known now."""
        fees = self._fees_now(draft)
        return self._keep(self._totalled(draft, fees, is_draft=True))

    def finalize(self, draft: Bill, at: datetime) -> None:
        """Freeze and number a draft."""
        due = self._totalled(draft, self._fees_now(draft), is_draft=False)
        self._purse.spend(due)
        self._number(self._keep(replace(due, grace_ends_at=min(at, due.grace_ends_at))), at)

    def _totalled(self, draft: Bill, fees: Sequence[BilledFee], *, is_draft: bool) -> Bill:
        return finalize._totalled(replace(draft, fees=tuple(fees)), self._purse, is_draft=is_draft)

    def _number(self, draft: Bill, at: datetime) -> None:
        self._numbered += 1
        bill = self._keep(make._finalized(draft, self.organization, self._numbered, at))
        for used in bill.invoice.totals.credit_notes:
            self._use_note(used.balance_id, used.amount_cents)

    def _keep(self, bill: Bill) -> Bill:
        """The bill in place of its earlier self."""
        place = next(
            index for index, known in enumerate(self.bills) if known.invoice.invoice_id == bill.invoice.invoice_id
        )
        self.bills[place] = bill
        return bill

    def _fees_now(self, draft: Bill) -> list[BilledFee]:
        """A draft's fees with its usage rated again, as `finalize` does."""
        found = [
            (agreement, period)
            for agreement, period in self.closed
            if (agreement.subscription_id, period.period.start)
            == (draft.terms.subscription_id, draft.terms.usage_start)
        ]
        if not found:
            return list(draft.fees)
        run = finalize._run_of(draft, *found[-1])
        stay = [billed for billed in draft.fees if billed.fee.kind not in finalize._OF_USAGE]
        base = [ProvenFee(billed.fee) for billed in stay if billed.fee.kind is FeeKind.SUBSCRIPTION]
        fees = usage_fees(run, self._loaded([run]))
        fees += commitment_fees(run, [*base, *fees], self._billed_within(run, but=draft))
        rated = [BilledFee(FeeId(new_id()), proven.fee, proven.proof) for proven in fees]
        before = [billed for billed in stay if billed.fee.kind is not FeeKind.ADJUSTMENT]
        return [*before, *rated, *(billed for billed in stay if billed.fee.kind is FeeKind.ADJUSTMENT)]

    def _loaded(self, runs: Iterable[BillingRun]) -> Loaded:
        kept = {run.usage.key: self.kept(run.agreement, run.usage.period) for run in runs if run.usage is not None}
        customers = {self.customer.customer_id: self.customer}
        return Loaded(self.organization, self.metrics, kept, {}, customers, self._purse)

    def _billed_within(self, run: BillingRun, but: Bill | None = None) -> list[BilledFee]:
        if run.commitment is None:
            return []
        return [
            billed
            for bill in self.bills
            if but is None or bill.invoice.invoice_id != but.invoice.invoice_id
            for billed in bill.fees
            if billed.fee.kind in _COMMITTED
            and billed.fee.subscription_id == run.subscription_id
            and billed.fee.period.start in run.commitment.nominal
        ]

    def _adjustable(self) -> Adjustable:
        """Every period that was invoiced for good; those that need no adjustment have none."""
        if self.organization.late_events is LateUsageEvents.IGNORE:
            return Adjustable({})
        waiting = {(bill.terms.subscription_id, bill.terms.usage_start) for bill in self.drafts()}
        final = [
            (agreement, period)
            for agreement, period in self.closed
            if (agreement.subscription_id, period.period.start) not in waiting
        ]
        return Adjustable(
            {self.customer.customer_id: [period for _, period in final]},
            {agreement.subscription_id: agreement for agreement, _ in final},
            self.metrics,
            {period.key: self.kept(agreement, period.period) for agreement, period in final},
            {(period.subscription_id, period.period.start): self._invoiced(period) for _, period in final},
        )

    def _invoiced(self, period: BillingPeriod) -> list[BilledFee]:
        return [
            billed
            for bill in self.bills
            for billed in bill.fees
            if billed.fee.kind in _OF_USAGE
            and billed.fee.subscription_id == period.subscription_id
            and billed.proof.period_start == period.period.start
        ]

    # --- money back -------------------------------------------------------------------------------------------------

    def credit_unused(self, ended: Agreement, at: datetime, opened_at: datetime, resolution: Resolution) -> None:
        """Give back the days of a base price in advance that nobody uses; a draft with them is finalized first."""
        nominal = cut_period(ended, at, opened_at)
        if nominal is None:
            return
        for draft in self.drafts():
            if self._base_within(draft, ended, nominal) is not None:
                self.finalize(draft, at)
        for bill in reversed(self.bills):
            number = self._base_within(bill, ended, nominal)
            if number is not None:
                share = unused_share(ended, nominal, bill.fees[number].fee.period)
                note = None
                if share is not None:
                    invoice = creditable(bill, self._notes_of(bill))
                    note = notes.credit_unused(invoice, number, share, bill.invoice.currency, resolution)
                if note is not None and note.total_cents:
                    self._give(bill, credit_notes._within_open(bill, note), at)
                return

    def credit(self, bill: Bill, items: Sequence[CreditItem], at: datetime) -> GivenCredit:
        """Give items of an invoice back, to the customer's balance."""
        note = notes.credit(creditable(bill, self._notes_of(bill)), items, bill.invoice.currency)
        return self._give(bill, replace(note, credit_cents=note.total_cents), at)

    def pay(self, bill: Bill, cents: int) -> None:
        """So much of an invoice was paid."""
        self._keep(bill.moved(invoices.record_payment(bill.invoice, cents)))

    def void(self, bill: Bill, at: datetime) -> None:
        """Take an invoice back: what it used of credit notes is theirs again."""
        self._keep(bill.moved(invoices.void(bill.invoice, at=at)))
        for used in bill.invoice.totals.credit_notes:
            self._use_note(used.balance_id, -used.amount_cents)
            key = (self.customer.customer_id, bill.invoice.currency.code)
            self._purse.balances[key] = [
                replace(
                    balance,
                    amount_cents=balance.amount_cents + used.amount_cents * (balance.balance_id == used.balance_id),
                )
                for balance in self._purse.balances[key]
            ]

    def bill_of(self, identity: object) -> Bill:
        """The bill with an id."""
        return next(bill for bill in self.bills if bill.invoice.invoice_id == identity)

    def _base_within(self, bill: Bill, ended: Agreement, nominal: Period) -> int | None:
        """The place of the base fee of days of a period on a bill."""
        places = [
            index
            for index, billed in enumerate(bill.fees)
            if billed.fee.kind is FeeKind.SUBSCRIPTION
            and billed.fee.subscription_id == ended.subscription_id
            and billed.fee.period.start in nominal
        ]
        return places[0] if places else None

    def _notes_of(self, bill: Bill) -> list[GivenCredit]:
        return [given for given in self.given if given.invoice_id == bill.invoice.invoice_id]

    def _give(self, bill: Bill, note: CreditNote, at: datetime) -> GivenCredit:
        earlier = self._notes_of(bill)
        given = credit_notes._given(bill, note, CreditReason.OTHER, "", at, earlier=earlier)
        self.given.append(given)
        key = (self.customer.customer_id, bill.invoice.currency.code)
        self._purse.balances.setdefault(key, []).append(Balance(given.credit_note_id, note.credit_cents))
        if note.offset_cents:
            self.pay(bill, note.offset_cents)
        return given

    def _use_note(self, identity: str, cents: int) -> None:
        place = next(index for index, given in enumerate(self.given) if given.credit_note_id == identity)
        given = self.given[place]
        self.given[place] = given.moved(replace(given.note, used_cents=given.note.used_cents + cents))
