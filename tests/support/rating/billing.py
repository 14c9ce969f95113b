"""Usage for rating without ingest: a log in memory that hands out batches and lists events as ingest does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from farebox.rating.v1 import (
    credit_note_pb2,
    invoice_pb2,
    invoice_service_pb2,
    invoice_service_pb2_grpc,
    subscription_pb2,
    subscription_service_pb2,
    test_clock_service_pb2,
    usage_service_pb2,
    usage_service_pb2_grpc,
)
from services.chassis.config import Settings
from services.kernel.ids import OrganizationId, SubscriptionId
from services.rating.deps import Deps
from services.rating.shared.usage_log import ListedUsageEvent, UsageEntry, UsageEventPage, UsageEventsWanted
from services.rating.usage.commands.count import Memory, count_usage
from services.rating.usage.counting import event_digest
from tests.support.rating.server import Rating, Tenant, running_rating, timestamp

SHARD = 3


@dataclass
class MemoryLog:
    """A usage-event log: what was accepted and voided, in order. Entries are counted when a test says so."""

    entries: list[UsageEntry] = field(default_factory=list)
    number: int = 0

    def accept(
        self,
        organization: OrganizationId,
        subscription: str,
        code: str,
        at: datetime,
        properties: dict[str, Any] | None = None,
        *,
        transaction_id: str = "",
        cents: str = "0",
    ) -> UsageEntry:
        """A new event in a batch of its own."""
        self.number += 1
        name = transaction_id or f"t{self.number}"
        entry = UsageEntry(
            organization,
            SubscriptionId(subscription),
            code,
            name,
            event_digest(name).to_bytes(16, "big"),
            is_void=False,
            occurred_at=at,
            properties=properties or {},
            precise_amount_cents=Decimal(cents),
            shard=SHARD,
            number=self.number,
        )
        self.entries.append(entry)
        return entry

    def void(self, accepted: UsageEntry) -> UsageEntry:
        """Take an event back."""
        self.number += 1
        entry = accepted._replace(is_void=True, number=self.number)
        self.entries.append(entry)
        return entry

    def page(self, wanted: UsageEventsWanted, *, size: int, token: str) -> UsageEventPage:
        """What ingest lists: every event once, with what became of it."""
        own = [entry for entry in self.entries if entry.organization_id == wanted.organization_id]
        voided = {entry.transaction_id for entry in own if entry.is_void}
        found = [
            ListedUsageEvent(
                entry.transaction_id,
                entry.occurred_at,
                entry.properties,
                entry.precise_amount_cents,
                entry.transaction_id in voided,
            )
            for entry in own
            if not entry.is_void
            and entry.subscription_id == wanted.subscription_id
            and entry.code == wanted.code
            and entry.occurred_at in wanted.occurred
        ]
        start = int(token or 0)
        more = len(found) > start + size
        return UsageEventPage(tuple(found[start : start + size]), str(start + size) if more else "")


def count(rating: Rating, entries: Sequence[UsageEntry], *, memory: Memory | None = None) -> None:
    """Count entries and move the position in one transaction, as a shard's follower does."""
    count_entries(rating.deps, entries, memory or Memory())


def count_entries(deps: Deps, entries: Sequence[UsageEntry], memory: Memory) -> None:
    """The same without a server."""
    with deps.db.worker_transaction() as tx:
        count_usage(deps, tx, memory, entries)
        tx.exec_driver_sql(
            "INSERT INTO inbox (log, last_number) VALUES (%s, %s) "
            "ON CONFLICT (log) DO UPDATE SET last_number = excluded.last_number",
            (f"usage.{SHARD}", max(entry.number for entry in entries)),
        )


class Billing:
    """A tenant with the billing services' clients and a log of its own."""

    def __init__(self, tenant: Tenant, log: MemoryLog) -> None:
        self.tenant = tenant
        self.rating = tenant.rating
        self.log = log
        self.channel = tenant.rating.channel
        self.usage = usage_service_pb2_grpc.UsageServiceStub(self.channel)
        self.invoicing = invoice_service_pb2_grpc.InvoiceServiceStub(self.channel)

    def clock(self, at: datetime) -> None:
        """Start the test clock."""
        self.tenant.call(
            self.rating.test_clock.SetTestClock, test_clock_service_pb2.SetTestClockRequest(now=timestamp(at))
        )

    def advance(self, at: datetime) -> test_clock_service_pb2.AdvanceTestClockResponse:
        """Move the test clock with everything due on the way."""
        request = test_clock_service_pb2.AdvanceTestClockRequest(to=timestamp(at))
        return self.tenant.call(self.rating.test_clock.AdvanceTestClock, request)

    def subscribe(self, plan: str = "pro", customer: str = "acme", **fields: Any) -> subscription_pb2.Subscription:
        """Put a customer on a plan; the default external id is the customer's."""
        wanted = {"external_id": customer, "external_customer_id": customer, "plan_code": plan, **fields}
        request = subscription_service_pb2.CreateSubscriptionRequest(**wanted)
        return self.tenant.call(self.rating.subscriptions.CreateSubscription, request).change.subscription

    def event(
        self, subscription: subscription_pb2.Subscription, code: str, at: datetime, **properties: Any
    ) -> UsageEntry:
        """An event that is accepted and counted."""
        entry = self.log.accept(self.tenant.organization_id, subscription.id, code, at, properties)
        count(self.rating, [entry])
        return entry

    def void(self, entry: UsageEntry) -> None:
        """Take an event back, and count that."""
        count(self.rating, [self.log.void(entry)])

    def invoices(self) -> list[invoice_pb2.Invoice]:
        """All invoices, oldest first."""
        answer = self.tenant.call(self.invoicing.ListInvoices, invoice_service_pb2.ListInvoicesRequest())
        return list(reversed(answer.invoices))

    def credit_notes(self) -> list[credit_note_pb2.CreditNote]:
        """All credit notes, oldest first."""
        answer = self.tenant.call(self.invoicing.ListCreditNotes, invoice_service_pb2.ListCreditNotesRequest())
        return list(reversed(answer.credit_notes))

    def current(self, customer: str = "acme") -> usage_service_pb2.UsageSummary:
        """Current usage of a customer's only subscription."""
        request = usage_service_pb2.GetCurrentUsageRequest(external_customer_id=customer)
        return self.tenant.call(self.usage.GetCurrentUsage, request).usage

    def rebuild(self, invoice: invoice_pb2.Invoice) -> invoice_service_pb2.RebuildInvoiceResponse:
        """Compute an invoice again from the log."""
        request = invoice_service_pb2.RebuildInvoiceRequest(id=invoice.id)
        return self.tenant.call(self.invoicing.RebuildInvoice, request)

    def explain(self, fee: Any) -> invoice_service_pb2.ExplainFeeResponse:
        """How a fee came about, with all its events on one page."""
        return self.tenant.call(self.invoicing.ExplainFee, invoice_service_pb2.ExplainFeeRequest(fee_id=fee.id))


@contextmanager
def running_billing(settings: Settings, **organization: Any) -> Iterator[Billing]:
    """Rating with one tenant and a log in memory."""
    log = MemoryLog()
    with running_rating(settings, usage_log=log) as rating:
        yield Billing(rating.tenant(**organization), log)


def fees_of(invoice: invoice_pb2.Invoice) -> dict[str, int]:
    """Amounts in minor units by name of the fee."""
    return {fee.name: fee.amount_cents for fee in invoice.fees}


def split(entries: Iterable[UsageEntry], sizes: Sequence[int]) -> Iterator[list[UsageEntry]]:
    """Entries in batches of the given sizes; the last batch has the rest."""
    left = list(entries)
    for size in sizes:
        batch, left = left[:size], left[size:]
        if batch:
            yield batch
    if left:
        yield left
