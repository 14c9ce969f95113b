"""InvoiceService."""

from __future__ import annotations

from farebox.rating.v1 import invoice_service_pb2 as pb
from farebox.rating.v1 import invoice_service_pb2_grpc as grpc_pb
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.rating.invoicing import pdf
from services.rating.invoicing.commands import credit_notes
from services.rating.invoicing.commands.finalize import finalize_invoice
from services.rating.invoicing.commands.one_off import create_one_off_invoice
from services.rating.invoicing.commands.payment import record_payment
from services.rating.invoicing.commands.refresh import refresh_invoice
from services.rating.invoicing.commands.void import void_invoice
from services.rating.invoicing.convert import invoices as convert
from services.rating.invoicing.convert.set_aside import set_aside_to_pb
from services.rating.invoicing.queries import invoices as queries
from services.rating.invoicing.queries.rebuild import rebuild_invoice
from services.rating.rpc.base import RatingServicer
from services.wire.values import page_from_pb, page_to_pb


class InvoiceServicer(RatingServicer, grpc_pb.InvoiceServiceServicer):
    """Invoices and credit notes."""

    @answers
    def GetInvoice(self, request: pb.GetInvoiceRequest, context: Context) -> pb.GetInvoiceResponse:
        """Find one invoice."""
        invoice = queries.get_invoice(self.deps, organization_of(context), request.id)
        return pb.GetInvoiceResponse(invoice=convert.invoice_to_pb(invoice))

    @answers
    def ListInvoices(self, request: pb.ListInvoicesRequest, context: Context) -> pb.ListInvoicesResponse:
        """List invoices, newest first."""
        wanted, page = convert.invoices_wanted_from_pb(request), page_from_pb(request.page)
        listed = queries.list_invoices(self.deps, organization_of(context), wanted, page)
        return pb.ListInvoicesResponse(
            invoices=[convert.invoice_to_pb(each) for each in listed.items], page=page_to_pb(listed)
        )

    @answers
    def CreateOneOffInvoice(
        self, request: pb.CreateOneOffInvoiceRequest, context: Context
    ) -> pb.CreateOneOffInvoiceResponse:
        """Invoice one-off items now."""
        items, customer, currency = convert.items_from_pb(request), request.external_customer_id, request.currency
        return self.answer(
            request,
            context,
            pb.CreateOneOffInvoiceResponse,
            lambda tx, organization: pb.CreateOneOffInvoiceResponse(
                invoice=convert.invoice_to_pb(
                    create_one_off_invoice(self.deps, tx, organization, customer, currency, items)
                )
            ),
        )

    @answers
    def RefreshInvoice(self, request: pb.RefreshInvoiceRequest, context: Context) -> pb.RefreshInvoiceResponse:
        """Compute a draft again."""
        return self.answer(
            request,
            context,
            pb.RefreshInvoiceResponse,
            lambda tx, organization: pb.RefreshInvoiceResponse(
                invoice=convert.invoice_to_pb(refresh_invoice(self.deps, tx, organization, request.id))
            ),
        )

    @answers
    def FinalizeInvoice(self, request: pb.FinalizeInvoiceRequest, context: Context) -> pb.FinalizeInvoiceResponse:
        """Fix and number a draft."""
        return self.answer(
            request,
            context,
            pb.FinalizeInvoiceResponse,
            lambda tx, organization: pb.FinalizeInvoiceResponse(
                invoice=convert.invoice_to_pb(finalize_invoice(self.deps, tx, organization, request.id))
            ),
        )

    @answers
    def VoidInvoice(self, request: pb.VoidInvoiceRequest, context: Context) -> pb.VoidInvoiceResponse:
        """Take a finalized invoice back."""
        return self.answer(
            request,
            context,
            pb.VoidInvoiceResponse,
            lambda tx, organization: convert.voided_to_pb(
                *void_invoice(
                    self.deps, tx, organization, request.id, generate_credit_note=request.generate_credit_note
                )
            ),
        )

    @answers
    def RecordPayment(self, request: pb.RecordPaymentRequest, context: Context) -> pb.RecordPaymentResponse:
        """Say that an invoice, or a part of it, is paid or that paying failed."""
        paid = convert.payment_state_from_pb(request), request.amount_cents
        return self.answer(
            request,
            context,
            pb.RecordPaymentResponse,
            lambda tx, organization: pb.RecordPaymentResponse(
                invoice=convert.invoice_to_pb(record_payment(self.deps, tx, organization, request.id, *paid))
            ),
        )

    @answers
    def RenderInvoice(self, request: pb.RenderInvoiceRequest, context: Context) -> pb.RenderInvoiceResponse:
        """Draw the invoice as PDF."""
        found = queries.printable_invoice(self.deps, organization_of(context), request.id)
        return pb.RenderInvoiceResponse(pdf=pdf.render(found.invoice, found.seller))

    @answers
    def RebuildInvoice(self, request: pb.RebuildInvoiceRequest, context: Context) -> pb.RebuildInvoiceResponse:
        """Compute an invoice anew from the event log and compare."""
        return convert.rebuilt_to_pb(rebuild_invoice(self.deps, organization_of(context), request.id))

    @answers
    def ExplainFee(self, request: pb.ExplainFeeRequest, context: Context) -> pb.ExplainFeeResponse:
        """Say how a fee came about, down to the ids of its events."""
        size, token = convert.explain_page_from_pb(request)
        found = queries.explain_fee(self.deps, organization_of(context), request.fee_id, size=size, token=token)
        return convert.explanation_to_pb(found)

    @answers
    def ListFees(self, request: pb.ListFeesRequest, context: Context) -> pb.ListFeesResponse:
        """List fees across invoices, newest first."""
        wanted, page = convert.fees_wanted_from_pb(request), page_from_pb(request.page)
        listed = queries.list_fees(self.deps, organization_of(context), wanted, page)
        return pb.ListFeesResponse(
            fees=[convert.invoice_fee_to_pb(*each) for each in listed.items], page=page_to_pb(listed)
        )

    @answers
    def CreateCreditNote(self, request: pb.CreateCreditNoteRequest, context: Context) -> pb.CreateCreditNoteResponse:
        """Give money back on an invoice, or say what could be given."""
        wanted = convert.credit_wanted_from_pb(request)
        return self.answer(
            request,
            context,
            pb.CreateCreditNoteResponse,
            lambda tx, organization: pb.CreateCreditNoteResponse(
                credit_note=convert.credit_note_to_pb(
                    credit_notes.create_credit_note(self.deps, tx, organization, wanted)
                )
            ),
        )

    @answers
    def GetCreditNote(self, request: pb.GetCreditNoteRequest, context: Context) -> pb.GetCreditNoteResponse:
        """Find one credit note."""
        found = queries.get_credit_note(self.deps, organization_of(context), request.id)
        return pb.GetCreditNoteResponse(credit_note=convert.credit_note_to_pb(found))

    @answers
    def ListCreditNotes(self, request: pb.ListCreditNotesRequest, context: Context) -> pb.ListCreditNotesResponse:
        """List credit notes, newest first."""
        listed = queries.list_credit_notes(
            self.deps,
            organization_of(context),
            page_from_pb(request.page),
            external_customer_id=request.external_customer_id,
            invoice_id=request.invoice_id,
        )
        return pb.ListCreditNotesResponse(
            credit_notes=[convert.credit_note_to_pb(each) for each in listed.items],
            page=page_to_pb(listed),
        )

    @answers
    def VoidCreditNote(self, request: pb.VoidCreditNoteRequest, context: Context) -> pb.VoidCreditNoteResponse:
        """Take the unused credit of a credit note back."""
        return self.answer(
            request,
            context,
            pb.VoidCreditNoteResponse,
            lambda tx, organization: pb.VoidCreditNoteResponse(
                credit_note=convert.credit_note_to_pb(
                    credit_notes.void_credit_note(self.deps, tx, organization, request.id)
                )
            ),
        )

    @answers
    def ListSetAside(self, request: pb.ListSetAsideRequest, context: Context) -> pb.ListSetAsideResponse:
        """List what could not be invoiced by itself."""
        listed = queries.list_left_out(self.deps, organization_of(context), page_from_pb(request.page))
        return pb.ListSetAsideResponse(
            set_aside=[set_aside_to_pb(each) for each in listed.items], page=page_to_pb(listed)
        )
