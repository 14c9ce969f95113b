"""Invoices: one-off ones, and the verbs that move an invoice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy.engine import Connection

from services.kernel.cadence import local_date
from services.kernel.errors import FailedPreconditionError, InvalidArgumentError
from services.kernel.ids import FeeId, InvoiceId, OrganizationId, new_id
from services.kernel.money import Currency
from services.kernel.money import currency as currency_of
from services.kernel.period import Period
from services.rating.catalog.store.taxes import TaxLevels, tax_levels
from services.rating.customers.customer import Customer
from services.rating.customers.store import customer as customer_of
from services.rating.deps import Deps
from services.rating.invoicing import invoice as invoices
from services.rating.invoicing.bill import Bill, BilledFee, InvoiceKind
from services.rating.invoicing.commands.credit_notes import give_back_voided
from services.rating.invoicing.commands.finalize import finalize_drafts, refresh_drafts
from services.rating.invoicing.commands.make import Purse, number
from services.rating.invoicing.events import InvoiceChanged
from services.rating.invoicing.invoice import Invoice, InvoiceState, PaymentState
from services.rating.invoicing.kept_credit_note import GivenCredit
from services.rating.invoicing.store import credit_notes
from services.rating.invoicing.store import invoices as store
from services.rating.organizations.clock_store import now_of
from services.rating.organizations.organization import Organization
from services.rating.organizations.store import organization as organization_of
from services.rating.pricing.charges import Line, Priced
from services.rating.pricing.charges.checks import require_amount
from services.rating.pricing.fee import Fee, FeeKind
from services.rating.pricing.tax import Tax
from services.rating.shared.limits import MAX_NAME, require_text

# What a person types in one go.
MAX_ITEMS = 100
# A price beyond a hundred thousand million is a typing mistake, and sums must fit 64 bits.
MAX_UNIT_CENTS = 10**13
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class OneOffItem:
    """An item of a one-off invoice.

    Attributes:
        name: on the invoice.
        units: how many.
        unit_amount_cents: price of one, in minor units.
        tax_codes: its taxes; empty for the customer's.
        code: the organization's own.
    """

    name: str
    units: Decimal
    unit_amount_cents: int
    tax_codes: tuple[str, ...] = ()
    code: str = ""


def create_one_off_invoice(
    deps: Deps,
    tx: Connection,
    organization_id: OrganizationId,
    external_customer_id: str,
    currency_code: str,
    items: Sequence[OneOffItem],
) -> Bill:
    """Invoice items now; the invoice is finalized at once.

    Raises:
        NotFoundError: `CUSTOMER_UNKNOWN`.
        InvalidArgumentError: the items or the currency.
    """
    _check_items(items)
    organization = organization_of(tx, organization_id)
    customer = customer_of(tx, organization_id, external_customer_id)
    currency = currency_of(currency_code or customer.currency or organization.default_currency)
    named = {code for item in items for code in item.tax_codes}
    taxes = tax_levels(tx, organization_id, named | set(customer.tax_codes))
    at = now_of(deps, tx, organization_id)
    fees = tuple(
        _item_fee(index, item, _taxes(index, item, customer, taxes), currency, at) for index, item in enumerate(items)
    )
    purse = Purse.of(tx, organization_id, [customer.customer_id], at)
    draft = _one_off(organization, customer, currency, fees, at)
    totalled = draft.with_totals(fees, purse.totals(customer.customer_id, fees, currency))
    purse.spend(totalled)
    (bill,) = number(tx, organization, [totalled], at)
    store.insert(tx, [bill])
    purse.save(tx, organization_id, at)
    deps.announce(tx, InvoiceChanged(organization_id, bill))
    return bill


def _check_items(items: Sequence[OneOffItem]) -> None:
    if not 1 <= len(items) <= MAX_ITEMS:
        raise InvalidArgumentError.of_field("items", "value_is_invalid", f"has 1 to {MAX_ITEMS} entries")
    for index, item in enumerate(items):
        if not item.name:
            raise InvalidArgumentError.of_field(f"items[{index}].name", "value_is_mandatory", "is required")
        require_text(f"items[{index}].name", item.name, MAX_NAME)
        require_amount(f"items[{index}].units", item.units)
        if not 0 <= item.unit_amount_cents <= MAX_UNIT_CENTS:
            raise InvalidArgumentError.of_field(
                f"items[{index}].unit_amount_cents", "value_is_out_of_range", f"is 0 to {MAX_UNIT_CENTS}"
            )


def _taxes(index: int, item: OneOffItem, customer: Customer, taxes: TaxLevels) -> tuple[Tax, ...]:
    """The item's own taxes, else the customer's, else the organization's."""
    for code in item.tax_codes:
        if code not in taxes.by_code:
            raise InvalidArgumentError.of_field(f"items[{index}].tax_codes", "value_is_invalid", f"{code!r} is unknown")
    return taxes.of(item.tax_codes, customer.tax_codes)


def _item_fee(index: int, item: OneOffItem, taxes: tuple[Tax, ...], currency: Currency, at: datetime) -> BilledFee:
    unit_amount = currency.to_major(item.unit_amount_cents)
    line = Line(item.name, item.units, unit_amount, _ZERO, item.units * unit_amount)
    fee = Fee.of(FeeKind.ADD_ON, Period(at, at), Priced.of((line,), item.units), currency)
    named = replace(fee, description=item.name, taxes=taxes, filter_key=f"{index}:{item.code}")
    return BilledFee(FeeId(new_id()), named)


def _one_off(
    organization: Organization, customer: Customer, currency: Currency, fees: tuple[BilledFee, ...], at: datetime
) -> Bill:
    timezone = customer.timezone or organization.timezone
    issued_on = local_date(at, timezone)
    return Bill(
        organization_id=organization.organization_id,
        kind=InvoiceKind.ONE_OFF,
        invoice=Invoice(InvoiceId(new_id()), customer.customer_id, currency, issued_at=at),
        customer=customer,
        timezone=timezone,
        fees=fees,
        created_at=at,
        grace_ends_at=at,
        issuing_date=issued_on,
        payment_due_date=issued_on + timedelta(days=organization.net_payment_term_days),
    )


def refresh_invoice(deps: Deps, tx: Connection, organization_id: OrganizationId, invoice_id: str) -> Bill:
    """Compute a draft again from the usage known now.

    Raises:
        NotFoundError: `INVOICE_UNKNOWN`.
        FailedPreconditionError: `INVOICE_NOT_DRAFT`.
    """
    draft = _draft(tx, organization_id, invoice_id)
    at = now_of(deps, tx, organization_id)
    return refresh_drafts(deps, tx, organization_of(tx, organization_id), [draft], at)[0]


def finalize_invoice(deps: Deps, tx: Connection, organization_id: OrganizationId, invoice_id: str) -> Bill:
    """Fix and number a draft, before its grace ends where need be.

    Raises:
        NotFoundError: `INVOICE_UNKNOWN`.
        FailedPreconditionError: `INVOICE_NOT_DRAFT`.
    """
    draft = _draft(tx, organization_id, invoice_id)
    at = now_of(deps, tx, organization_id)
    return finalize_drafts(deps, tx, organization_of(tx, organization_id), [draft], at)[0]


def _draft(tx: Connection, organization_id: OrganizationId, invoice_id: str) -> Bill:
    bill = store.bill(tx, organization_id, invoice_id, lock=True)
    if bill.invoice.state is not InvoiceState.DRAFT:
        raise FailedPreconditionError(
            "INVOICE_NOT_DRAFT", f"the invoice is {bill.invoice.state}, not a draft", state=bill.invoice.state
        )
    return bill


def void_invoice(
    deps: Deps, tx: Connection, organization_id: OrganizationId, invoice_id: str, *, generate_credit_note: bool = False
) -> tuple[Bill, GivenCredit | None]:
    """Take a finalized invoice back; it keeps its number, and what it used of credit notes is theirs again.

    Its billing periods stay settled: what changes in their usage later is adjusted, not billed anew.

    Raises:
        NotFoundError: `INVOICE_UNKNOWN`.
        FailedPreconditionError: `INVOICE_NOT_FINALIZED`, or `INVOICE_PAID` where something was paid and no credit
            note is asked for.
    """
    bill = store.bill(tx, organization_id, invoice_id, lock=True)
    at = now_of(deps, tx, organization_id)
    paid_cents = bill.invoice.paid_cents
    unpaid = replace(bill.invoice, paid_cents=0) if generate_credit_note else bill.invoice
    voided = invoices.void(unpaid, at=at)
    given = give_back_voided(tx, deps, bill, at) if generate_credit_note else None
    taken = bill.moved(replace(voided, paid_cents=paid_cents))
    store.save(tx, [taken])
    used = {each.balance_id: -each.amount_cents for each in bill.invoice.totals.credit_notes}
    credit_notes.use(tx, organization_id, used)
    deps.announce(tx, InvoiceChanged(organization_id, taken))
    return taken, given


def record_payment(
    deps: Deps,
    tx: Connection,
    organization_id: OrganizationId,
    invoice_id: str,
    payment_state: PaymentState,
    amount_cents: int = 0,
) -> Bill:
    """Say that an invoice, or a part of it, is paid, that paying failed, or that it is pending again after a failure.

    Args:
        deps: what commands need.
        tx: the caller's transaction.
        organization_id: whose invoice.
        invoice_id: which.
        payment_state: what became of the payment.
        amount_cents: what was paid, in minor units; 0 for all that is open.

    Raises:
        NotFoundError: `INVOICE_UNKNOWN`.
        InvalidArgumentError: an amount, where nothing was paid.
        FailedPreconditionError: `INVOICE_NOT_FINALIZED`, `INVOICE_PAID`, `PAYMENT_EXCEEDS_INVOICE`.
    """
    if amount_cents and payment_state is not PaymentState.SUCCEEDED:
        raise InvalidArgumentError.of_field("amount_cents", "value_is_invalid", "is for payments that succeeded")
    bill = store.bill(tx, organization_id, invoice_id, lock=True)
    invoice = bill.invoice
    if invoice.state is InvoiceState.FINALIZED and invoice.payment_state is payment_state and not amount_cents:
        return bill
    if payment_state is PaymentState.SUCCEEDED:
        open_cents = invoice.totals.total_cents - invoice.paid_cents
        moved = invoices.record_payment(invoice, amount_cents or open_cents)
    else:
        moved = replace(invoices.record_failed_payment(invoice), payment_state=payment_state)
    paid = bill.moved(moved)
    store.save(tx, [paid])
    deps.announce(tx, InvoiceChanged(organization_id, paid))
    return paid
