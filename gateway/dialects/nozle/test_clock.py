"""The clock of a test-mode organization."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from farebox.rating.v1 import test_clock_service_pb2 as rpc
from gateway.clients import ADVANCE_DEADLINE_SECONDS
from gateway.limit_terms import Budget
from gateway.operation import Nothing, Request, operation
from gateway.projection import project
from gateway.schema import Instant, InstantInput, of


class ClockStart(Struct):
    """The time at which the clock starts."""

    now: InstantInput


class ClockTarget(Struct):
    """The time to which the clock moves."""

    to: InstantInput


class StartedClock(Struct, kw_only=True):
    """The organization's present time."""

    now: Instant


class AdvancedClock(Struct, kw_only=True):
    """The organization's present time, and what happened on the way."""

    now: Instant
    closed_periods_count: Annotated[int, of("closed_period_count"), Meta(description="Billing periods that ended.")]
    finalized_invoices_count: Annotated[int, of("finalized_invoice_count")]
    set_aside_count: Annotated[int, Meta(description="What could not be done and was left out: `GET /set_aside`.")]


class TestClock(Struct, kw_only=True):
    """The organization's present time."""

    __test__ = False  # not a test case, although pytest would take it for one by its name

    now: Instant
    is_set: Annotated[bool, of("test_clock"), Meta(description="Whether it is a test clock's time, not the machine's.")]


async def start(request: Request[Nothing, Nothing, ClockStart]) -> StartedClock:
    """Start the clock, before the organization has data."""
    call = request.call
    asked = rpc.SetTestClockRequest(request_id=call.mutation_id, now=request.body.now)
    answer = await call.ask(call.clients.test_clock.SetTestClock, asked)
    return project(StartedClock, answer)


async def advance(request: Request[Nothing, Nothing, ClockTarget]) -> AdvancedClock:
    """Move the clock forward; the answer comes once everything due until then has happened everywhere."""
    call = request.call
    asked = rpc.AdvanceTestClockRequest(request_id=call.mutation_id, to=request.body.to)
    answer = await call.ask(call.clients.test_clock.AdvanceTestClock, asked, deadline=ADVANCE_DEADLINE_SECONDS)
    return project(AdvancedClock, answer)


async def find(request: Request[Nothing, Nothing, Nothing]) -> TestClock:
    """Show the organization's present time."""
    call = request.call
    answer = await call.ask(call.clients.test_clock.GetTestClock, rpc.GetTestClockRequest())
    return project(TestClock, answer)


OPERATIONS = (
    operation("POST", "/test_clock", start, answer_root="test_clock"),
    operation("GET", "/test_clock", find, answer_root="test_clock"),
    operation("POST", "/test_clock/advance", advance, answer_root="test_clock", budget=Budget.CLOCK),
)
