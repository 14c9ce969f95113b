"""Figures by month, as Lago's analytics name them; rating adds them up."""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.rating.v1 import figures_pb2 as pb
from farebox.rating.v1 import invoice_service_pb2 as rpc
from gateway.dialects.lago.invoice_shapes import PAYMENT_STATE
from gateway.operation import Nothing, Request, operation
from gateway.projection import patch, project
from gateway.schema import Cents, Code, CurrencyCode, keys, of

S = TypeVar("S", bound=Struct)
Q = TypeVar("Q", bound="MonthsQuery")

Month = Annotated[str, Meta(description="The first day of the month, e.g. 2024-02-01.")]


class MonthsQuery(Struct, kw_only=True):
    """Which months."""

    NOT_OFFERED: ClassVar = keys("billing_entity_code")

    currency: CurrencyCode | UnsetType = UNSET
    months: Annotated[int, Meta(ge=1, le=36, description="How many, the present one included.")] = 12


class CustomerMonthsQuery(MonthsQuery, kw_only=True):
    """Which months, of which customer."""

    external_customer_id: Code | UnsetType = UNSET


class Figure(Struct, kw_only=True):
    """A figure of one month."""

    month: Month
    amount_cents: Cents
    currency: str


class GrossRevenue(Figure, kw_only=True):
    """Totals of the finalized invoices of a month, less what was refunded of them."""

    invoices_count: Annotated[int, of("invoice_count")]


class InvoiceCollection(Figure, kw_only=True):
    """Totals of the finalized invoices of a month, by payment status."""

    payment_status: Annotated[str, PAYMENT_STATE.told, of("payment_state")] | None
    invoices_count: Annotated[int, of("invoice_count")]


class InvoicedUsage(Figure, kw_only=True):
    """Fees for the usage of a metric on the finalized invoices of a month, without coupons and taxes."""

    code: Annotated[str, of("metric_code")]


class OverdueBalance(Figure, kw_only=True):
    """What is overdue since a month; `lago_invoice_ids` are the newest 1,000 of its invoices."""

    lago_invoice_ids: Annotated[list[str], of("invoice_ids")]


class GrossRevenues(Struct, kw_only=True):
    """By month and currency."""

    gross_revenues: list[GrossRevenue]


class InvoiceCollections(Struct, kw_only=True):
    """By month, currency and payment status."""

    invoice_collections: list[InvoiceCollection]


class InvoicedUsages(Struct, kw_only=True):
    """By month, currency and metric."""

    invoiced_usages: list[InvoicedUsage]


class OverdueBalances(Struct, kw_only=True):
    """By month of the due day and currency."""

    overdue_balances: list[OverdueBalance]


class Mrrs(Struct, kw_only=True):
    """By month and currency."""

    mrrs: list[Figure]


async def gross_revenue(request: Request[Nothing, CustomerMonthsQuery, Nothing]) -> GrossRevenues:
    """List the totals of invoices by month of issue."""
    return GrossRevenues(gross_revenues=await _figures(request, pb.FIGURES_GROSS_REVENUE, GrossRevenue))


async def invoice_collection(request: Request[Nothing, MonthsQuery, Nothing]) -> InvoiceCollections:
    """List the totals of invoices by month of issue and payment status."""
    collections = await _figures(request, pb.FIGURES_INVOICE_COLLECTION, InvoiceCollection)
    return InvoiceCollections(invoice_collections=collections)


async def invoiced_usage(request: Request[Nothing, MonthsQuery, Nothing]) -> InvoicedUsages:
    """List the fees for usage by month of issue and metric."""
    return InvoicedUsages(invoiced_usages=await _figures(request, pb.FIGURES_INVOICED_USAGE, InvoicedUsage))


async def overdue_balance(request: Request[Nothing, CustomerMonthsQuery, Nothing]) -> OverdueBalances:
    """List what is overdue by month of the due day, however long ago that was."""
    return OverdueBalances(overdue_balances=await _figures(request, pb.FIGURES_OVERDUE_BALANCE, OverdueBalance))


async def mrr(request: Request[Nothing, MonthsQuery, Nothing]) -> Mrrs:
    """List the recurring revenue of the subscriptions that there are at each month's end.

    It is a twelfth of each one's base price of a year. Subscriptions in their trial bring none.
    """
    return Mrrs(mrrs=await _figures(request, pb.FIGURES_MONTHLY_RECURRING_REVENUE, Figure))


async def _figures(request: Request[Nothing, Q, Nothing], figures: pb.Figures, struct: type[S]) -> list[S]:
    call = request.call
    asked, _ = patch(rpc.ListMonthlyFiguresRequest(figures=figures), request.query)
    answer = await call.ask(call.clients.invoices.ListMonthlyFigures, asked)
    return [project(struct, figure) for figure in answer.figures]


OPERATIONS = (
    operation("GET", "/analytics/gross_revenue", gross_revenue),
    operation("GET", "/analytics/invoice_collection", invoice_collection),
    operation("GET", "/analytics/invoiced_usage", invoiced_usage),
    operation("GET", "/analytics/overdue_balance", overdue_balance),
    operation("GET", "/analytics/mrr", mrr),
)
