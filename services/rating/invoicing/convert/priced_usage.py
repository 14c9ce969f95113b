"""Usage: the log's entries and listed events to domain, summaries to messages."""

from __future__ import annotations

from typing import Protocol

from farebox.rating.v1 import usage_service_pb2 as pb
from services.kernel.errors import InvalidArgumentError
from services.rating.catalog.convert.plans import plan_from_pb
from services.rating.invoicing.convert.fees import fee_to_pb
from services.rating.invoicing.queries.priced_usage import UsageSummary, Whose
from services.rating.pricing.catalog import PlanVersion
from services.wire.values import period_to_pb


def summary_to_pb(summary: UsageSummary) -> pb.UsageSummary:
    """The usage of one period."""
    customer = summary.customer_id, summary.external_customer_id
    return pb.UsageSummary(
        period=period_to_pb(summary.period),
        currency=summary.currency.code,
        amount_cents=summary.amount_cents,
        taxes_amount_cents=summary.taxes_amount_cents,
        fees=[fee_to_pb(fee, summary.currency, customer, invoice_id=summary.invoice_id or "") for fee in summary.fees],
        invoice_id=summary.invoice_id or "",
    )


class _NamesSubscription(Protocol):
    """A request about one subscription's usage."""

    external_customer_id: str
    external_subscription_id: str


def whose_from_pb(request: _NamesSubscription) -> Whose:
    """Whose usage a request is about."""
    return Whose(request.external_customer_id, request.external_subscription_id)


def simulated_plan_from_pb(request: pb.SimulatePlanRequest) -> PlanVersion | str:
    """The plan to price: a draft, or the code of an existing plan."""
    if request.HasField("draft"):
        return plan_from_pb(request.draft, "draft")
    if not request.plan_code:
        raise InvalidArgumentError.of_field("plan_code", "value_is_mandatory", "or a draft is given")
    return request.plan_code
