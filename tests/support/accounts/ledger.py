"""A customer's invoices, kept in memory: made by the functions that rating uses, without the SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from services.kernel.ids import FeeId, new_id
from services.kernel.money import Currency
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.resolution import Resolution
from services.rating.catalog.store.taxes import TaxLevels
from services.rating.customers.customer import Customer
from services.rating.invoicing import invoice as verbs
from services.rating.invoicing.billing_run import BillingRun, cut_period, unused_share
from services.rating.invoicing.commands import credit_notes, make, one_off, refresh
from services.rating.invoicing.commands.late_corrections import Committed, LateCorrections, committed_periods
from services.rating.invoicing.commands.make import Loaded, commitment_fees, usage_fees
from services.rating.invoicing.commands.one_off import OneOffItem
from services.rating.invoicing.commands.total import Holdings, total, total_finally
from services.rating.invoicing.credit_amounts import CreditAmounts, CreditItem, credit, credit_unused
from services.rating.invoicing.credit_note import CreditNote, CreditReason, creditable, take_back
from services.rating.invoicing.invoice import Invoice, InvoiceState
from services.rating.invoicing.invoice_fee import InvoiceFee, ProvenFee
from services.rating.invoicing.totals import Balance
from services.rating.organizations.organization import LateUsageEvents, Organization
from services.rating.pricing.catalog import AppliedCoupon, MetricVersion
from services.rating.pricing.fee import Fee, FeeKind
from services.rating.usage.aggregate import UsageAggregate
from services.rating.usage.billing_period import BillingPeriod

_OF_USAGE = {FeeKind.CHARGE, FeeKind.TRUE_UP, FeeKind.ADJUSTMENT}
Kept = Callable[[Agreement, Period], Sequence[UsageAggregate]]


@dataclass
class Ledger:
    """Invoices, credit notes and coupons of one customer.

    Attributes:
        organization, customer: who bills whom.
        metrics: billable metrics, by code.
        kept: returns the current aggregates of a period of an agreement.
        invoices: in the order in which they were made.
        given: credit notes, oldest first.
        closed: billing periods that were invoiced, with the agreement they were invoiced under.
    """

    organization: Organization
    customer: Customer
    metrics: dict[str, MetricVersion]
    kept: Kept
    invoices: list[Invoice] = field(default_factory=list)
    given: list[CreditNote] = field(default_factory=list)
    closed: list[tuple[Agreement, BillingPeriod]] = field(default_factory=list)
    _holdings: Holdings = field(default_factory=lambda: Holdings({}, {}, {}, {}))
    _numbered: int = 0

    def hold(self, coupon: AppliedCoupon) -> None:
        """Apply a coupon to the customer."""
        self._holdings.coupons.setdefault(self.customer.customer_id, []).append(coupon)

    # --- invoices ---------------------------------------------------------------------------------------------------

    def bill(self, run: BillingRun, at: datetime) -> None:
        """Invoice a run if it has anything to invoice; the invoice is a draft during a grace period."""
        loaded = self._loaded([run])
        proven = [ProvenFee(run.base)] if run.base is not None else []
        proven += usage_fees(run, loaded)
        before = self._billed_within(run)
        beside = [fee.fee for fee in (*proven, *commitment_fees(run, proven, before))]
        placed = self._corrections().place(run, beside, {})
        proven += commitment_fees(run, [*proven, *placed], before)
        fees = [*(InvoiceFee(FeeId(new_id()), fee.fee, fee.proof) for fee in proven), *placed]
        if fees:
            draft = make._draft(loaded, run, fees, at)
            self.invoices.append(draft)
            if draft.grace_ends_at <= at:
                self._number(draft, at)
            else:
                self._keep(total(draft, self._holdings))

    def bill_base(self, run: BillingRun) -> None:
        """Invoice a run that closes no period, if a base price is due."""
        if run.base is not None:
            self.bill(run, run.at)

    def close(self, run: BillingRun, at: datetime, *, is_invoiced: bool = True) -> None:
        """Invoice the end of a billing period."""
        if is_invoiced:
            self.bill(run, at)
        assert run.usage is not None
        self.closed.append((run.agreement, run.usage))

    def sell(self, items: Sequence[OneOffItem], levels: TaxLevels, currency: Currency, at: datetime) -> None:
        """Invoice items that are sold once."""
        draft = one_off._draft(self.organization, self.customer, currency, at)
        fees = [
            one_off._item_fee(index, item, levels.of(item.tax_codes, self.customer.tax_codes), draft)
            for index, item in enumerate(items)
        ]
        self.invoices.append(draft)
        self._number(replace(draft, fees=tuple(fees)), at)

    def drafts(self) -> list[Invoice]:
        """The drafts, whose grace period has not ended."""
        return [invoice for invoice in self.invoices if invoice.state is InvoiceState.DRAFT]

    def refresh(self, draft: Invoice) -> Invoice:
        """Compute a draft from the usage known now."""
        return self._keep(total(replace(draft, fees=tuple(self._fees_now(draft))), self._holdings))

    def finalize(self, draft: Invoice, at: datetime) -> None:
        """Freeze and number a draft."""
        self._number(replace(draft, fees=tuple(self._fees_now(draft))), at)

    def _number(self, draft: Invoice, at: datetime) -> None:
        self._numbered += 1
        invoice = verbs.finalize(
            total_finally(draft, self._holdings),
            at=at,
            sequential_id=self._numbered,
            prefix=self.organization.invoice_prefix,
            net_payment_term_days=self.organization.net_payment_term_days,
        )
        self._keep(invoice)
        for used in invoice.totals.credit_notes:
            self._use_note(used.balance_id, used.amount_cents)

    def _keep(self, invoice: Invoice) -> Invoice:
        """Replace the stored invoice with the same id."""
        place = next(index for index, known in enumerate(self.invoices) if known.invoice_id == invoice.invoice_id)
        self.invoices[place] = invoice
        return invoice

    def _fees_now(self, draft: Invoice) -> list[InvoiceFee]:
        """A draft's fees with its usage rated again, as `refresh` does."""
        found = [
            (agreement, period)
            for agreement, period in self.closed
            if (agreement.subscription_id, period.period.start)
            == (draft.terms.subscription_id, draft.terms.usage_start)
        ]
        if not found:
            return list(draft.fees)
        run = refresh._run_of(draft, *found[-1])
        stay = [billed for billed in draft.fees if billed.fee.kind not in refresh._OF_USAGE]
        base = [ProvenFee(billed.fee) for billed in stay if billed.fee.kind is FeeKind.SUBSCRIPTION]
        fees = usage_fees(run, self._loaded([run]))
        adjusted = [billed for billed in stay if billed.fee.kind is FeeKind.ADJUSTMENT]
        fees += commitment_fees(run, [*base, *fees, *adjusted], self._billed_within(run, but=draft))
        rated = [InvoiceFee(FeeId(new_id()), proven.fee, proven.proof) for proven in fees]
        before = [billed for billed in stay if billed.fee.kind is not FeeKind.ADJUSTMENT]
        return [*before, *rated, *(billed for billed in stay if billed.fee.kind is FeeKind.ADJUSTMENT)]

    def _loaded(self, runs: Iterable[BillingRun]) -> Loaded:
        kept = {run.usage.key: self.kept(run.agreement, run.usage.period) for run in runs if run.usage is not None}
        customers = {self.customer.customer_id: self.customer}
        return Loaded(self.organization, self.metrics, kept, {}, customers)

    def _billed_within(self, run: BillingRun, but: Invoice | None = None) -> list[Fee]:
        if run.commitment is None:
            return []
        within = self._within(run.agreement, run.commitment.nominal, but)
        return [billed.fee for billed in within if not billed.fee.is_of_commitment]

    def _within(self, agreement: Agreement, nominal: Period, but: Invoice | None = None) -> list[InvoiceFee]:
        """What invoices billed of a plan's own period."""
        return [
            billed
            for invoice in self.invoices
            if but is None or invoice.invoice_id != but.invoice_id
            for billed in invoice.fees
            if billed.fee.subscription_id == agreement.subscription_id and billed.fee.period.start in nominal
        ]

    def _committed(self, final: Sequence[tuple[Agreement, BillingPeriod]]) -> dict[Committed, Sequence[InvoiceFee]]:
        """What was billed of the plans' own periods whose last usage is invoiced for good."""
        agreed = {agreement.subscription_id: agreement for agreement, _ in final}
        ends = {period.subscription_id: period.period.end for _, period in final}
        return {
            (owner, commitment.nominal): self._within(commitment.agreement, commitment.nominal)
            for commitment in committed_periods(agreed, [period.key for _, period in final])
            if ends[owner := commitment.agreement.subscription_id]
            >= min(commitment.nominal.end, commitment.agreement.subscription.ended_at or commitment.nominal.end)
        }

    def _corrections(self) -> LateCorrections:
        """The corrections of all periods with a finalized invoice; a period may need none."""
        if self.organization.late_events is LateUsageEvents.IGNORE:
            return LateCorrections({})
        waiting = {(invoice.terms.subscription_id, invoice.terms.usage_start) for invoice in self.drafts()}
        final = [
            (agreement, period)
            for agreement, period in self.closed
            if (agreement.subscription_id, period.period.start) not in waiting
        ]
        return LateCorrections(
            {self.customer.customer_id: [period for _, period in final]},
            {agreement.subscription_id: agreement for agreement, _ in final},
            self.metrics,
            {period.key: self.kept(agreement, period.period) for agreement, period in final},
            {(period.subscription_id, period.period.start): self._invoiced(period) for _, period in final},
            self._committed(final),
        )

    def _invoiced(self, period: BillingPeriod) -> list[InvoiceFee]:
        return [
            billed
            for invoice in self.invoices
            for billed in invoice.fees
            if billed.fee.kind in _OF_USAGE
            and billed.fee.subscription_id == period.subscription_id
            and billed.proof.period_start == period.period.start
        ]

    # --- money back -------------------------------------------------------------------------------------------------

    def credit_unused(self, ended: Agreement, at: datetime, opened_at: datetime, resolution: Resolution) -> None:
        """Credit the unused days of a base price billed in advance; a draft that bills them is finalized first."""
        nominal = cut_period(ended, at, opened_at)
        if nominal is None:
            return
        for draft in self.drafts():
            if self._base_within(draft, ended, nominal) is not None:
                self.finalize(draft, at)
        for invoice in reversed(self.invoices):
            number = self._base_within(invoice, ended, nominal)
            if number is not None:
                share = unused_share(ended, nominal, invoice.fees[number].fee.period)
                amounts = None
                if share is not None:
                    known = creditable(invoice, self._notes_of(invoice))
                    amounts = credit_unused(known, number, share, invoice.currency, resolution)
                if amounts is not None and amounts.total_amount_cents:
                    self._give(invoice, credit_notes._within_open(invoice, amounts), at)
                return

    def credit(self, invoice: Invoice, items: Sequence[CreditItem], at: datetime) -> CreditNote:
        """Credit items of an invoice to the customer's balance."""
        amounts = credit(creditable(invoice, self._notes_of(invoice)), items, invoice.currency)
        return self._give(invoice, replace(amounts, credit_amount_cents=amounts.total_amount_cents), at)

    def pay(self, invoice: Invoice, cents: int) -> None:
        """Record a payment of an invoice."""
        self._keep(verbs.record_payment(invoice, cents))

    def void(self, invoice: Invoice, at: datetime) -> None:
        """Void an invoice: credits and coupons that it used are available again, and its credit notes are voided."""
        notes = self._notes_of(invoice)
        for note in take_back(notes, credit_notes.received_amount_cents(invoice, notes), at=at):
            self.given[next(index for index, given in enumerate(self.given) if given.number == note.number)] = note
            self._set_balance(note)
        self._keep(verbs.void(invoice, at=at))
        for used in invoice.totals.credit_notes:
            self._set_balance(self._use_note(used.balance_id, -used.amount_cents))
        held = self._holdings.coupons.get(self.customer.customer_id, [])
        for used in invoice.totals.coupons:
            for index, applied in enumerate(held):
                if applied.applied_coupon_id == used.applied_coupon_id and used.amount_cents:
                    terms = applied.coupon.terms.give_back(used.amount_cents)
                    held[index] = replace(applied, coupon=replace(applied.coupon, terms=terms))

    def _set_balance(self, note: CreditNote) -> None:
        """Set the balance of a note to the part that no invoice has used."""
        key = (self.customer.customer_id, note.currency.code)
        self._holdings.balances[key] = [
            replace(balance, amount_cents=note.amounts.balance_amount_cents)
            if balance.balance_id == note.credit_note_id
            else balance
            for balance in self._holdings.balances[key]
        ]

    def invoice_of(self, identity: object) -> Invoice:
        """The invoice with an id."""
        return next(invoice for invoice in self.invoices if invoice.invoice_id == identity)

    def _base_within(self, invoice: Invoice, ended: Agreement, nominal: Period) -> int | None:
        """The place of the base fee of days of a period on an invoice."""
        places = [
            index
            for index, billed in enumerate(invoice.fees)
            if billed.fee.kind is FeeKind.SUBSCRIPTION
            and billed.fee.subscription_id == ended.subscription_id
            and billed.fee.period.start in nominal
        ]
        return places[0] if places else None

    def _notes_of(self, invoice: Invoice) -> list[CreditNote]:
        return [given for given in self.given if given.invoice_id == invoice.invoice_id]

    def _give(self, invoice: Invoice, amounts: CreditAmounts, at: datetime) -> CreditNote:
        note = replace(
            credit_notes._estimate(invoice, amounts, CreditReason.OTHER, "", at),
            credit_note_id=new_id(),
            sequence=len(self._notes_of(invoice)) + 1,
        )
        self.given.append(note)
        key = (self.customer.customer_id, invoice.currency.code)
        balance = Balance(note.credit_note_id, amounts.credit_amount_cents)
        self._holdings.balances.setdefault(key, []).append(balance)
        if amounts.offset_amount_cents:
            self.pay(invoice, amounts.offset_amount_cents)
        return note

    def _use_note(self, identity: str, cents: int) -> CreditNote:
        place = next(index for index, note in enumerate(self.given) if note.credit_note_id == identity)
        note = self.given[place]
        used = note.amounts.used_amount_cents + cents
        self.given[place] = replace(note, amounts=replace(note.amounts, used_amount_cents=used))
        return self.given[place]
