"""Reading invoices: single ones, lists, how a fee was computed, and whether the log still gives the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import Connection

from services.chassis.page import Listed, Page
from services.kernel.ids import BillableMetricId, OrganizationId
from services.kernel.money import plain
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.store import agreement as agreement_of
from services.rating.catalog.store.metrics import metric_version
from services.rating.deps import Deps
from services.rating.invoicing.credit_note import CreditNote
from services.rating.invoicing.invoice import Invoice
from services.rating.invoicing.invoice_fee import InvoiceFee
from services.rating.invoicing.store import credit_notes, listing
from services.rating.invoicing.store import invoices as store
from services.rating.invoicing.store.set_aside import SetAside, list_set_aside
from services.rating.organizations.clock_store import now_of
from services.rating.organizations.store import organization as organization_of
from services.rating.pricing.catalog import MetricVersion
from services.rating.pricing.charge_filter import Bucket
from services.rating.pricing.fee import FeeKind
from services.rating.shared.usage_log import ListedUsageEvent, UsageEventsWanted
from services.rating.usage.aggregate import PeriodKey
from services.rating.usage.counting import CountedBucket, Counter, has_own_buckets
from services.rating.usage.events_of_fee import UsageEventsOfFee
from services.rating.usage.store import corrections


@dataclass(frozen=True, slots=True)
class DatedInvoice:
    """An invoice at the organization's present time, which decides whether it is overdue."""

    invoice: Invoice
    at: datetime


def get_invoice(deps: Deps, organization: OrganizationId, invoice_id: str) -> DatedInvoice:
    """One invoice.

    Raises:
        NotFoundError: `INVOICE_UNKNOWN`.
    """
    with deps.db.transaction(organization) as tx:
        return DatedInvoice(store.invoice(tx, organization, invoice_id), now_of(deps, tx, organization))


@dataclass(frozen=True, slots=True)
class Printable:
    """What is rendered: an invoice, and the name of its sender."""

    invoice: Invoice
    seller: str


def printable_invoice(deps: Deps, organization: OrganizationId, invoice_id: str) -> Printable:
    """An invoice with what is needed to render it.

    Raises:
        NotFoundError: `INVOICE_UNKNOWN`.
    """
    with deps.db.transaction(organization) as tx:
        return Printable(store.invoice(tx, organization, invoice_id), organization_of(tx, organization).name)


def printable_credit_note(
    deps: Deps, organization: OrganizationId, credit_note_id: str
) -> tuple[CreditNote, Printable]:
    """A credit note with what is needed to render it: its invoice, and the name of its sender.

    Raises:
        NotFoundError: `CREDIT_NOTE_UNKNOWN`.
    """
    with deps.db.transaction(organization) as tx:
        note = credit_notes.credit_note(tx, organization, credit_note_id)
        invoice = store.invoice(tx, organization, note.invoice_id)
        return note, Printable(invoice, organization_of(tx, organization).name)


def list_invoices(
    deps: Deps, organization: OrganizationId, wanted: listing.InvoicesWanted, page: Page
) -> Listed[DatedInvoice]:
    """Invoices, newest first."""
    with deps.db.transaction(organization) as tx:
        at = now_of(deps, tx, organization)
        listed = listing.list_of_invoices(tx, organization, wanted, page, at)
        return listed.map(lambda invoice: DatedInvoice(invoice, at))


def list_fees(
    deps: Deps, organization: OrganizationId, wanted: listing.FeesWanted, page: Page
) -> Listed[tuple[Invoice, InvoiceFee]]:
    """Fees across invoices, newest first."""
    with deps.db.transaction(organization) as tx:
        return listing.list_fees(tx, organization, wanted, page)


def get_credit_note(deps: Deps, organization: OrganizationId, credit_note_id: str) -> CreditNote:
    """One credit note.

    Raises:
        NotFoundError: `CREDIT_NOTE_UNKNOWN`.
    """
    with deps.db.transaction(organization) as tx:
        return credit_notes.credit_note(tx, organization, credit_note_id)


def list_credit_notes(
    deps: Deps, organization: OrganizationId, wanted: credit_notes.CreditNotesWanted, page: Page
) -> Listed[CreditNote]:
    """Credit notes, newest first."""
    with deps.db.transaction(organization) as tx:
        return credit_notes.list_credit_notes(tx, organization, wanted, page)


def list_left_out(deps: Deps, organization: OrganizationId, page: Page) -> Listed[SetAside]:
    """Work that failed and waits for its next try."""
    with deps.db.transaction(organization) as tx:
        return list_set_aside(tx, organization, page)


@dataclass(frozen=True, slots=True)
class CountedUsageEvent:
    """An event behind a fee.

    Attributes:
        transaction_id: the sender's identity.
        value: what it added, as text; with a minus if an adjustment took it back.
    """

    transaction_id: str
    value: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a fee was computed.

    Attributes:
        invoice, fee: the fee on its invoice, with lines and proof.
        events: a page of its events, in the order of receipt.
    """

    invoice: Invoice
    fee: InvoiceFee
    events: Listed[CountedUsageEvent]


def explain_fee(deps: Deps, organization: OrganizationId, fee_id: str, *, size: int, token: str) -> Explanation:
    """How a fee was computed, down to its events; for an adjustment, those that came or went since the last invoice.

    A page holds those events of a page of the log that count, so it may be short or even empty before the last one.

    Raises:
        NotFoundError: `FEE_UNKNOWN`.
        UnavailableError: the log is unavailable.
    """
    with deps.db.transaction(organization) as tx:
        invoice, billed = store.invoice_of_fee(tx, organization, fee_id)
        fee, proof = billed.fee, billed.proof
        if proof.period_start is None or fee.subscription_id is None or fee.metric_code is None:
            return Explanation(invoice, billed, Listed(()))
        agreement = agreement_of(tx, organization, fee.subscription_id)
        metric = metric_version(tx, organization, BillableMetricId(proof.metric_id), proof.metric_version)
        of_fee = events_of_fee(tx, organization, billed)
    counter = Counter.of(agreement, metric)
    wanted = UsageEventsWanted(organization, fee.subscription_id, fee.metric_code, fee.period)
    listed = deps.usage_log.page(wanted, size=size, token=token)
    bucket = bucket_of_fee(agreement, metric, billed)
    signed = [(event, of_fee.sign(event)) for event in listed.events]
    events = tuple(
        _counted(counter, event, sign)
        for event, sign in signed
        if sign and bucket in counter.buckets(event.occurred_at, event.properties)
    )
    return Explanation(invoice, billed, Listed(events, listed.next_token))


def _counted(counter: Counter, event: ListedUsageEvent, sign: int) -> CountedUsageEvent:
    measurement = counter.measure(event)
    text = measurement.text or plain(measurement.number)
    return CountedUsageEvent(event.transaction_id, f"-{text}" if sign < 0 else text)


def bucket_of_fee(agreement: Agreement, metric: MetricVersion, billed: InvoiceFee) -> CountedBucket:
    """The aggregate on which a fee was priced."""
    charge = next((charge for charge in agreement.plan.charges if charge.charge_id == billed.fee.charge_id), None)
    free_until = agreement.usage_free_until
    if charge is None or not has_own_buckets(charge, metric, free_until):
        return CountedBucket()
    return CountedBucket(charge.charge_id, Bucket(billed.fee.filter_key, billed.fee.group))


def events_of_fee(tx: Connection, organization: OrganizationId, billed: InvoiceFee) -> UsageEventsOfFee:
    """The events that a fee had counted when it was billed; for an adjustment, those since the previous billing."""
    fee, proof = billed.fee, billed.proof
    if proof.period_start is None or fee.subscription_id is None or fee.metric_code is None:
        return UsageEventsOfFee({}, 0)
    key = PeriodKey(organization, fee.subscription_id, proof.period_start)
    known = corrections.of_metric(tx, organization, [fee.subscription_id], fee.metric_code)
    if fee.kind is not FeeKind.ADJUSTMENT:
        return UsageEventsOfFee(known, proof.watermark)
    earlier = store.fees_of_usage(tx, organization, [(key.subscription_id, key.period_start)])
    before = [
        invoice_fee.proof.watermark
        for invoice_fee in earlier[(key.subscription_id, key.period_start)]
        if invoice_fee.fee.subject == fee.subject and invoice_fee.fee_id < billed.fee_id
    ]
    return UsageEventsOfFee(known, proof.watermark, since=max(before, default=0))
