"""Late and voided events, before and after the invoice is final."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from farebox.rating.v1 import (
    billable_metric_pb2,
    domain_events_pb2,
    fee_pb2,
    invoice_pb2,
    invoice_service_pb2,
    subscription_service_pb2,
)
from services.chassis.config import Settings
from tests.support.rating.billing import Billing, fees_of, running_billing
from tests.support.rating.server import standard_charge

JANUARY = datetime(2024, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2024, 2, 1, tzinfo=UTC)
MARCH = datetime(2024, 3, 1, tzinfo=UTC)
APRIL = datetime(2024, 4, 1, tzinfo=UTC)
IN_JANUARY = JANUARY.replace(day=10)
KINDS = billable_metric_pb2.BillableMetric


def catalog(billing: Billing) -> Billing:
    billing.clock(JANUARY)
    billing.tenant.metric("calls")
    billing.tenant.metric("peak", aggregation=KINDS.AGGREGATION_MAX, field_name="size")
    billing.tenant.metric("seats", aggregation=KINDS.AGGREGATION_UNIQUE_COUNT, field_name="seat")
    billing.tenant.metric("level", aggregation=KINDS.AGGREGATION_LATEST, field_name="size")
    charges = [standard_charge(code, "1") for code in ("calls", "peak", "seats", "level")]
    billing.tenant.plan(charges=charges)
    return billing


@pytest.fixture
def billing(settings_for: Callable[[str], Settings]) -> Iterator[Billing]:
    with running_billing(settings_for("rating")) as running:
        yield catalog(running)


@pytest.fixture
def with_grace(settings_for: Callable[[str], Settings]) -> Iterator[Billing]:
    with running_billing(settings_for("rating"), invoice_grace_period_days=3) as running:
        yield catalog(running)


def adjustments(invoice: invoice_pb2.Invoice) -> list[fee_pb2.Fee]:
    return [fee for fee in invoice.fees if fee.kind == fee_pb2.Fee.KIND_ADJUSTMENT]


def refusals(billing: Billing) -> list[str]:
    """The reasons for which events were handed back to the log."""
    bodies = billing.rating.announced("rating.usage.refused")
    return [refusal.reason for body in bodies for refusal in domain_events_pb2.UsageRefused.FromString(body).refusals]


def end(billing: Billing, external_id: str, **fields: bool) -> None:
    """End a subscription now."""
    request = subscription_service_pb2.CancelSubscriptionRequest(
        external_id=external_id, timing=subscription_service_pb2.CHANGE_TIMING_NOW, **fields
    )
    billing.tenant.call(billing.rating.subscriptions.CancelSubscription, request)


def test_a_late_event_is_adjusted_on_the_next_invoice_with_its_explanation(billing: Billing) -> None:
    subscription = billing.subscribe()
    billing.event(subscription, "calls", IN_JANUARY)
    billing.advance(FEBRUARY)
    billing.event(subscription, "calls", IN_JANUARY + timedelta(days=1))
    billing.advance(MARCH)
    first, second = billing.invoices()
    assert fees_of(first)["calls"] == 100
    (adjustment,) = adjustments(second)
    assert adjustment.amount_cents == 100
    assert (adjustment.units.value, adjustment.event_count) == ("1", 1)
    assert adjustment.period.start.ToDatetime(tzinfo=UTC) == JANUARY
    assert [line.description for line in adjustment.lines] == ["amount with corrected usage", "amount already invoiced"]
    assert [event.transaction_id for event in billing.explain(adjustment).events] == ["t2"]
    assert [event.transaction_id for event in billing.explain(first.fees[1]).events] == ["t1"]
    for invoice in (first, second):
        rebuilt = billing.rebuild(invoice)
        assert rebuilt.equal, rebuilt.differences
    billing.advance(APRIL)
    assert not adjustments(billing.invoices()[-1]), "what was adjusted is not adjusted again"


def test_a_void_before_the_close_is_not_billed(billing: Billing) -> None:
    subscription = billing.subscribe()
    kept = billing.event(subscription, "calls", IN_JANUARY)
    voided = billing.event(subscription, "calls", IN_JANUARY)
    billing.void(voided)
    billing.advance(FEBRUARY)
    (invoice,) = billing.invoices()
    assert fees_of(invoice)["calls"] == 100
    assert [event.transaction_id for event in billing.explain(invoice.fees[1]).events] == [kept.transaction_id]
    assert billing.rebuild(invoice).equal


def test_a_void_after_finalization_is_given_back_on_the_next_invoice(billing: Billing) -> None:
    subscription = billing.subscribe()
    entry = billing.event(subscription, "calls", IN_JANUARY)
    billing.event(subscription, "calls", IN_JANUARY)
    billing.advance(FEBRUARY)
    billing.void(entry)
    billing.advance(MARCH)
    first, second = billing.invoices()
    assert fees_of(first)["calls"] == 200
    (adjustment,) = adjustments(second)
    assert adjustment.amount_cents == -100
    assert [(event.transaction_id, event.value) for event in billing.explain(adjustment).events] == [("t1", "-1")]
    explained = billing.explain(first.fees[1])
    assert [event.transaction_id for event in explained.events] == ["t1", "t2"], "the first invoice had counted both"
    for invoice in (first, second):
        rebuilt = billing.rebuild(invoice)
        assert rebuilt.equal, rebuilt.differences


@pytest.mark.parametrize(
    ("code", "values", "voided", "expected"),
    [
        ("peak", [{"size": 5}, {"size": 9}, {"size": 7}], 1, "7"),
        ("level", [{"size": 5}, {"size": 9}], 1, "5"),
        ("seats", [{"seat": "a"}, {"seat": "b"}, {"seat": "a"}], 2, "2"),
        ("seats", [{"seat": "a"}, {"seat": "b"}], 1, "1"),
        ("seats", [{"seat": "a"}, {"seat": "a", "operation_type": "remove"}], 1, "1"),
    ],
)
def test_what_a_void_takes_away_is_counted_again_from_the_log(
    billing: Billing, code: str, values: list[dict[str, object]], voided: int, expected: str
) -> None:
    subscription = billing.subscribe()
    entries = [
        billing.event(subscription, code, IN_JANUARY + timedelta(hours=hour), **value)
        for hour, value in enumerate(values)
    ]
    billing.void(entries[voided])
    units = {fee.metric_code: fee.units.value for fee in billing.current().fees}
    assert units[code] == expected
    billing.advance(FEBRUARY)
    (invoice,) = billing.invoices()
    assert {fee.metric_code: fee.units.value for fee in invoice.fees}[code] == expected
    rebuilt = billing.rebuild(invoice)
    assert rebuilt.equal, rebuilt.differences


def test_a_draft_takes_late_events_until_its_grace_ends(with_grace: Billing) -> None:
    billing = with_grace
    subscription = billing.subscribe()
    billing.event(subscription, "calls", IN_JANUARY)
    billing.advance(FEBRUARY)
    (draft,) = billing.invoices()
    assert (draft.state, draft.number) == (invoice_pb2.Invoice.STATE_DRAFT, "")
    billing.event(subscription, "calls", IN_JANUARY)
    refresh = invoice_service_pb2.RefreshInvoiceRequest(id=draft.id)
    refreshed = billing.tenant.call(billing.invoicing.RefreshInvoice, refresh).invoice
    assert fees_of(refreshed)["calls"] == 200
    assert [fee.id for fee in refreshed.fees] == [fee.id for fee in draft.fees], "a fee keeps its identity"
    late = billing.event(subscription, "calls", IN_JANUARY)
    billing.void(late)
    billing.event(subscription, "calls", IN_JANUARY)
    done = billing.advance(FEBRUARY + timedelta(days=3))
    assert (done.closed_period_count, done.finalized_invoice_count) == (0, 1)
    (final,) = billing.invoices()
    assert (final.state, final.number) == (invoice_pb2.Invoice.STATE_FINALIZED, "FBX-000001")
    assert fees_of(final)["calls"] == 300
    rebuilt = billing.rebuild(final)
    assert rebuilt.equal, rebuilt.differences
    billing.event(subscription, "calls", IN_JANUARY)
    billing.advance(MARCH + timedelta(days=3))
    (adjustment,) = adjustments(billing.invoices()[-1])
    assert adjustment.amount_cents == 100


def test_late_events_may_be_ignored(settings_for: Callable[[str], Settings]) -> None:
    with running_billing(settings_for("rating"), late_events=2) as billing:
        subscription = catalog(billing).subscribe()
        billing.advance(FEBRUARY)
        billing.event(subscription, "calls", IN_JANUARY)
        billing.advance(MARCH)
        assert not adjustments(billing.invoices()[-1])


def test_late_usage_after_the_last_invoice_is_refused_until_there_is_another(billing: Billing) -> None:
    """Without an active subscription nothing will bill it; the next one's invoice adjusts what is sent again."""
    ended = billing.subscribe()
    billing.advance(JANUARY.replace(day=20))
    end(billing, "acme")
    billing.event(ended, "calls", IN_JANUARY)
    assert refusals(billing) == ["SUBSCRIPTION_BILLED"]
    billing.subscribe(external_id="again")
    billing.event(ended, "calls", IN_JANUARY)
    assert len(refusals(billing)) == 1
    billing.advance(FEBRUARY)
    (adjustment,) = adjustments(billing.invoices()[-1])
    assert (adjustment.amount_cents, adjustment.event_count) == (100, 1), "what was refused is not counted"


def test_late_usage_of_an_ended_subscription_is_billed_by_another(billing: Billing) -> None:
    """Any active subscription of the customer has a next invoice; another customer's has none for it."""
    ended = billing.subscribe(external_id="first")
    billing.subscribe(external_id="second")
    billing.advance(JANUARY.replace(day=20))
    end(billing, "first")
    billing.event(ended, "calls", IN_JANUARY)
    billing.advance(FEBRUARY)
    assert refusals(billing) == []
    assert [fee.amount_cents for fee in adjustments(billing.invoices()[-1])] == [100]
    end(billing, "second")
    billing.subscribe(customer="another")
    billing.event(ended, "calls", IN_JANUARY)
    assert refusals(billing) == ["SUBSCRIPTION_BILLED"]


def test_late_usage_is_refused_if_the_last_invoice_was_waived(billing: Billing) -> None:
    """Who ends a subscription without a last invoice leaves its usage unbilled, whatever else the customer has."""
    ended = billing.subscribe(external_id="first")
    billing.subscribe(external_id="second")
    billing.advance(JANUARY.replace(day=20))
    end(billing, "first", skip_final_invoice=True)
    billing.event(ended, "calls", IN_JANUARY)
    assert refusals(billing) == ["SUBSCRIPTION_BILLED"]
    billing.advance(FEBRUARY)
    assert adjustments(billing.invoices()[-1]) == []


def test_late_usage_is_in_the_last_invoice_during_its_grace(with_grace: Billing) -> None:
    """The draft takes it; once it is final, nothing does."""
    billing = with_grace
    ended = billing.subscribe()
    billing.advance(JANUARY.replace(day=20))
    end(billing, "acme")
    billing.event(ended, "calls", IN_JANUARY)
    billing.advance(FEBRUARY)
    (final,) = billing.invoices()
    assert (fees_of(final)["calls"], refusals(billing)) == (100, [])
    billing.event(ended, "calls", IN_JANUARY)
    assert refusals(billing) == ["SUBSCRIPTION_BILLED"]


def test_a_void_of_what_nothing_is_charged_for_holds_no_invoice_up(billing: Billing) -> None:
    """What a void takes away of a maximum is counted again only where it is priced."""
    billing.tenant.metric("unpriced", aggregation=KINDS.AGGREGATION_MAX, field_name="size")
    subscription = billing.subscribe()
    billing.event(subscription, "unpriced", IN_JANUARY, size=5)
    billing.void(billing.event(subscription, "unpriced", IN_JANUARY, size=9))
    billing.event(subscription, "calls", IN_JANUARY)
    assert billing.advance(FEBRUARY).closed_period_count == 1
    (invoice,) = billing.invoices()
    assert fees_of(invoice)["calls"] == 100
