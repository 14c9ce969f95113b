"""What is announced of usage, revenue and invoices: domain events to subject and bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from farebox.rating.v1 import domain_events_pb2 as pb
from services.kernel.revenue import RevenueKind
from services.rating.invoicing.convert.invoices import invoice_to_pb
from services.rating.invoicing.events import InvoiceChanged, RevenueAccrued, RevenuesAccrued
from services.rating.usage.events import UsageAggregated, UsageRefused
from services.wire.subjects import announcement
from services.wire.values import decimal_to_pb, period_to_pb

Encoded = tuple[str, bytes]

_REVENUE_KINDS = {
    RevenueKind.USAGE: pb.RevenueAccrued.KIND_USAGE,
    RevenueKind.BASE: pb.RevenueAccrued.KIND_BASE,
    RevenueKind.OTHER: pb.RevenueAccrued.KIND_OTHER,
}


def _invoice_changed(event: InvoiceChanged) -> Encoded:
    # A later reader decides whether it is overdue; a change is announced as of when the invoice was made.
    invoice = invoice_to_pb(event.invoice, event.invoice.created_at)
    body = pb.InvoiceChanged(organization_id=event.organization_id, invoice=invoice)
    return announcement(body)


def _usage_aggregated(event: UsageAggregated) -> Encoded:
    body = pb.UsageAggregated(
        totals=[
            pb.UsageAggregated.Total(
                organization_id=total.organization_id,
                subscription_id=total.subscription_id,
                external_customer_id=total.external_customer_id,
                metric_code=total.metric_code,
                period=period_to_pb(total.period),
                units=decimal_to_pb(total.units),
                event_count=total.event_count,
                revision=total.revision,
                days=[
                    pb.UsageAggregated.Day(day=day.isoformat(), units=decimal_to_pb(units))
                    for day, units in sorted(total.days.items())
                ],
            )
            for total in event.totals
        ]
    )
    return announcement(body)


def _usage_refused(event: UsageRefused) -> Encoded:
    body = pb.UsageRefused(
        refusals=[
            pb.UsageRefused.Refusal(
                organization_id=refusal.organization_id,
                event_key=refusal.event_key,
                reason=refusal.reason,
                catalog_revision=refusal.catalog_revision,
            )
            for refusal in event.refusals
        ]
    )
    return announcement(body)


def _revenues_accrued(event: RevenuesAccrued) -> Encoded:
    first, *others = map(_revenue_accrued, event.accruals)
    first.others.extend(others)
    return announcement(first)


def _revenue_accrued(event: RevenueAccrued) -> pb.RevenueAccrued:
    return pb.RevenueAccrued(
        organization_id=event.organization_id,
        external_customer_id=event.external_customer_id,
        subscription_id=event.subscription_id,
        plan_code=event.plan_code,
        currency=event.currency,
        billing_period=period_to_pb(event.billing_period),
        revision=event.revision,
        entries=[
            pb.RevenueAccrued.Entry(
                kind=_REVENUE_KINDS[entry.kind],
                metric_code=entry.metric_code,
                period=period_to_pb(entry.period),
                amount=decimal_to_pb(entry.amount),
                group=dict(entry.group),
            )
            for entry in event.entries
        ],
    )


ENCODERS: dict[type, Callable[[Any], Encoded]] = {
    InvoiceChanged: _invoice_changed,
    UsageAggregated: _usage_aggregated,
    UsageRefused: _usage_refused,
    RevenuesAccrued: _revenues_accrued,
}
