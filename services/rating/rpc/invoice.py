"""InvoiceService."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from farebox.rating.v1 import invoice_pb2
from farebox.rating.v1 import invoice_service_pb2 as pb
from farebox.rating.v1 import invoice_service_pb2_grpc as grpc_pb
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.chassis.rpc.command import command
from services.kernel.ids import OrganizationId
from services.rating.catalog.convert.metadata import metadata_edit_from_pb
from services.rating.deps import Deps
from services.rating.invoicing import pdf
from services.rating.invoicing.commands import credit_notes
from services.rating.invoicing.commands.credit_notes import CreditWanted
from services.rating.invoicing.commands.finalize import finalize_invoice
from services.rating.invoicing.commands.one_off import OneOffItem, create_one_off_invoice
from services.rating.invoicing.commands.payment import lose_dispute, record_payment
from services.rating.invoicing.commands.refresh import refresh_invoice
from services.rating.invoicing.commands.void import void_invoice
from services.rating.invoicing.convert.credit_notes import (
    credit_note_to_pb,
    credit_notes_wanted_from_pb,
    credit_wanted_from_pb,
)
from services.rating.invoicing.convert.fees import (
    explain_page_from_pb,
    explanation_to_pb,
    fees_wanted_from_pb,
    invoice_fee_to_pb,
)
from services.rating.invoicing.convert.figures import figure_to_pb, figures_wanted_from_pb
from services.rating.invoicing.convert.invoices import (
    invoice_to_pb,
    invoices_wanted_from_pb,
    one_off_from_pb,
    rebuilt_to_pb,
)
from services.rating.invoicing.convert.payments import payment_to_pb, payments_wanted_from_pb, report_from_pb
from services.rating.invoicing.convert.set_aside import set_aside_to_pb
from services.rating.invoicing.invoice import Invoice, PaymentState
from services.rating.invoicing.payment import ReportedPayment
from services.rating.invoicing.queries import figures, payments
from services.rating.invoicing.queries import invoices as queries
from services.rating.invoicing.queries.rebuild import rebuild_invoice
from services.rating.organizations.clock_store import now_of
from services.wire.values import page_from_pb, page_to_pb


class InvoiceServicer(grpc_pb.InvoiceServiceServicer):
    """Invoices and credit notes."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps

    @answers
    def GetInvoice(self, request: pb.GetInvoiceRequest, context: Context) -> pb.GetInvoiceResponse:
        """Find one invoice."""
        found = queries.get_invoice(self.deps, organization_of(context), request.id)
        return pb.GetInvoiceResponse(invoice=invoice_to_pb(found.invoice, found.at))

    @answers
    def ListInvoices(self, request: pb.ListInvoicesRequest, context: Context) -> pb.ListInvoicesResponse:
        """List invoices, newest first."""
        wanted, page = invoices_wanted_from_pb(request), page_from_pb(request.page)
        listed = queries.list_invoices(self.deps, organization_of(context), wanted, page)
        found = [invoice_to_pb(dated.invoice, dated.at) for dated in listed.items]
        return pb.ListInvoicesResponse(invoices=found, page=page_to_pb(listed))

    @command(pb.CreateOneOffInvoiceRequest, pb.CreateOneOffInvoiceResponse, reads=one_off_from_pb)
    def CreateOneOffInvoice(
        self, tx: Connection, organization: OrganizationId, wanted: tuple[str, str, list[OneOffItem]]
    ) -> pb.CreateOneOffInvoiceResponse:
        """Invoice one-off items now."""
        made = create_one_off_invoice(self.deps, tx, organization, *wanted)
        return pb.CreateOneOffInvoiceResponse(invoice=self._as_of_now(tx, made))

    @command(pb.RefreshInvoiceRequest, pb.RefreshInvoiceResponse)
    def RefreshInvoice(
        self, tx: Connection, organization: OrganizationId, request: pb.RefreshInvoiceRequest
    ) -> pb.RefreshInvoiceResponse:
        """Compute a draft again."""
        refreshed = refresh_invoice(self.deps, tx, organization, request.id)
        return pb.RefreshInvoiceResponse(invoice=self._as_of_now(tx, refreshed))

    @command(pb.FinalizeInvoiceRequest, pb.FinalizeInvoiceResponse)
    def FinalizeInvoice(
        self, tx: Connection, organization: OrganizationId, request: pb.FinalizeInvoiceRequest
    ) -> pb.FinalizeInvoiceResponse:
        """Finalize a draft; it gets its number."""
        finalized = finalize_invoice(self.deps, tx, organization, request.id)
        return pb.FinalizeInvoiceResponse(invoice=self._as_of_now(tx, finalized))

    @command(pb.VoidInvoiceRequest, pb.VoidInvoiceResponse)
    def VoidInvoice(
        self, tx: Connection, organization: OrganizationId, request: pb.VoidInvoiceRequest
    ) -> pb.VoidInvoiceResponse:
        """Void a finalized invoice."""
        voided, given = void_invoice(
            self.deps, tx, organization, request.id, generate_credit_note=request.generate_credit_note
        )
        note = credit_note_to_pb(given) if given is not None else None
        return pb.VoidInvoiceResponse(invoice=self._as_of_now(tx, voided), credit_note=note)

    @command(pb.RecordPaymentRequest, pb.RecordPaymentResponse, reads=report_from_pb)
    def RecordPayment(
        self, tx: Connection, organization: OrganizationId, paid: tuple[str, PaymentState, ReportedPayment]
    ) -> pb.RecordPaymentResponse:
        """Report that an invoice, or a part of it, was paid, or that the payment failed."""
        recorded = record_payment(self.deps, tx, organization, *paid)
        payment = payment_to_pb(recorded.payment) if recorded.payment is not None else None
        return pb.RecordPaymentResponse(invoice=self._as_of_now(tx, recorded.invoice), payment=payment)

    @command(pb.LoseDisputeRequest, pb.LoseDisputeResponse)
    def LoseDispute(
        self, tx: Connection, organization: OrganizationId, request: pb.LoseDisputeRequest
    ) -> pb.LoseDisputeResponse:
        """Report that a dispute about an invoice's payment was lost."""
        lost = lose_dispute(self.deps, tx, organization, request.id)
        return pb.LoseDisputeResponse(invoice=self._as_of_now(tx, lost))

    @answers
    def GetPayment(self, request: pb.GetPaymentRequest, context: Context) -> pb.GetPaymentResponse:
        """Find one payment."""
        found = payments.get_payment(self.deps, organization_of(context), request.id)
        return pb.GetPaymentResponse(payment=payment_to_pb(found))

    @answers
    def ListPayments(self, request: pb.ListPaymentsRequest, context: Context) -> pb.ListPaymentsResponse:
        """List payments, newest first."""
        page, whose = page_from_pb(request.page), payments_wanted_from_pb(request)
        listed = payments.list_payments(self.deps, organization_of(context), page, *whose)
        found = [payment_to_pb(payment) for payment in listed.items]
        return pb.ListPaymentsResponse(payments=found, page=page_to_pb(listed))

    @answers
    def ListMonthlyFigures(
        self, request: pb.ListMonthlyFiguresRequest, context: Context
    ) -> pb.ListMonthlyFiguresResponse:
        """Add up what was invoiced, is overdue or recurs, by month."""
        found = figures.list_figures(self.deps, organization_of(context), figures_wanted_from_pb(request))
        return pb.ListMonthlyFiguresResponse(figures=[figure_to_pb(figure) for figure in found])

    @answers
    def RenderInvoice(self, request: pb.RenderInvoiceRequest, context: Context) -> pb.RenderInvoiceResponse:
        """Render the invoice as PDF."""
        found = queries.printable_invoice(self.deps, organization_of(context), request.id)
        return pb.RenderInvoiceResponse(pdf=pdf.render(pdf.invoice_document(found.invoice, found.seller)))

    @answers
    def RebuildInvoice(self, request: pb.RebuildInvoiceRequest, context: Context) -> pb.RebuildInvoiceResponse:
        """Compute an invoice again from the event log, and compare both."""
        return rebuilt_to_pb(rebuild_invoice(self.deps, organization_of(context), request.id))

    @answers
    def ExplainFee(self, request: pb.ExplainFeeRequest, context: Context) -> pb.ExplainFeeResponse:
        """Explain how a fee was computed, down to the ids of its events."""
        size, token = explain_page_from_pb(request)
        found = queries.explain_fee(self.deps, organization_of(context), request.fee_id, size=size, token=token)
        return explanation_to_pb(found)

    @answers
    def ListFees(self, request: pb.ListFeesRequest, context: Context) -> pb.ListFeesResponse:
        """List fees across invoices, newest first."""
        wanted, page = fees_wanted_from_pb(request), page_from_pb(request.page)
        listed = queries.list_fees(self.deps, organization_of(context), wanted, page)
        return pb.ListFeesResponse(
            fees=[invoice_fee_to_pb(invoice, fee) for invoice, fee in listed.items], page=page_to_pb(listed)
        )

    @command(pb.CreateCreditNoteRequest, pb.CreateCreditNoteResponse, reads=credit_wanted_from_pb)
    def CreateCreditNote(
        self, tx: Connection, organization: OrganizationId, wanted: CreditWanted
    ) -> pb.CreateCreditNoteResponse:
        """Give money back on an invoice, or preview what could be given back."""
        given = credit_notes.create_credit_note(self.deps, tx, organization, wanted)
        return pb.CreateCreditNoteResponse(credit_note=credit_note_to_pb(given))

    @answers
    def GetCreditNote(self, request: pb.GetCreditNoteRequest, context: Context) -> pb.GetCreditNoteResponse:
        """Find one credit note."""
        found = queries.get_credit_note(self.deps, organization_of(context), request.id)
        return pb.GetCreditNoteResponse(credit_note=credit_note_to_pb(found))

    @answers
    def ListCreditNotes(self, request: pb.ListCreditNotesRequest, context: Context) -> pb.ListCreditNotesResponse:
        """List credit notes, newest first."""
        wanted, page = credit_notes_wanted_from_pb(request), page_from_pb(request.page)
        listed = queries.list_credit_notes(self.deps, organization_of(context), wanted, page)
        found = [credit_note_to_pb(note) for note in listed.items]
        return pb.ListCreditNotesResponse(credit_notes=found, page=page_to_pb(listed))

    @command(pb.EditCreditNoteMetadataRequest, pb.EditCreditNoteMetadataResponse)
    def EditCreditNoteMetadata(
        self, tx: Connection, organization: OrganizationId, request: pb.EditCreditNoteMetadataRequest
    ) -> pb.EditCreditNoteMetadataResponse:
        """Change the metadata of a credit note."""
        edit = metadata_edit_from_pb(request.edit)
        changed = credit_notes.edit_metadata(tx, organization, request.id, edit)
        return pb.EditCreditNoteMetadataResponse(credit_note=credit_note_to_pb(changed))

    @answers
    def RenderCreditNote(self, request: pb.RenderCreditNoteRequest, context: Context) -> pb.RenderCreditNoteResponse:
        """Render the credit note as PDF."""
        note, found = queries.printable_credit_note(self.deps, organization_of(context), request.id)
        content = pdf.credit_note_document(note, found.invoice, found.seller)
        return pb.RenderCreditNoteResponse(pdf=pdf.render(content))

    @command(pb.VoidCreditNoteRequest, pb.VoidCreditNoteResponse)
    def VoidCreditNote(
        self, tx: Connection, organization: OrganizationId, request: pb.VoidCreditNoteRequest
    ) -> pb.VoidCreditNoteResponse:
        """Take the unused credit of a credit note back."""
        voided = credit_notes.void_credit_note(self.deps, tx, organization, request.id)
        return pb.VoidCreditNoteResponse(credit_note=credit_note_to_pb(voided))

    @answers
    def ListSetAside(self, request: pb.ListSetAsideRequest, context: Context) -> pb.ListSetAsideResponse:
        """List work that failed and was set aside."""
        listed = queries.list_left_out(self.deps, organization_of(context), page_from_pb(request.page))
        found = [set_aside_to_pb(set_aside) for set_aside in listed.items]
        return pb.ListSetAsideResponse(set_aside=found, page=page_to_pb(listed))

    def _as_of_now(self, tx: Connection, invoice: Invoice) -> invoice_pb2.Invoice:
        """An invoice as its organization sees it at present."""
        return invoice_to_pb(invoice, now_of(self.deps, tx, invoice.organization_id))
