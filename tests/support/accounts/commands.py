"""An account played by rating's commands on PostgreSQL, with a usage-event log in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from services.chassis.db import Database
from services.chassis.page import Page
from services.kernel.cadence import Alignment
from services.kernel.clock import FrozenClock
from services.kernel.ids import OrganizationId
from services.rating.agreements.agreement import EndTerms
from services.rating.agreements.resolution import Resolution
from services.rating.agreements.store import SubscriptionsWanted, list_agreements
from services.rating.agreements.subscription_change import NewSubscription
from services.rating.catalog.commands.coupons import create_coupon
from services.rating.catalog.commands.metrics import create_metric
from services.rating.catalog.commands.plans import create_plan, update_plan
from services.rating.catalog.commands.taxes import upsert_tax
from services.rating.clock.due import run_due
from services.rating.customers.commands import upsert_customer
from services.rating.customers.coupons import Agreed, apply_coupon
from services.rating.invoicing.commands.credit_notes import CreditWanted, create_credit_note
from services.rating.invoicing.commands.one_off import create_one_off_invoice
from services.rating.invoicing.commands.payment import record_payment
from services.rating.invoicing.commands.refresh import refresh_invoice
from services.rating.invoicing.commands.void import void_invoice
from services.rating.invoicing.invoice import PaymentState
from services.rating.invoicing.payment import ReportedPayment
from services.rating.invoicing.queries.invoices import get_invoice, list_credit_notes, list_invoices
from services.rating.invoicing.queries.priced_usage import (
    MAX_PERIODS,
    UsageSummary,
    Whose,
    current_usage,
    past_usage,
    projected_usage,
)
from services.rating.invoicing.queries.rebuild import rebuild_invoice
from services.rating.invoicing.store.credit_notes import CreditNotesWanted
from services.rating.invoicing.store.listing import InvoicesWanted
from services.rating.organizations.commands import create_organization
from services.rating.shared.subscription_state import SubscriptionState
from services.rating.shared.usage_log import UsageEntry
from services.rating.subscriptions.commands import (
    cancel_subscription,
    change_plan,
    create_subscription,
    migrate_plan_version,
    withdraw_change,
)
from services.rating.usage.commands.count import Memory
from tests.support.accounts.account import CUSTOMER, SUBSCRIPTION, Body, CreditNote, Fee, Invoice, Usage
from tests.support.accounts.drafts import coupon_draft, item_draft, metric_draft, plan_draft, tax_draft
from tests.support.accounts.records import by_number, credit_note_of, invoice_of, usage_of
from tests.support.accounts.words import TIMINGS, instant_or_none, properties_of
from tests.support.rating.billing import MemoryLog, count_entries
from tests.support.rating.server import build_test_deps

PAGE = Page(size=1000)


class CommandsAccount:
    """See `Account`.

    Args:
        db: a migrated database of rating's; any number of accounts can share it.
        log: the usage-event log, shared by the same accounts.
    """

    def __init__(self, db: Database, log: MemoryLog) -> None:
        self._log = log
        self._clock = FrozenClock(datetime(2000, 1, 1, tzinfo=UTC))
        self._deps = build_test_deps(db, self._clock, usage_log=log)
        self._memory = Memory()
        self._sent: dict[str, UsageEntry] = {}
        self._plans: set[str] = set()
        self._organization = OrganizationId("")

    def _run(self, command: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """One command in a transaction of its own."""
        with self._deps.db.transaction(self._organization) as tx:
            return command(self._deps, tx, self._organization, *arguments, **named)

    # --- what is sold -----------------------------------------------------------------------------------------------

    def open(self, at: datetime, **organization: Any) -> None:
        self._clock.move_to(at)
        settings = {"name": "Account", "test_mode": True, **organization}
        with self._deps.db.worker_transaction() as tx:
            self._organization = create_organization(self._deps, tx, settings).organization_id

    def tax(self, body: Body) -> None:
        self._run(upsert_tax, tax_draft(body))

    def customer(self, **fields: Any) -> None:
        details = {name: fields[name] for name in ("name", "timezone", "currency") if name in fields}
        if "tax_codes" in fields:
            details["tax_codes"] = tuple(fields["tax_codes"])
        if "billing_configuration" in fields:
            details["invoice_grace_period_days"] = fields["billing_configuration"]["invoice_grace_period"]
        self._run(upsert_customer, CUSTOMER, lambda _: details)

    def metric(self, body: Body) -> None:
        self._run(create_metric, metric_draft(body))

    def plan(self, body: Body) -> None:
        draft = plan_draft(body)
        if draft.plan.code in self._plans:
            self._run(update_plan, draft.plan.code, lambda _: draft)
        else:
            self._run(create_plan, draft)
        self._plans.add(draft.plan.code)

    def coupon(self, body: Body) -> None:
        self._run(create_coupon, coupon_draft(body))

    def hold(self, coupon: str) -> None:
        self._run(apply_coupon, CUSTOMER, coupon, Agreed())

    # --- what happens -----------------------------------------------------------------------------------------------

    def subscribe(self, plan: str, **terms: Any) -> None:
        wanted = NewSubscription(
            external_customer_id=CUSTOMER,
            plan_code=plan,
            external_id=terms.get("external_id", SUBSCRIPTION),
            alignment=Alignment(terms.get("billing_time", "calendar")),
            starts_at=instant_or_none(terms.get("subscription_at")),
            ending_at=instant_or_none(terms.get("ending_at")),
        )
        self._run(create_subscription, wanted)
        run_due(self._deps, self._clock.now(), self._organization)

    def change(self, plan: str, *, when: str = "", credit: str = "credit", external_id: str = SUBSCRIPTION) -> str:
        resolution = Resolution(credit)
        changed = self._run(change_plan, external_id, (plan, 0), timing=TIMINGS[when], resolution=resolution)
        return str(changed.agreement.subscription.state)

    def migrate(self, plan: str) -> None:
        self._run(migrate_plan_version, plan, 1, 0)

    def cancel(
        self, *, when: str = "now", credit: str = "credit", is_invoiced: bool = True, external_id: str = SUBSCRIPTION
    ) -> None:
        terms = EndTerms(Resolution(credit), skip_final_invoice=not is_invoiced)
        self._run(cancel_subscription, external_id, timing=TIMINGS[when], terms=terms)

    def withdraw(self, *, external_id: str = SUBSCRIPTION) -> None:
        self._run(withdraw_change, external_id)

    def use(self, events: Sequence[Body]) -> None:
        with self._deps.db.transaction(self._organization) as tx:
            states = tuple(SubscriptionState)
            known = list_agreements(tx, self._organization, PAGE, SubscriptionsWanted(states=states)).items
        fresh = []
        for event in events:
            if event["transaction_id"] not in self._sent:
                at = datetime.fromisoformat(event["timestamp"])
                # Resolved in the same way as by ingest: the subscription with this id at the event's time.
                (owner,) = [
                    agreement.subscription_id
                    for agreement in known
                    if agreement.subscription.external_id == event.get("external_subscription_id", SUBSCRIPTION)
                    and agreement.subscription.covers(at)
                ]
                entry = self._log.accept(
                    self._organization,
                    owner,
                    event["code"],
                    at,
                    properties_of(event),
                    transaction_id=event["transaction_id"],
                    cents=str(event.get("precise_total_amount_cents", 0)),
                )
                self._sent[event["transaction_id"]] = entry
                fresh.append(entry)
        if fresh:
            count_entries(self._deps, fresh, self._memory)

    def void(self, transaction_id: str, replacement: Body | None = None) -> None:
        count_entries(self._deps, [self._log.void(self._sent[transaction_id])], self._memory)
        if replacement is not None:
            self.use([replacement])

    def advance(self, to: datetime) -> None:
        self._clock.move_to(to)
        run_due(self._deps, to, self._organization)

    def pay(self, invoice: Invoice, cents: int) -> None:
        self._run(record_payment, invoice.identity, PaymentState.SUCCEEDED, ReportedPayment(cents))

    def void_invoice(self, invoice: Invoice) -> None:
        self._run(void_invoice, invoice.identity)

    def refresh(self, invoice: Invoice) -> Invoice:
        return invoice_of(self._run(refresh_invoice, invoice.identity))

    def sell(self, items: Sequence[Body], currency: str) -> None:
        self._run(create_one_off_invoice, CUSTOMER, currency, [item_draft(item) for item in items])

    def credit(self, invoice: Invoice, items: Sequence[tuple[Fee, int]]) -> CreditNote:
        given = tuple((fee.identity, cents) for fee, cents in items)
        estimate = self._run(create_credit_note, CreditWanted(invoice.identity, given, is_estimate=True))
        wanted = CreditWanted(invoice.identity, given, credit_amount_cents=estimate.amounts.total_amount_cents)
        return credit_note_of(self._run(create_credit_note, wanted))

    # --- what came of it --------------------------------------------------------------------------------------------

    def invoices(self) -> list[Invoice]:
        made = list_invoices(self._deps, self._organization, InvoicesWanted(), PAGE).items
        return [invoice_of(invoice) for invoice in by_number([dated.invoice for dated in made])]

    def credit_notes(self) -> list[CreditNote]:
        given = list_credit_notes(self._deps, self._organization, CreditNotesWanted(), PAGE).items
        return [credit_note_of(note) for note in reversed(given)]

    def usage(self, kind: str = "current") -> Usage:
        whose = Whose(CUSTOMER, SUBSCRIPTION)
        if kind == "current":
            return usage_of(current_usage(self._deps, self._organization, whose))
        return usage_of(projected_usage(self._deps, self._organization, whose)[1])

    def closed_usage(self) -> list[Usage]:
        whose = Whose(CUSTOMER, SUBSCRIPTION)
        return [self._closed(summary) for summary in past_usage(self._deps, self._organization, whose, MAX_PERIODS)]

    def _closed(self, summary: UsageSummary) -> Usage:
        if summary.invoice_id is None:
            return usage_of(summary)
        invoice = get_invoice(self._deps, self._organization, summary.invoice_id).invoice
        return usage_of(summary, invoice.issuing_date.isoformat())

    def unlike_the_log(self) -> list[str]:
        """Differences between the invoices and their reconstruction from the log; there must be none."""
        return [
            text
            for invoice in self.invoices()
            for text in rebuild_invoice(self._deps, self._organization, invoice.identity).differences
        ]
