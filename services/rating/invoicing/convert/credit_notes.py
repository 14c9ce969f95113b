"""Credit notes: domain to messages, and callers' requests to domain."""

from __future__ import annotations

from collections.abc import Mapping

from farebox.rating.v1 import credit_note_pb2 as pb
from farebox.rating.v1 import invoice_service_pb2 as service_pb2
from services.kernel.checks import inside
from services.kernel.ids import FeeId
from services.rating.invoicing.commands.credit_notes import CreditWanted
from services.rating.invoicing.convert.words import day_from_pb, id_from_pb, words_from_pb
from services.rating.invoicing.credit_note import CreditNote, CreditReason, CreditState
from services.rating.invoicing.store.credit_notes import CreditNotesWanted
from services.wire.values import decimal_to_pb, instant_to_pb, optional_int_of

_REASONS = {
    CreditReason.DUPLICATED_CHARGE: pb.CreditNote.REASON_DUPLICATED_CHARGE,
    CreditReason.PRODUCT_UNSATISFACTORY: pb.CreditNote.REASON_PRODUCT_UNSATISFACTORY,
    CreditReason.ORDER_CHANGE: pb.CreditNote.REASON_ORDER_CHANGE,
    CreditReason.ORDER_CANCELLATION: pb.CreditNote.REASON_ORDER_CANCELLATION,
    CreditReason.FRAUDULENT_CHARGE: pb.CreditNote.REASON_FRAUDULENT_CHARGE,
    CreditReason.OTHER: pb.CreditNote.REASON_OTHER,
}
_CREDIT_STATES = {
    CreditState.AVAILABLE: pb.CreditNote.CREDIT_STATE_AVAILABLE,
    CreditState.CONSUMED: pb.CreditNote.CREDIT_STATE_CONSUMED,
    CreditState.VOIDED: pb.CreditNote.CREDIT_STATE_VOIDED,
}
_REASONS_FROM: Mapping[int, CreditReason] = {message: reason for reason, message in _REASONS.items()}
_CREDIT_STATES_FROM: Mapping[int, CreditState] = {message: state for state, message in _CREDIT_STATES.items()}


def credit_wanted_from_pb(request: service_pb2.CreateCreditNoteRequest) -> CreditWanted:
    """The parts of fees to credit."""
    return CreditWanted(
        invoice_id=request.invoice_id,
        items=tuple((FeeId(item.fee_id), item.amount_cents) for item in request.items),
        reason=_REASONS_FROM.get(request.reason, CreditReason.OTHER),
        description=request.description,
        credit_amount_cents=request.credit_amount_cents,
        refund_amount_cents=request.refund_amount_cents,
        offset_amount_cents=request.offset_amount_cents,
        is_estimate=request.validate_only,
    )


def credit_notes_wanted_from_pb(request: service_pb2.ListCreditNotesRequest) -> CreditNotesWanted:
    """The filters of a list of credit notes, or a refusal that names every wrong one."""
    with inside() as checks:
        return CreditNotesWanted(
            external_customer_id=request.external_customer_id,
            invoice_id=checks.read("", id_from_pb, request.invoice_id, "invoice_id"),
            invoice_number=request.invoice_number,
            issued_from=checks.read(None, day_from_pb, request.issued_from, "issued_from"),
            issued_until=checks.read(None, day_from_pb, request.issued_until, "issued_until"),
            currency=request.currency,
            reasons=checks.read((), words_from_pb, request.reasons, _REASONS_FROM, "reasons"),
            credit_states=checks.read((), words_from_pb, request.credit_states, _CREDIT_STATES_FROM, "credit_states"),
            amount_from_cents=optional_int_of(request, "amount_from_cents"),
            amount_until_cents=optional_int_of(request, "amount_until_cents"),
        )


def credit_note_to_pb(note: CreditNote) -> pb.CreditNote:
    """The credit note as it is."""
    amounts = note.amounts
    return pb.CreditNote(
        id=note.credit_note_id,
        number=note.number,
        invoice_id=note.invoice_id,
        invoice_number=note.invoice_number,
        reason=_REASONS[note.reason],
        description=note.description,
        currency=note.currency.code,
        sub_total_amount_cents=amounts.sub_total_amount_cents,
        taxes_amount_cents=amounts.taxes_amount_cents,
        total_amount_cents=amounts.total_amount_cents,
        credit_amount_cents=amounts.credit_amount_cents,
        refund_amount_cents=amounts.refund_amount_cents,
        offset_amount_cents=amounts.offset_amount_cents,
        balance_amount_cents=amounts.balance_amount_cents,
        coupons_adjustment_amount_cents=note.coupons_adjustment_amount_cents,
        items=[
            pb.CreditNote.Item(fee_id=fee_id, amount_cents=amount)
            for fee_id, amount in zip(note.fee_ids, amounts.item_amounts_cents, strict=True)
        ],
        created_at=instant_to_pb(note.created_at),
        voided_at=instant_to_pb(note.voided_at),
        external_customer_id=note.external_customer_id,
        customer_id=note.customer_id,
        credit_state=_CREDIT_STATES[note.credit_state] if note.credit_state is not None else None,
        taxes_rate_percent=decimal_to_pb(note.taxes_rate_percent),
        issuing_date=note.issuing_date.isoformat(),
        metadata=note.metadata,
    )
