"""Work that is set aside, as messages."""

from __future__ import annotations

from farebox.rating.v1 import set_aside_pb2 as pb
from services.rating.invoicing.store.set_aside import SetAside
from services.rating.shared.set_aside import Work
from services.wire.values import instant_to_pb

_WORKS = {
    Work.CHANGE: pb.SetAside.WORK_CHANGE,
    Work.CLOSE: pb.SetAside.WORK_CLOSE,
    Work.FINALIZE: pb.SetAside.WORK_FINALIZE,
    Work.ACCRUE: pb.SetAside.WORK_ACCRUE,
}


def set_aside_to_pb(left_out: SetAside) -> pb.SetAside:
    """One piece of work that was set aside."""
    return pb.SetAside(
        work=_WORKS[left_out.work],
        subscription_id=left_out.subscription_id,
        external_subscription_id=left_out.external_subscription_id,
        external_customer_id=left_out.external_customer_id,
        invoice_id=left_out.invoice_id,
        reason=left_out.reason,
        message=left_out.message,
        attempts=left_out.attempts,
        since=instant_to_pb(left_out.since),
        retry_at=instant_to_pb(left_out.retry_at),
    )
