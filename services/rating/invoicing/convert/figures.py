"""Figures: domain to messages, and callers' requests to domain."""

from __future__ import annotations

from collections.abc import Mapping

from farebox.rating.v1 import figures_pb2 as pb
from farebox.rating.v1 import invoice_service_pb2 as service_pb2
from services.kernel.errors import InvalidArgumentError
from services.rating.invoicing.convert.invoices import payment_state_to_pb
from services.rating.invoicing.figures import Figures, MonthlyFigure
from services.rating.invoicing.queries.figures import FiguresWanted

_FIGURES: Mapping[int, Figures] = {
    pb.FIGURES_GROSS_REVENUE: Figures.GROSS_REVENUE,
    pb.FIGURES_INVOICE_COLLECTION: Figures.INVOICE_COLLECTION,
    pb.FIGURES_INVOICED_USAGE: Figures.INVOICED_USAGE,
    pb.FIGURES_OVERDUE_BALANCE: Figures.OVERDUE_BALANCE,
    pb.FIGURES_MONTHLY_RECURRING_REVENUE: Figures.RECURRING_REVENUE,
}


def figures_wanted_from_pb(request: service_pb2.ListMonthlyFiguresRequest) -> FiguresWanted:
    """Which figures, or a refusal that names every wrong field."""
    if request.figures not in _FIGURES:
        raise InvalidArgumentError.of_field("figures", "value_is_mandatory", "says what is added up")
    return FiguresWanted(
        figures=_FIGURES[request.figures],
        months=request.months,
        currency=request.currency,
        external_customer_id=request.external_customer_id,
    )


def figure_to_pb(figure: MonthlyFigure) -> pb.MonthlyFigure:
    """The figure of a month."""
    return pb.MonthlyFigure(
        month=figure.month.isoformat(),
        currency=figure.currency,
        amount_cents=figure.amount_cents,
        invoice_count=figure.invoice_count,
        metric_code=figure.metric_code,
        payment_state=None if figure.payment_state is None else payment_state_to_pb(figure.payment_state),
        invoice_ids=figure.invoice_ids,
    )
