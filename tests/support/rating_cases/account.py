"""One test-mode organization with one customer, reached by REST alone; every case is played on a fresh one."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from farebox.testing import Rest
from services.chassis.wait import wait_until
from tests.rating_case_runner import Case, instant

CUSTOMER = "customer"
SUBSCRIPTION = "subscription"
PLAN = "plan"
METRIC = "metric"
CURRENCY = "EUR"
COUNT = {"aggregation_type": "count_agg"}
SUM = {"aggregation_type": "sum_agg", "field_name": "amount"}
RECURRING_SUM = {**SUM, "recurring": True}

Json = Mapping[str, Any]
# As ingest: events further ahead of the organization's time are refused.
_MAX_AHEAD = timedelta(hours=24)
# An accepted event is counted within a second; a machine busy with other cases takes longer.
_COUNTED_SECONDS = 60.0
_PER_PAGE = "100"


class CaseRest(Rest):
    """The REST interface with the verbs that the story needs none of."""

    def put(self, path: str, body: Json) -> Any:
        """The JSON of a PUT."""
        return self._send("PUT", path, json=body, headers={"Idempotency-Key": str(uuid.uuid4())})

    def delete(self, path: str, **query: str) -> Any:
        """The JSON of a DELETE."""
        return self._send("DELETE", path, params=query, headers={"Idempotency-Key": str(uuid.uuid4())})


class Account:
    """An organization, its clock and its customer.

    Args:
        rest: with the secret key of an organization that has nothing yet.
    """

    def __init__(self, rest: CaseRest) -> None:
        self._rest = rest
        self._now = datetime.min.replace(tzinfo=UTC)
        self._is_known = False
        self._event_count = 0

    # --- what is sold ----------------------------------------------------------------------------------------------

    def open(self, at: datetime, *, tax_rate: int | None = None, **customer: Any) -> None:
        """Start the clock, before anything else; then a tax on everything, and the customer."""
        self._now = at
        self._rest.post("/test_clock", {"now": at.isoformat()})
        if tax_rate:
            tax = {"code": "tax", "name": "Tax", "rate": str(tax_rate), "applied_to_organization": True}
            self._rest.post("/taxes", {"tax": tax})
        self._rest.post("/customers", {"customer": {"external_id": CUSTOMER, "currency": CURRENCY, **customer}})

    def metric(self, given: Json) -> None:
        """The one billable metric of a case; a field that a case does not name is `amount`."""
        is_count = given["aggregation_type"] == COUNT["aggregation_type"]
        field = {} if is_count else {"field_name": given.get("field_name", "amount")}
        self._rest.post("/billable_metrics", {"billable_metric": {**given, **field, "code": METRIC, "name": METRIC}})

    def plan(self, given: Json, *charges: Json, code: str = PLAN) -> None:
        """A plan in the shape of the cases, monthly unless it says otherwise; its charges price the one metric."""
        commitment = {"amount_cents": given.get("minimum_commitment_cents", 0)}
        plan = {
            "name": code,
            "code": code,
            "interval": given.get("interval", "monthly"),
            "amount_cents": given["amount_cents"],
            "amount_currency": CURRENCY,
            "pay_in_advance": given.get("pay_in_advance", False),
            "trial_period": given.get("trial_period_days", 0),
            "minimum_commitment": commitment,
            "charges": [{**charge, "billable_metric_id": METRIC} for charge in charges],
        }
        self._rest.post("/plans", {"plan": plan})

    def coupon(self, body: Json) -> None:
        """A coupon, in the customer's hand."""
        self._rest.post("/coupons", {"coupon": {"name": body["code"], "amount_currency": CURRENCY, **body}})
        applied = {"external_customer_id": CUSTOMER, "coupon_code": body["code"]}
        self._rest.post("/applied_coupons", {"applied_coupon": applied})

    # --- what happens ----------------------------------------------------------------------------------------------

    def subscribe(self, plan: str = PLAN, *, external_id: str = SUBSCRIPTION, billing_time: str = "calendar") -> Any:
        """Put the customer on a plan now, or move the subscription to another plan."""
        body = {
            "external_customer_id": CUSTOMER,
            "external_id": external_id,
            "plan_code": plan,
            "billing_time": billing_time,
        }
        self._is_known = False
        return self._rest.post("/subscriptions", {"subscription": body})["subscription"]

    def terminate(self, *, external_id: str = SUBSCRIPTION, **how: str) -> None:
        """End a subscription now."""
        self._rest.delete(f"/subscriptions/{external_id}", **how)

    def advance(self, to: datetime) -> None:
        """Move the clock, or leave it where it stands; everything due until then has happened afterwards.

        It is a barrier as well: what was done and sent before is known to every service.
        """
        self._rest.post("/test_clock/advance", {"to": to.isoformat()})
        self._now, self._is_known = to, True

    def use(self, events: Sequence[tuple[datetime, Json]]) -> None:
        """Send usage, once what is sold is known; the clock is moved as far as it must be for it to be taken."""
        needed = max(self._now, max(at for at, _ in events) - _MAX_AHEAD)
        if needed > self._now or not self._is_known:
            self.advance(needed)
        body = [
            {
                "transaction_id": f"event-{self._event_count + number}",
                "external_subscription_id": SUBSCRIPTION,
                "code": METRIC,
                "timestamp": at.isoformat(),
                "properties": properties,
            }
            for number, (at, properties) in enumerate(events)
        ]
        self._event_count += len(events)
        answers = self._rest.post("/events/batch", {"events": body})["events"]
        assert {each["status"] for each in answers} == {"accepted"}, answers

    def pay(self, invoice: Json, cents: int) -> None:
        """Say that so much of an invoice was paid."""
        body = {"payment_status": "succeeded", "paid_amount_cents": cents}
        self._rest.put(f"/invoices/{invoice['lago_id']}", {"invoice": body})

    def void(self, invoice: Json) -> None:
        """Take an invoice back."""
        self._rest.post(f"/invoices/{invoice['lago_id']}/void", {})

    def refresh(self, invoice: Json) -> Any:
        """Compute a draft again."""
        return self._rest.put(f"/invoices/{invoice['lago_id']}/refresh", {})["invoice"]

    def credit(self, invoice: Json, items: Sequence[Json]) -> Any:
        """Give items of an invoice back, to the customer's balance."""
        wanted = {"invoice_id": invoice["lago_id"], "items": list(items)}
        estimate = self._rest.post("/credit_notes/estimate", {"credit_note": wanted})["estimated_credit_note"]
        body = {**wanted, "credit_amount_cents": estimate["max_creditable_amount_cents"]}
        return self._rest.post("/credit_notes", {"credit_note": body})["credit_note"]

    # --- what came of it -------------------------------------------------------------------------------------------

    def usage(self, events_count: int, kind: str = "current") -> Any:
        """The running period's usage, `current` or `projected` to its end, once it counts so many events."""
        root = "customer_usage" if kind == "current" else "customer_projected_usage"

        def counted() -> Any:
            path = f"/customers/{CUSTOMER}/{kind}_usage"
            usage = self._rest.get(path, external_subscription_id=SUBSCRIPTION)[root]
            return usage if sum(each["events_count"] for each in usage["charges_usage"]) == events_count else None

        return wait_until(counted, timeout=_COUNTED_SECONDS, what=f"{events_count} events to be counted")

    def closed_usage(self) -> list[Any]:
        """The usage of closed periods, newest first."""
        answer = self._rest.get(f"/customers/{CUSTOMER}/past_usage", external_subscription_id=SUBSCRIPTION)
        return list(answer["usage_periods"])

    def invoices(self) -> list[dict[str, Any]]:
        """All invoices, oldest first, each with its fees."""
        invoices = self._rest.get("/invoices", external_customer_id=CUSTOMER, per_page=_PER_PAGE)["invoices"]
        fees = self._rest.get("/fees", external_customer_id=CUSTOMER, per_page=_PER_PAGE)["fees"]
        return [
            {**invoice, "fees": [fee for fee in fees if fee["lago_invoice_id"] == invoice["lago_id"]]}
            for invoice in reversed(invoices)
        ]

    def credit_notes(self) -> list[Any]:
        """All credit notes, oldest first."""
        answer = self._rest.get("/credit_notes", external_customer_id=CUSTOMER, per_page=_PER_PAGE)
        return list(reversed(answer["credit_notes"]))


Runner = Callable[[Case, Account], dict[str, object]]
"""Plays a case; the figures it comes to, by the names under which the case expects them."""


def fees_of(invoices: Sequence[Json], fee_type: str) -> list[Any]:
    """The fees of one type on invoices, in their order."""
    return [fee for invoice in invoices for fee in invoice["fees"] if fee["fee_type"] == fee_type]


def cents_of(invoices: Sequence[Json], fee_type: str) -> int:
    """What the fees of one type on invoices come to."""
    return sum(fee["amount_cents"] for fee in fees_of(invoices, fee_type))


def precise_cents_of(fees: Sequence[Json]) -> Decimal:
    """What fees come to before they are rounded, in minor units."""
    return sum((Decimal(fee["precise_amount"]) for fee in fees), Decimal(0)).scaleb(2)


def span(fee: Json) -> dict[str, object]:
    """The period of a fee as the cases write it."""
    return {"from": fee["from_date"], "to": fee["to_date"]}


def at_each(text: str, properties: Json, count: int = 1) -> list[tuple[datetime, Json]]:
    """So many equal events at one instant."""
    return [(instant(text), properties)] * count
