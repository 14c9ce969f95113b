"""An account played over REST on a running suite. Corrections of events, for which REST has no verb, use gRPC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Self

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp

from farebox.ingest.v1.usage_event_pb2 import UsageEvent
from farebox.ingest.v1.usage_event_service_pb2 import VoidUsageEventRequest
from farebox.ingest.v1.usage_event_service_pb2_grpc import UsageEventServiceStub
from farebox.testing import Farebox, FareboxServer, Rest
from tests.support.accounts.account import CUSTOMER, SUBSCRIPTION, Body, CreditNote, Fee, Invoice, Line, Usage

Json = Mapping[str, Any]
# The maximum size of a batch and of a page.
BATCH = 100
_PER_PAGE = "100"
_TIMINGS = {"now": "immediate", "period_end": "end_of_period"}
# A call that corrects an event answers at once; a machine busy with other cases takes longer.
_CALL_SECONDS = 60.0
_KNOWN = {"accepted", "duplicate"}


class RestAccount:
    """See `Account`.

    Args:
        server: a running suite; the organization is made when the account is opened.
    """

    def __init__(self, server: FareboxServer) -> None:
        self._server = server
        self._farebox: Farebox | None = None
        self._now = datetime.min.replace(tzinfo=UTC)
        self._plans: set[str] = set()
        # Whether every service has applied everything that was done.
        self._is_known = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._farebox is not None:
            self._farebox.close()

    @property
    def _organization(self) -> Farebox:
        assert self._farebox is not None
        return self._farebox

    @property
    def _rest(self) -> Rest:
        return self._organization.rest

    # --- what is sold -----------------------------------------------------------------------------------------------

    def open(self, at: datetime, **organization: Any) -> None:
        if "late_events" in organization:
            organization["late_events"] = f"LATE_EVENTS_{organization['late_events'].upper()}"
        self._farebox = self._server.new_organization(**organization)
        self._now = at
        self._rest.post("/test_clock", {"now": at.isoformat()})

    def tax(self, body: Body) -> None:
        self._rest.post("/taxes", {"tax": {"name": body["code"], **body}})

    def customer(self, **fields: Any) -> None:
        self._rest.post("/customers", {"customer": {"external_id": CUSTOMER, "name": "Customer", **fields}})

    def metric(self, body: Body) -> None:
        self._rest.post("/billable_metrics", {"billable_metric": {"name": body["code"], **body}})

    def plan(self, body: Body) -> None:
        plan = {"plan": {"name": body["code"], **body}}
        if body["code"] in self._plans:
            self._rest.put(f"/plans/{body['code']}", plan)
        else:
            self._rest.post("/plans", plan)
        self._plans.add(body["code"])

    def coupon(self, body: Body) -> None:
        self._rest.post("/coupons", {"coupon": {"name": body["code"], **body}})

    def hold(self, coupon: str) -> None:
        applied = {"external_customer_id": CUSTOMER, "coupon_code": coupon}
        self._rest.post("/applied_coupons", {"applied_coupon": applied})

    # --- what happens -----------------------------------------------------------------------------------------------

    def subscribe(self, plan: str, **terms: Any) -> None:
        body = {"external_customer_id": CUSTOMER, "external_id": SUBSCRIPTION, "plan_code": plan, **terms}
        self._is_known = False
        self._rest.post("/subscriptions", {"subscription": body})

    def change(self, plan: str, *, when: str = "", credit: str = "credit", external_id: str = SUBSCRIPTION) -> str:
        self._is_known = False
        if not when and credit == "credit":
            body = {"external_customer_id": CUSTOMER, "external_id": external_id, "plan_code": plan}
            return str(self._rest.post("/subscriptions", {"subscription": body})["subscription"]["status"])
        terms = {"operation": "downgrade", "target_plan_code": plan, "credit_action": credit}
        timing = {"timing": _TIMINGS[when]} if when else {}
        return str(self._transition(external_id, **terms, **timing)["status"])

    def _transition(self, external_id: str, **terms: str) -> Any:
        body = {"subscription_id": external_id, "customer_id": CUSTOMER, **terms}
        return self._rest.post("/subscriptions/transitions", body)["subscription_transition"]

    def migrate(self, plan: str) -> None:
        self._rest.post(f"/plans/{plan}/version-migrations", {"from_version": 1})

    def cancel(
        self, *, when: str = "now", credit: str = "credit", is_invoiced: bool = True, external_id: str = SUBSCRIPTION
    ) -> None:
        self._is_known = False
        self._rest.delete(
            f"/subscriptions/{external_id}",
            cancellation_policy=_TIMINGS[when],
            on_termination_credit_note=credit,
            on_termination_invoice="generate" if is_invoiced else "skip",
        )

    def withdraw(self, *, external_id: str = SUBSCRIPTION) -> None:
        body = {"subscription_id": external_id, "customer_id": CUSTOMER}
        self._rest.post("/subscriptions/transitions/withdraw", body)

    def use(self, events: Sequence[Body]) -> None:
        self._settle()
        for start in range(0, len(events), BATCH):
            answers = self._rest.post("/events/batch", {"events": events[start : start + BATCH]})["events"]
            assert {answer["status"] for answer in answers} <= _KNOWN, answers
        self._is_known = False

    def void(self, transaction_id: str, replacement: Body | None = None) -> None:
        request = VoidUsageEventRequest(transaction_id=transaction_id, reason="a mistake", actor="a test")
        if replacement is not None:
            request.replacement.CopyFrom(_event_pb(replacement))
        stub = UsageEventServiceStub(self._organization.channel("ingest"))
        stub.VoidUsageEvent(request, metadata=self._organization.metadata, timeout=_CALL_SECONDS)
        self._is_known = False

    def advance(self, to: datetime) -> None:
        """It is also a barrier: every service has applied what was done and sent before."""
        self._rest.post("/test_clock/advance", {"to": to.isoformat()})
        self._now, self._is_known = to, True

    def _settle(self) -> None:
        """Wait until every service has applied what was done."""
        if not self._is_known:
            self.advance(self._now)

    def pay(self, invoice: Invoice, cents: int) -> None:
        body = {"payment_status": "succeeded", "paid_amount_cents": cents}
        self._rest.put(f"/invoices/{invoice.identity}", {"invoice": body})

    def void_invoice(self, invoice: Invoice) -> None:
        self._rest.post(f"/invoices/{invoice.identity}/void", {})

    def refresh(self, invoice: Invoice) -> Invoice:
        self._settle()
        return _invoice(self._rest.put(f"/invoices/{invoice.identity}/refresh", {})["invoice"])

    def sell(self, items: Sequence[Body], currency: str) -> None:
        body = {"external_customer_id": CUSTOMER, "currency": currency, "fees": items}
        self._rest.post("/invoices", {"invoice": body})

    def credit(self, invoice: Invoice, items: Sequence[tuple[Fee, int]]) -> CreditNote:
        given = [{"fee_id": fee.identity, "amount_cents": cents} for fee, cents in items]
        wanted = {"invoice_id": invoice.identity, "items": given}
        estimate = self._rest.post("/credit_notes/estimate", {"credit_note": wanted})["estimated_credit_note"]
        body = {**wanted, "credit_amount_cents": estimate["max_creditable_amount_cents"]}
        return _credit_note(self._rest.post("/credit_notes", {"credit_note": body})["credit_note"])

    # --- what came of it --------------------------------------------------------------------------------------------

    def invoices(self) -> list[Invoice]:
        listed = self._rest.get("/invoices", external_customer_id=CUSTOMER, per_page=_PER_PAGE)["invoices"]
        whole = [self._rest.get(f"/invoices/{invoice['lago_id']}")["invoice"] for invoice in reversed(listed)]
        return [_invoice(body) for body in sorted(whole, key=_by_number)]

    def credit_notes(self) -> list[CreditNote]:
        listed = self._rest.get("/credit_notes", external_customer_id=CUSTOMER, per_page=_PER_PAGE)["credit_notes"]
        return [_credit_note(body) for body in reversed(listed)]

    def usage(self, kind: str = "current") -> Usage:
        self._settle()
        path, root = f"/customers/{CUSTOMER}/{kind}_usage", "customer_usage"
        if kind == "projected":
            root = "customer_projected_usage"
        prefix = "" if kind == "current" else "projected_"
        return _usage(self._rest.get(path, external_subscription_id=SUBSCRIPTION)[root], prefix)

    def closed_usage(self) -> list[Usage]:
        answer = self._rest.get(f"/customers/{CUSTOMER}/past_usage", external_subscription_id=SUBSCRIPTION)
        return [_usage(body) for body in answer["usage_periods"]]


def _by_number(body: Json) -> tuple[bool, int]:
    return body["sequential_id"] is None, body["sequential_id"] or 0


def _invoice(body: Json) -> Invoice:
    return Invoice(
        state=body["status"],
        issued_on=body["issuing_date"],
        fees=tuple(_fee(fee) for fee in body["fees"]),
        fees_cents=body["fees_amount_cents"],
        coupons_cents=body["coupons_amount_cents"],
        sub_total_cents=body["sub_total_excluding_taxes_amount_cents"],
        taxes_cents=body["taxes_amount_cents"],
        credit_notes_cents=body["credit_notes_amount_cents"],
        total_cents=body["total_amount_cents"],
        identity=body["lago_id"],
    )


def _fee(body: Json) -> Fee:
    return Fee(
        type=body["fee_type"],
        code=body["item"]["code"] if body["fee_type"] != "subscription" else "",
        amount_cents=body["amount_cents"],
        units=Decimal(body["units"]),
        first=body["from_date"],
        last=body["to_date"],
        filter=body["item"]["filter_invoice_display_name"] or "",
        group=body["item"]["grouped_by"],
        event_count=body["events_count"],
        precise_amount=Decimal(body["precise_amount"]),
        total_aggregated_units=Decimal(body["total_aggregated_units"]),
        lines=tuple(_line(line) for line in body["amount_details"]["lines"]),
        coupons_cents=Decimal(body["precise_coupons_amount_cents"]),
        taxes_cents=body["taxes_amount_cents"],
        taxes_rate=Decimal(str(body["taxes_rate"])),
        subscription=body["external_subscription_id"],
        identity=body["lago_id"],
    )


def _line(body: Json) -> Line:
    return Line(*(Decimal(body[name] or 0) for name in ("units", "unit_amount", "flat_amount", "amount")))


def _credit_note(body: Json) -> CreditNote:
    return CreditNote(
        total_cents=body["total_amount_cents"],
        sub_total_cents=body["sub_total_excluding_taxes_amount_cents"],
        taxes_cents=body["taxes_amount_cents"],
        credit_cents=body["credit_amount_cents"],
        refund_cents=body["refund_amount_cents"],
        offset_cents=body["offset_amount_cents"],
        balance_cents=body["balance_amount_cents"],
        item_cents=tuple(item["amount_cents"] for item in body["items"]),
        identity=body["lago_id"],
    )


def _usage(body: Json, prefix: str = "") -> Usage:
    """A period's usage; for a projection, the figures with its prefix."""
    fees = [fee for charge in body["charges_usage"] for fee in _fees_of_charge(charge, prefix)]
    amount_cents = body[f"{prefix}amount_cents"]
    return Usage(
        first=body["from_datetime"],
        last=body["to_datetime"],
        fees=tuple(fees),
        amount_cents=amount_cents,
        total_cents=amount_cents + body["taxes_amount_cents"],
        issued_on=body["issuing_date"],
    )


def _fees_of_charge(charge: Json, prefix: str) -> list[Fee]:
    """One fee for each filter and group of the charge, if it has any."""
    parts = [
        (part, group["grouped_by"])
        for group in charge["grouped_usage"] or [{**charge, "grouped_by": {}}]
        for part in group["filters"] or [group]
    ]
    return [
        Fee(
            type="charge",
            code=charge["billable_metric"]["code"],
            amount_cents=part[f"{prefix}amount_cents"],
            units=Decimal(part[f"{prefix}units"]),
            filter=part.get("invoice_display_name") or "",
            group=group,
            event_count=part["events_count"],
            total_aggregated_units=Decimal(part["total_aggregated_units"]),
        )
        for part, group in parts
    ]


def _event_pb(body: Body) -> UsageEvent:
    """An event on the wire."""
    occurred_at = Timestamp()
    occurred_at.FromDatetime(datetime.fromisoformat(body["timestamp"]))
    event = UsageEvent(
        transaction_id=body["transaction_id"],
        external_subscription_id=body["external_subscription_id"],
        code=body["code"],
        occurred_at=occurred_at,
        properties=msgspec.json.encode(body["properties"]),
    )
    if "precise_total_amount_cents" in body:
        event.precise_total_amount_cents.value = body["precise_total_amount_cents"]
    return event
