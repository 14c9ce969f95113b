"""State machines never leave their table, whichever verbs are tried in whichever order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.kernel.cadence import Alignment
from services.kernel.errors import FailedPreconditionError
from services.kernel.ids import CustomerId, SubscriptionId
from services.kernel.money import CURRENCIES
from services.kernel.period import Period
from services.rating.agreements.change import ChangeTiming, request_cancellation, request_change
from services.rating.agreements.subscription import Subscription, activate, apply_change, cancel, withdraw_change
from services.rating.invoicing import invoice as invoices
from services.rating.invoicing.invoice import Invoice, InvoiceState, PaymentState
from services.rating.invoicing.totals import compute_totals
from services.rating.pricing.charges import Line, Priced
from services.rating.pricing.fee import Fee, FeeKind
from services.rating.pricing.plan import Plan
from services.rating.shared.subscription_state import SubscriptionState
from tests.support.rating.invoices import draft_at, on_invoice

EUR = CURRENCIES["EUR"]
START = datetime(2024, 2, 10, 12, tzinfo=UTC)
PLANS = [Plan(f"plan-{price}", EUR, base_amount=Decimal(price), in_advance=price % 2 == 0) for price in (10, 21, 32)]
BY_CODE = {plan.code: plan for plan in PLANS}

SUBSCRIPTION_MOVES = {
    (SubscriptionState.PENDING, SubscriptionState.ACTIVE),
    (SubscriptionState.PENDING, SubscriptionState.CANCELED),
    (SubscriptionState.ACTIVE, SubscriptionState.TERMINATED),
}
INVOICE_MOVES = {(InvoiceState.DRAFT, InvoiceState.FINALIZED), (InvoiceState.FINALIZED, InvoiceState.VOIDED)}


class SubscriptionLife(RuleBasedStateMachine):
    """A customer's subscriptions under one external id, over time."""

    def __init__(self) -> None:
        super().__init__()
        self.reasons: list[str] = []
        self.now = START - timedelta(days=1)
        self.chain = [
            Subscription(
                SubscriptionId("0"),
                "external",
                CustomerId("c"),
                PLANS[0].code,
                1,
                Alignment.ANNIVERSARY,
                START,
                START,
                START,
            )
        ]

    def attempt(self, verb: Callable[[Subscription], tuple[Subscription, Subscription | None]]) -> None:
        """Try a verb on the newest subscription; a refusal changes nothing and says why."""
        before = self.chain[-1]
        try:
            after, successor = verb(before)
        except FailedPreconditionError as refused:
            self.reasons.append(refused.reason)
            return
        assert before.state is after.state or (before.state, after.state) in SUBSCRIPTION_MOVES
        self.chain[-1] = after
        if successor is not None:
            assert successor.previous_id == after.subscription_id
            self.chain.append(successor)

    @rule(hours=st.integers(1, 24 * 40))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule()
    def activate(self) -> None:
        self.attempt(lambda subscription: (activate(subscription, at=self.now), None))

    @rule()
    def cancel(self) -> None:
        self.attempt(lambda subscription: (cancel(subscription, at=self.now), None))

    @rule()
    def withdraw(self) -> None:
        self.attempt(lambda subscription: (withdraw_change(subscription), None))

    @rule()
    def carry_out(self) -> None:
        new_id = SubscriptionId(str(len(self.chain)))
        self.attempt(lambda subscription: apply_change(subscription, new_id=new_id, at=self.now, timezone="Asia/Tokyo"))

    @rule(plan=st.sampled_from(PLANS), timing=st.sampled_from(ChangeTiming))
    def change(self, plan: Plan, timing: ChangeTiming) -> None:
        def verb(subscription: Subscription) -> tuple[Subscription, Subscription | None]:
            new_id = SubscriptionId(str(len(self.chain)))
            effect = request_change(
                subscription,
                BY_CODE[subscription.plan_code],
                plan,
                new_id=new_id,
                at=self.now,
                timezone="Asia/Tokyo",
                timing=timing,
            )
            return effect.subscription, effect.successor

        self.attempt(verb)

    @rule(timing=st.sampled_from(ChangeTiming))
    def end(self, timing: ChangeTiming) -> None:
        def verb(subscription: Subscription) -> tuple[Subscription, None]:
            plan = BY_CODE[subscription.plan_code]
            effect = request_cancellation(subscription, plan, at=self.now, timezone="Asia/Tokyo", timing=timing)
            return effect.subscription, None

        self.attempt(verb)

    @invariant()
    def every_refusal_has_a_reason(self) -> None:
        """A verb that the state forbids is refused with a word for why."""
        assert all(self.reasons)

    @invariant()
    def only_an_active_subscription_has_a_change_pending(self) -> None:
        """A subscription that has not begun, or is over, waits for no change."""
        for subscription in self.chain:
            assert subscription.pending_change is None or subscription.state is SubscriptionState.ACTIVE

    @invariant()
    def what_has_ended_says_when(self) -> None:
        """A subscription has an end exactly if it is over, and its base price ends with it if it ever ran."""
        for subscription in self.chain:
            assert (subscription.ended_at is not None) == (
                subscription.state in {SubscriptionState.TERMINATED, SubscriptionState.CANCELED}
            )
            assert (subscription.base_ends_at is not None) == (subscription.state is SubscriptionState.TERMINATED)

    @invariant()
    def usage_has_one_owner(self) -> None:
        """At no instant do two subscriptions count usage, and the next begins where the last one ended."""
        for at in (self.now, *(subscription.starts_at for subscription in self.chain)):
            assert sum(subscription.covers(at) for subscription in self.chain) <= 1
        for old, new in zip(self.chain, self.chain[1:], strict=False):
            assert old.ended_at == new.starts_at


class InvoiceLife(RuleBasedStateMachine):
    """One invoice, and every verb on it."""

    def __init__(self) -> None:
        super().__init__()
        self.reasons: list[str] = []
        self.invoice = draft_at(START)

    def attempt(self, verb: Callable[[Invoice], Invoice]) -> None:
        """Try a verb; a refusal changes nothing and says why."""
        before = self.invoice
        try:
            after = verb(before)
        except FailedPreconditionError as refused:
            self.reasons.append(refused.reason)
            return
        assert before.state is after.state or (before.state, after.state) in INVOICE_MOVES
        if before.state is not InvoiceState.DRAFT:
            assert (after.fees, after.totals, after.number) == (before.fees, before.totals, before.number)
        self.invoice = after

    @rule(cents=st.integers(0, 1_000))
    def refresh(self, cents: int) -> None:
        amount = EUR.to_major(cents)
        line = Line("amount", Decimal(1), amount, Decimal(0), amount)
        period = Period(START, START + timedelta(days=1))
        fee = Fee.of(FeeKind.ADD_ON, period, Priced.of((line,), Decimal(1)), EUR)
        self.attempt(lambda invoice: invoices.refresh(invoice, on_invoice([fee]), compute_totals([fee], EUR)))

    @rule()
    def finalize(self) -> None:
        self.attempt(
            lambda invoice: invoices.finalize(invoice, at=START, sequential_id=1, prefix="F", net_payment_term_days=0)
        )

    @rule()
    def void(self) -> None:
        self.attempt(lambda invoice: invoices.void(invoice, at=START))

    @rule(cents=st.integers(-1, 600))
    def pay(self, cents: int) -> None:
        self.attempt(lambda invoice: invoices.record_payment(invoice, cents))

    @rule()
    def fail(self) -> None:
        self.attempt(invoices.record_failed_payment)

    @invariant()
    def every_refusal_has_a_reason(self) -> None:
        """A verb that the state forbids is refused with a word for why."""
        assert all(self.reasons)

    @invariant()
    def it_is_numbered_once_it_is_final(self) -> None:
        """A draft has no number; whatever was finalized keeps one."""
        assert (self.invoice.number is None) == (self.invoice.state is InvoiceState.DRAFT)

    @invariant()
    def it_is_paid_when_all_of_it_is(self) -> None:
        """It counts as paid exactly when nothing is left to pay, and nobody pays more than its total."""
        is_paid = self.invoice.payment_state is PaymentState.SUCCEEDED
        if self.invoice.state is not InvoiceState.DRAFT:
            assert is_paid == (self.invoice.paid_amount_cents == self.invoice.totals.total_amount_cents)
        assert 0 <= self.invoice.paid_amount_cents <= self.invoice.totals.total_amount_cents


TestSubscriptionLife = SubscriptionLife.TestCase
TestInvoiceLife = InvoiceLife.TestCase
TestSubscriptionLife.settings = settings(max_examples=200, stateful_step_count=30)
TestInvoiceLife.settings = settings(max_examples=100, stateful_step_count=20)
