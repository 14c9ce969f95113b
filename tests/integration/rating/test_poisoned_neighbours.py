"""One subscription whose usage cannot be priced stops nobody else, neither in its organization nor in another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from farebox.rating.v1 import (
    invoice_pb2,
    invoice_service_pb2,
    set_aside_pb2,
    subscription_pb2,
    subscription_service_pb2,
)
from services.chassis.config import Settings
from services.chassis.rpc.errors import error_info
from services.rating.clock.due import DueReport, run_due
from services.rating.invoicing.commands.revenue import accrue_due
from tests.support.rating.billing import Billing, running_billing
from tests.support.rating.server import standard_charge, timestamp

JANUARY = datetime(2024, 1, 1, tzinfo=UTC)
IN_JANUARY = datetime(2024, 1, 10, tzinfo=UTC)
FEBRUARY = datetime(2024, 2, 1, tzinfo=UTC)
MARCH = datetime(2024, 3, 1, tzinfo=UTC)
POISON = "1000000000000000000"
SUM = {"aggregation": 2, "field_name": "n"}
Work = set_aside_pb2.SetAside


@pytest.fixture
def billing(settings_for: Callable[[str], Settings]) -> Iterator[Billing]:
    """An organization that lives in the machine's time, which is January."""
    with running_billing(settings_for("rating")) as running:
        running.rating.clock.move_to(JANUARY)
        sell(running)
        yield running


def sell(billing: Billing) -> None:
    billing.tenant.metric("units", **SUM)
    billing.tenant.plan(charges=[standard_charge("units", "1")])


def subscribe_both(billing: Billing) -> tuple[subscription_pb2.Subscription, subscription_pb2.Subscription]:
    return billing.subscribe(customer="poisoned"), billing.subscribe(customer="healthy")


def use(billing: Billing, poisoned: subscription_pb2.Subscription, healthy: subscription_pb2.Subscription) -> object:
    """An absurd event for one, an ordinary one for the other; the first one, to take it back."""
    event = billing.event(poisoned, "units", IN_JANUARY, n=int(POISON))
    billing.event(healthy, "units", IN_JANUARY, n=5)
    return event


def live(billing: Billing, at: datetime) -> DueReport:
    """What the job does in real time."""
    billing.rating.clock.move_to(at)
    return run_due(billing.rating.deps, at)


def set_aside(billing: Billing) -> list[set_aside_pb2.SetAside]:
    answer = billing.tenant.call(billing.invoicing.ListSetAside, invoice_service_pb2.ListSetAsideRequest())
    return list(answer.set_aside)


def billed(billing: Billing) -> dict[str, int]:
    """What each customer was billed in all."""
    sums: dict[str, int] = {}
    for invoice in billing.invoices():
        name = invoice.customer.external_id
        sums[name] = sums.get(name, 0) + invoice.fees_amount_cents
    return sums


def test_closing_leaves_out_the_one_that_cannot_be_priced(billing: Billing) -> None:
    """In live time, with a readable reason; once its usage is corrected it is invoiced as if nothing had happened."""
    poisoned, healthy = subscribe_both(billing)
    event = use(billing, poisoned, healthy)
    report = live(billing, FEBRUARY)
    assert (report.closed, report.set_aside) == (1, 1)
    assert billed(billing) == {"healthy": 3500}
    (left_out,) = set_aside(billing)
    assert (left_out.work, left_out.reason, left_out.attempts) == (Work.WORK_CLOSE, "AMOUNT_TOO_LARGE", 1)
    assert (left_out.subscription_id, left_out.external_subscription_id) == (poisoned.id, "poisoned")
    assert left_out.external_customer_id == "poisoned"
    assert live(billing, FEBRUARY + timedelta(seconds=1)) == DueReport(), "it is not tried at every turn"
    billing.void(event)
    assert live(billing, FEBRUARY + timedelta(seconds=2)).closed == 1, "a correction is a reason to try at once"
    assert billed(billing) == {"healthy": 3500, "poisoned": 3000}
    assert set_aside(billing) == []


def test_the_next_try_comes_ever_later(billing: Billing) -> None:
    """Half a minute, then twice as long each time, and an hour at the most."""
    use(billing, *subscribe_both(billing))
    now, waits = FEBRUARY, []
    for _ in range(10):
        live(billing, now)
        (left_out,) = set_aside(billing)
        retry_at = left_out.retry_at.ToDatetime(tzinfo=UTC)
        waits.append((retry_at - now).total_seconds())
        now = retry_at
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert left_out.attempts == 10


def test_another_organization_is_invoiced_in_the_same_batch(settings_for: Callable[[str], Settings]) -> None:
    """The fault that was found: in live time nobody got an invoice at midnight."""
    with running_billing(settings_for("rating")) as billing:
        billing.rating.clock.move_to(JANUARY)
        sell(billing)
        use(billing, *subscribe_both(billing))
        neighbour = Billing(billing.rating.tenant(name="Neighbour"), billing.log)
        sell(neighbour)
        neighbour.subscribe(customer="next door")
        live(billing, FEBRUARY)
        assert billed(neighbour) == {"next door": 3000}


def test_a_test_clock_goes_on_without_it(settings_for: Callable[[str], Settings]) -> None:
    """The advance succeeds and says how much it left out; later months of the others are invoiced, too."""
    with running_billing(settings_for("rating")) as billing:
        billing.clock(JANUARY)
        sell(billing)
        event = use(billing, *subscribe_both(billing))
        answer = billing.advance(MARCH)
        assert (answer.closed_period_count, answer.set_aside_count) == (2, 1)
        assert billed(billing) == {"healthy": 6500}
        billing.void(event)
        assert billing.advance(MARCH + timedelta(seconds=1)).closed_period_count == 2
        assert billed(billing) == {"healthy": 6500, "poisoned": 6000}


def test_finalizing_leaves_out_the_one_that_cannot_be_priced(settings_for: Callable[[str], Settings]) -> None:
    """A late absurd event reaches a draft: it stays one, alone, and can be finalized once it is corrected."""
    with running_billing(settings_for("rating"), invoice_grace_period_days=3) as billing:
        billing.rating.clock.move_to(JANUARY)
        sell(billing)
        poisoned, healthy = subscribe_both(billing)
        live(billing, FEBRUARY)
        event = use(billing, poisoned, healthy)
        report = live(billing, FEBRUARY + timedelta(days=3))
        assert (report.finalized, report.set_aside) == (1, 1)
        (left_out,) = set_aside(billing)
        assert (left_out.work, left_out.external_customer_id) == (Work.WORK_FINALIZE, "poisoned")
        states = {invoice.id: invoice.state for invoice in billing.invoices()}
        assert states[left_out.invoice_id] == invoice_pb2.Invoice.STATE_DRAFT
        billing.void(event)
        request = invoice_service_pb2.FinalizeInvoiceRequest(id=left_out.invoice_id)
        billing.tenant.call(billing.invoicing.FinalizeInvoice, request)
        assert set_aside(billing) == [], "whoever does it by hand, it is done"


def test_a_promised_end_leaves_out_the_one_that_cannot_be_priced(billing: Billing) -> None:
    """Both end with the month; one is billed and ended, the other stays as it is until it can be."""
    for customer in ("poisoned", "healthy"):
        billing.subscribe(customer=customer, ending_at=timestamp(FEBRUARY))
    poisoned, healthy = (
        billing.tenant.call(
            billing.rating.subscriptions.GetSubscription,
            subscription_service_pb2.GetSubscriptionRequest(external_id=name),
        ).subscription
        for name in ("poisoned", "healthy")
    )
    use(billing, poisoned, healthy)
    live(billing, FEBRUARY)
    assert billed(billing) == {"healthy": 3500}
    assert [left_out.work for left_out in set_aside(billing)] == [Work.WORK_CHANGE]
    assert live(billing, FEBRUARY + timedelta(seconds=1)) == DueReport(), "nor is its period closed without its end"


def test_accruing_leaves_out_the_one_that_cannot_be_priced(billing: Billing) -> None:
    """The healthy one's revenue is announced, and the loop ends."""
    use(billing, *subscribe_both(billing))
    while accrue_due(billing.rating.deps):
        pass
    assert [left_out.work for left_out in set_aside(billing)] == [Work.WORK_ACCRUE]
    assert b"healthy" in b"".join(billing.rating.announced("rating.revenue.accrued"))


def test_only_the_poisoned_customer_cannot_ask_for_usage(billing: Billing) -> None:
    """A clear refusal for one, an answer for the other; it was an internal error for both."""
    use(billing, *subscribe_both(billing))
    billing.rating.clock.move_to(IN_JANUARY + timedelta(days=1))
    with pytest.raises(grpc.RpcError) as refused:
        billing.current("poisoned")
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert error_info(refused.value)[0] == "AMOUNT_TOO_LARGE"
    assert billing.current("healthy").amount_cents == 500


def test_what_was_left_out_does_not_lead_into_a_batch_of_only_such(
    billing: Billing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three that fail in batches of two: those behind them are reached in the same turn."""
    monkeypatch.setattr("services.rating.clock.due.BATCH", 2)
    for number in range(3):
        subscription = billing.subscribe(customer=f"p{number}")
        billing.event(subscription, "units", IN_JANUARY, n=int(POISON))
    billing.subscribe(customer="z")
    assert live(billing, FEBRUARY).closed == 1
    assert billed(billing) == {"z": 3000}
