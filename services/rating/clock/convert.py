"""The result of a test clock's advance, as a message."""

from __future__ import annotations

from farebox.rating.v1 import test_clock_service_pb2 as pb
from services.rating.clock.commands import Advanced
from services.wire.values import instant_to_pb


def advanced_to_pb(advanced: Advanced) -> pb.AdvanceTestClockResponse:
    """What happened on the way."""
    return pb.AdvanceTestClockResponse(
        now=instant_to_pb(advanced.now),
        closed_period_count=advanced.closed_periods,
        finalized_invoice_count=advanced.finalized_invoices,
        set_aside_count=advanced.set_aside,
    )
