"""The clock of a test-mode organization."""

from __future__ import annotations

from typing import Any

from farebox.rating.v1 import test_clock_service_pb2 as service
from gateway.call import Call
from gateway.clients import ADVANCE_DEADLINE_SECONDS
from gateway.dialects.nozle import write
from gateway.dialects.nozle.read import Reader


async def start(call: Call) -> Any:
    """`POST /test_clock {"now": …}`: start the clock, before the organization has data."""
    body = Reader(call.json())
    body.required("now")
    request = service.SetTestClockRequest(request_id=call.mutation_id, now=body.instant("now"))
    answer = await call.ask(call.clients.test_clock.SetTestClock, request)
    return {"test_clock": {"now": write.instant(answer, "now")}}


async def advance(call: Call) -> Any:
    """`POST /test_clock/advance {"to": …}`: answers once everything due until then has happened everywhere."""
    body = Reader(call.json())
    body.required("to")
    request = service.AdvanceTestClockRequest(request_id=call.mutation_id, to=body.instant("to"))
    answer = await call.ask(call.clients.test_clock.AdvanceTestClock, request, deadline=ADVANCE_DEADLINE_SECONDS)
    return {
        "test_clock": {
            "now": write.instant(answer, "now"),
            "closed_periods_count": answer.closed_period_count,
            "finalized_invoices_count": answer.finalized_invoice_count,
        }
    }


async def find(call: Call) -> Any:
    """`GET /test_clock`: the organization's present time."""
    answer = await call.ask(call.clients.test_clock.GetTestClock, service.GetTestClockRequest())
    return {"test_clock": {"now": write.instant(answer, "now"), "is_set": answer.test_clock}}
