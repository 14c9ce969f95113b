"""Usage that falls into very many groups is invoiced; into endlessly many, it is refused and not in anybody's way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from farebox.rating.v1 import domain_events_pb2, invoice_service_pb2
from services.chassis.config import Settings
from services.rating.invoicing.store import listing
from services.rating.shared.usage_log import UsageEntry
from services.rating.usage.commands import group_limit
from services.rating.usage.commands.count import Memory
from tests.support.rating.billing import Billing, count, running_billing
from tests.support.rating.server import standard_charge

JANUARY = datetime(2024, 1, 1, tzinfo=UTC)
IN_JANUARY = datetime(2024, 1, 10, tzinfo=UTC)
FEBRUARY = datetime(2024, 2, 1, tzinfo=UTC)


@pytest.fixture
def billing(settings_for: Callable[[str], Settings]) -> Iterator[Billing]:
    with running_billing(settings_for("rating")) as running:
        running.clock(JANUARY)
        running.tenant.metric("calls")
        running.tenant.plan(charges=[standard_charge("calls", "1", group_by=["user"])])
        yield running


def calls(billing: Billing, subscription: str, users: range) -> list[UsageEntry]:
    accept, organization = billing.log.accept, billing.tenant.organization_id
    return [accept(organization, subscription, "calls", IN_JANUARY, {"user": f"user-{user}"}) for user in users]


def refused(billing: Billing) -> list[str]:
    bodies = billing.rating.announced("rating.usage.refused")
    return [refusal.reason for body in bodies for refusal in domain_events_pb2.UsageRefused.FromString(body).refusals]


def test_six_thousand_groups_are_six_thousand_fees(billing: Billing) -> None:
    """Closed, announced, read and drawn; an invoice of 2,600 fees could stop the bus for everybody."""
    subscription = billing.subscribe()
    entries = calls(billing, subscription.id, range(6000))
    for start in range(0, len(entries), 1000):
        count(billing.rating, entries[start : start + 1000])
    billing.advance(FEBRUARY)
    (invoice,) = billing.invoices()
    assert len(invoice.fees) == 6001
    assert invoice.fees_amount_cents == 3000 + 6000 * 100
    request = invoice_service_pb2.RenderInvoiceRequest(id=invoice.id)
    assert billing.tenant.call(billing.invoicing.RenderInvoice, request).pdf.startswith(b"%PDF-")


def test_a_page_of_large_invoices_is_shorter_than_asked_for(billing: Billing, monkeypatch: pytest.MonkeyPatch) -> None:
    """No invoice is left out; an invoice that is too large for any page is a page by itself."""
    monkeypatch.setattr(listing, "MAX_FEES_OF_PAGE", 3)
    for customer, users in (("a", 5), ("b", 1), ("c", 1), ("d", 0)):
        count(billing.rating, [*calls(billing, billing.subscribe(customer=customer).id, range(users + 1))])
    billing.advance(FEBRUARY)
    pages, token = [], ""
    while True:
        request = invoice_service_pb2.ListInvoicesRequest(page={"page_size": 100, "page_token": token})
        answer = billing.tenant.call(billing.invoicing.ListInvoices, request)
        pages.append(sorted(len(invoice.fees) for invoice in answer.invoices))
        token = answer.page.next_page_token
        if not token:
            break
    assert sorted(fees for page in pages for fees in page) == [2, 3, 3, 7]
    assert all(sum(page) <= 3 or len(page) == 1 for page in pages)


@pytest.mark.parametrize("sizes", [[7], [1, 1, 1, 1, 1, 1, 1], [3, 4]])
@pytest.mark.parametrize("is_remembered", [True, False])
def test_a_period_has_so_many_groups_and_no_more(
    billing: Billing, monkeypatch: pytest.MonkeyPatch, sizes: list[int], *, is_remembered: bool
) -> None:
    """This holds however the events are batched, and whether or not the shard has just been taken over."""
    monkeypatch.setattr(group_limit, "MAX_GROUPS", 5)
    subscription, memory = billing.subscribe(), Memory()
    entries = calls(billing, subscription.id, range(7))
    for size in sizes:
        batch, entries = entries[:size], entries[size:]
        count(billing.rating, batch, memory=memory if is_remembered else None)
    assert refused(billing) == ["TOO_MANY_GROUPS"] * 2
    count(billing.rating, calls(billing, subscription.id, range(5)), memory=memory if is_remembered else None)
    assert len(refused(billing)) == 2, "more usage of the groups that are there is counted"
    billing.advance(FEBRUARY)
    assert len(billing.invoices()[0].fees) == 6
