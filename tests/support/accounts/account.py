"""An account: one organization with one customer, at any height of the suite.

Scenarios and reference cases use only these verbs, so that each is one list of data and one story, and every height
(the pure domain, the services' commands on PostgreSQL, the REST interface) is one implementation of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from services.kernel.money import plain
from services.kernel.period import Period

Body = Mapping[str, Any]

CUSTOMER = "customer_1"
SUBSCRIPTION = "subscription_1"
_SECOND = timedelta(seconds=1)


class Line(NamedTuple):
    """One step of a fee's price, in major units."""

    units: Decimal
    unit_amount: Decimal
    flat_amount: Decimal
    amount: Decimal


@dataclass(frozen=True)
class Fee:
    """One line of an invoice, or of usage that is on none.

    Attributes:
        type: subscription, charge, true_up, commitment, adjustment or add_on.
        code: the metric's, the plan's for a commitment, the item's of one sold once; empty for the base price.
        amount_cents: rounded.
        units: what was priced.
        first, last: the first and the last second that it pays for, RFC 3339.
        filter, group: the filter that matched, by its display name, and the group.
        event_count: usage events behind it.
        precise_amount: before rounding, in major units.
        lines: how it came about.
        coupons_cents: what coupons took off it, exactly.
        taxes_cents, taxes_rate: its own taxes, and their percent in all.
        total_aggregated_units: the metric's aggregate.
        subscription: the organization's id for it.
        identity: its identifier at this height.
    """

    type: str
    code: str
    amount_cents: int
    units: Decimal
    first: str = ""
    last: str = ""
    filter: str = ""
    group: Mapping[str, str] = field(default_factory=dict)
    event_count: int = 0
    precise_amount: Decimal = Decimal(0)
    total_aggregated_units: Decimal = Decimal(0)
    lines: tuple[Line, ...] = ()
    coupons_cents: Decimal = Decimal(0)
    taxes_cents: int = 0
    taxes_rate: Decimal = Decimal(0)
    subscription: str = ""
    identity: Any = None

    def line(self) -> dict[str, Any]:
        """The fee in the form of a scenario."""
        return {
            "type": self.type,
            "code": self.code,
            "amount_cents": self.amount_cents,
            "units": plain(self.units),
            "filter": self.filter,
            "group": dict(self.group),
            "from": self.first,
            "to": self.last,
        }


@dataclass(frozen=True)
class Invoice:
    """An invoice.

    Attributes:
        state: draft, finalized or voided.
        issued_on: day of issue, ISO 8601.
        fees: its fees.
        fees_cents, coupons_cents, sub_total_cents, taxes_cents, credit_notes_cents, total_cents: in their order.
        identity: its identifier at this height.
    """

    state: str
    issued_on: str
    fees: tuple[Fee, ...]
    fees_cents: int
    coupons_cents: int
    sub_total_cents: int
    taxes_cents: int
    credit_notes_cents: int
    total_cents: int
    identity: Any = None

    def line(self) -> dict[str, Any]:
        """The invoice in the form of a scenario."""
        return {
            "state": self.state,
            "issued_on": self.issued_on,
            "fees": [fee.line() for fee in self.fees],
            "coupons_cents": self.coupons_cents,
            "taxes_cents": self.taxes_cents,
            "credit_notes_cents": self.credit_notes_cents,
            "total_cents": self.total_cents,
        }


@dataclass(frozen=True)
class CreditNote:
    """A credit note.

    Attributes:
        total_cents, sub_total_cents, taxes_cents: its amounts.
        credit_cents, refund_cents, offset_cents: where that goes.
        balance_cents: the part of its credit that no invoice has used.
        item_cents: its items, rounded.
        item_precise_cents: its items before rounding; empty if the height does not show them.
        identity: its identifier at this height.
    """

    total_cents: int
    sub_total_cents: int
    taxes_cents: int
    credit_cents: int
    refund_cents: int
    offset_cents: int
    balance_cents: int
    item_cents: tuple[int, ...]
    item_precise_cents: tuple[Decimal, ...] = ()
    identity: Any = None

    def line(self) -> dict[str, Any]:
        """The credit note in the form of a scenario."""
        return {
            "total_cents": self.total_cents,
            "credit_cents": self.credit_cents,
            "refund_cents": self.refund_cents,
            "offset_cents": self.offset_cents,
            "balance_cents": self.balance_cents,
        }


@dataclass(frozen=True)
class Usage:
    """Usage of a period that is running or was invoiced.

    Attributes:
        first, last: the first and the last second of the period, RFC 3339.
        fees: what it costs.
        amount_cents, total_cents: without and with taxes.
        issued_on: day of issue of its invoice; empty while the period runs.
    """

    first: str
    last: str
    fees: tuple[Fee, ...]
    amount_cents: int
    total_cents: int
    issued_on: str = ""


class Account(Protocol):
    """What can be done with an account and read from it. Every verb takes effect at the clock's time."""

    def open(self, at: datetime, **organization: Any) -> None:
        """Create the organization and start its clock, before any other call; the fields are those of the proto."""

    def tax(self, body: Body) -> None:
        """Create a tax."""

    def customer(self, **fields: Any) -> None:
        """Create the customer; the fields are those of the REST body."""

    def metric(self, body: Body) -> None:
        """Create a billable metric."""

    def plan(self, body: Body) -> None:
        """Create a plan, or the next version of a plan that exists."""

    def coupon(self, body: Body) -> None:
        """Create a coupon."""

    def hold(self, coupon: str) -> None:
        """Apply a coupon to the customer."""

    def subscribe(self, plan: str, **terms: Any) -> None:
        """Put the customer on a plan; terms are those of the REST body, `external_id` among them."""

    def change(self, plan: str, *, when: str = "", credit: str = "credit", external_id: str = SUBSCRIPTION) -> str:
        """Move to another plan: by the rule, `now` or at the `period_end`; returns the subscription's state."""

    def migrate(self, plan: str) -> None:
        """Move the subscribers of a plan's first version to the current one, at their next period."""

    def cancel(
        self, *, when: str = "now", credit: str = "credit", is_invoiced: bool = True, external_id: str = SUBSCRIPTION
    ) -> None:
        """End a subscription, `now` or at the `period_end`."""

    def withdraw(self, *, external_id: str = SUBSCRIPTION) -> None:
        """Withdraw a scheduled change."""

    def use(self, events: Sequence[Body]) -> None:
        """Send usage events as REST bodies. An event that is sent twice counts once."""

    def void(self, transaction_id: str, replacement: Body | None = None) -> None:
        """Void an event, or replace it with another."""

    def advance(self, to: datetime) -> None:
        """Move the clock; everything that is due by then has happened when the call returns."""

    def pay(self, invoice: Invoice, cents: int) -> None:
        """Record a payment of an invoice."""

    def void_invoice(self, invoice: Invoice) -> None:
        """Void an invoice."""

    def refresh(self, invoice: Invoice) -> Invoice:
        """Refresh a draft."""

    def sell(self, items: Sequence[Body], currency: str) -> None:
        """Invoice items that are sold once, as REST bodies, at once."""

    def credit(self, invoice: Invoice, items: Sequence[tuple[Fee, int]]) -> CreditNote:
        """Credit these amounts of fees, in cents, to the customer's balance."""

    def invoices(self) -> list[Invoice]:
        """All invoices by number, drafts last."""

    def credit_notes(self) -> list[CreditNote]:
        """All credit notes, oldest first."""

    def usage(self, kind: str = "current") -> Usage:
        """The running period's usage, `current` or `projected` to its end; it includes every event that was sent."""

    def closed_usage(self) -> list[Usage]:
        """The usage of closed periods, newest first."""


def seconds_of(period: Period) -> tuple[str, str]:
    """A half-open period by its first and its last second."""
    return _text(period.start), _text(period.end - _SECOND)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
