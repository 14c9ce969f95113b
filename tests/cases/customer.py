"""The only customer of a reference case, at any height: the cases' own shapes of plans, charges and usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.cases.cases import instant
from tests.support.accounts.account import SUBSCRIPTION, Account, CreditNote, Fee, Invoice, Usage

Json = Mapping[str, Any]
Events = Sequence[tuple[datetime, Json]]

PLAN = "plan"
METRIC = "metric"
CURRENCY = "EUR"
COUNT = {"aggregation_type": "count_agg"}
SUM = {"aggregation_type": "sum_agg", "field_name": "amount"}
RECURRING_SUM = {**SUM, "recurring": True}
# As ingest: events further ahead of the organization's time are refused.
_MAX_AHEAD = timedelta(hours=24)


class Customer:
    """The customer of a case.

    Args:
        account: that has nothing yet.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._now = datetime.min.replace(tzinfo=UTC)
        self._event_count = 0

    # --- what is sold -----------------------------------------------------------------------------------------------

    def open(self, at: datetime, *, tax_rate: int | None = None, **customer: Any) -> None:
        """Start the clock, before anything else; then a tax on everything, and the customer."""
        self._now = at
        self._account.open(at, default_currency=CURRENCY)
        if tax_rate:
            self._account.tax({"code": "tax", "rate": str(tax_rate), "applied_to_organization": True})
        self._account.customer(currency=CURRENCY, **customer)

    def metric(self, given: Json, code: str = METRIC) -> None:
        """A billable metric of a case; a field that a case does not name is `amount`."""
        is_count = given["aggregation_type"] == COUNT["aggregation_type"]
        field = {} if is_count else {"field_name": given.get("field_name", "amount")}
        self._account.metric({**given, **field, "code": code})

    def plan(self, given: Json, *charges: Json, code: str = PLAN) -> None:
        """A plan in the shape of the cases, monthly unless it says otherwise; charges price the one metric."""
        self._account.plan(
            {
                "code": code,
                "interval": given.get("interval", "monthly"),
                "amount_cents": given["amount_cents"],
                "amount_currency": CURRENCY,
                "pay_in_advance": given.get("pay_in_advance", False),
                "trial_period": given.get("trial_period_days", 0),
                "minimum_commitment": {"amount_cents": given.get("minimum_commitment_cents", 0)},
                **({"tax_codes": given["tax_codes"]} if "tax_codes" in given else {}),
                # A case may note with a charge how its metric counts, which is not a term of the charge.
                "charges": [
                    {"billable_metric_id": METRIC, **{name: charge[name] for name in charge if name != "metric"}}
                    for charge in charges
                ],
            }
        )

    def tax(self, rate: int) -> str:
        """A tax of so many percent, that only what names it bears; its code."""
        code = f"tax-{rate}"
        self._account.tax({"code": code, "rate": str(rate)})
        return code

    def coupon(self, body: Json) -> None:
        """A coupon that the customer holds."""
        self._account.coupon({"amount_currency": CURRENCY, **body})
        self._account.hold(body["code"])

    # --- what happens -----------------------------------------------------------------------------------------------

    def subscribe(self, plan: str = PLAN, *, external_id: str = SUBSCRIPTION, billing_time: str = "calendar") -> None:
        """Put the customer on a plan now."""
        self._account.subscribe(plan, external_id=external_id, billing_time=billing_time)

    def change(self, plan: str) -> str:
        """Move the subscription to another plan, by the rule; the state that it is in then."""
        return self._account.change(plan)

    def terminate(self, *, credit: str = "credit", is_invoiced: bool = True) -> None:
        """End the subscription now."""
        self._account.cancel(when="now", credit=credit, is_invoiced=is_invoiced)

    def advance(self, to: datetime) -> None:
        """Move the clock; everything due until then has happened afterwards."""
        self._account.advance(to)
        self._now = to

    def use(self, events: Events, code: str = METRIC) -> None:
        """Send usage; the clock is moved as far as it must be for it to be taken."""
        needed = max(at for at, _ in events) - _MAX_AHEAD
        if needed > self._now:
            self.advance(needed)
        bodies = [
            {
                "transaction_id": f"event-{self._event_count + number}",
                "external_subscription_id": SUBSCRIPTION,
                "code": code,
                "timestamp": at.isoformat(),
                "properties": {name: value for name, value in properties.items() if name != _PRECISE},
                **({_PRECISE: properties[_PRECISE]} if _PRECISE in properties else {}),
            }
            for number, (at, properties) in enumerate(events)
        ]
        self._event_count += len(events)
        self._account.use(bodies)

    def pay(self, invoice: Invoice, cents: int) -> None:
        """This much of an invoice was paid."""
        self._account.pay(invoice, cents)

    def void(self, invoice: Invoice) -> None:
        """Take an invoice back."""
        self._account.void_invoice(invoice)

    def refresh(self, invoice: Invoice) -> Invoice:
        """Compute a draft again."""
        return self._account.refresh(invoice)

    def credit(self, invoice: Invoice, items: Sequence[tuple[Fee, int]]) -> CreditNote:
        """Give items of an invoice back, to the customer's balance."""
        return self._account.credit(invoice, items)

    # --- what came of it --------------------------------------------------------------------------------------------

    def usage(self, kind: str = "current") -> Usage:
        """The running period's usage, `current` or `projected` to its end."""
        return self._account.usage(kind)

    def closed_usage(self) -> list[Usage]:
        """The usage of closed periods, newest first."""
        return self._account.closed_usage()

    def invoices(self) -> list[Invoice]:
        """All invoices, oldest first."""
        return self._account.invoices()

    def credit_notes(self) -> list[CreditNote]:
        """All credit notes, oldest first."""
        return self._account.credit_notes()


_PRECISE = "precise_total_amount_cents"


def fees_of(invoices: Sequence[Invoice], fee_type: str) -> list[Fee]:
    """The fees of one type on invoices, in their order."""
    return [fee for invoice in invoices for fee in invoice.fees if fee.type == fee_type]


def cents_of(invoices: Sequence[Invoice], fee_type: str) -> int:
    """What the fees of one type on invoices come to."""
    return sum(fee.amount_cents for fee in fees_of(invoices, fee_type))


def precise_cents_of(fees: Sequence[Fee]) -> Decimal:
    """What fees come to before they are rounded, in minor units."""
    return sum((fee.precise_amount for fee in fees), Decimal(0)).scaleb(2)


def span(fee: Fee) -> dict[str, object]:
    """The period of a fee as the cases write it."""
    return {"from": fee.first, "to": fee.last}


def at_each(text: str, properties: Json, count: int = 1) -> list[tuple[datetime, Json]]:
    """This many equal events at one instant."""
    return [(instant(text), properties)] * count


def standard(amount: str, **terms: Any) -> Json:
    """A charge with a price for each unit."""
    return {"charge_model": "standard", "properties": {"amount": amount}, **terms}
