"""Figures by month over REST, as Lago's client reads them."""

from __future__ import annotations

from typing import Any

import pytest
from lago_python_client.models.gross_revenue import GrossRevenueResponse
from lago_python_client.models.invoice_collection import InvoiceCollectionResponse
from lago_python_client.models.invoiced_usage import InvoicedUsageResponse
from lago_python_client.models.mrr import MrrResponse
from lago_python_client.models.overdue_balance import OverdueBalanceResponse

from farebox.rating.v1 import invoice_service_pb2 as rpc
from farebox.rating.v1.figures_pb2 import MonthlyFigure
from farebox.rating.v1.invoice_pb2 import Invoice
from tests.support.gateway import Gateway, new_gateway

FIGURE = MonthlyFigure(
    month="2024-02-01",
    currency="EUR",
    amount_cents=1200,
    invoice_count=2,
    metric_code="calls",
    payment_state=Invoice.PAYMENT_STATE_PENDING,
    invoice_ids=["i1"],
)


@pytest.fixture
def gateway() -> Gateway:
    gateway = new_gateway()
    gateway.services.on("ListMonthlyFigures", rpc.ListMonthlyFiguresResponse(figures=[FIGURE]))
    return gateway


@pytest.mark.parametrize(
    ("path", "root", "model", "told"),
    [
        ("gross_revenue", "gross_revenues", GrossRevenueResponse, {"invoices_count": 2}),
        ("invoice_collection", "invoice_collections", InvoiceCollectionResponse, {"payment_status": "pending"}),
        ("invoiced_usage", "invoiced_usages", InvoicedUsageResponse, {"code": "calls"}),
        ("overdue_balance", "overdue_balances", OverdueBalanceResponse, {"lago_invoice_ids": ["i1"]}),
        ("mrr", "mrrs", MrrResponse, {}),
    ],
)
def test_figures_come_by_month(gateway: Gateway, path: str, root: str, model: Any, told: Any) -> None:
    (figure,) = gateway.get(f"/api/v1/analytics/{path}?months=3&currency=EUR").json()[root]
    assert (figure["month"], figure["amount_cents"], figure["currency"]) == ("2024-02-01", 1200, "EUR")
    assert {name: figure[name] for name in told} == told
    assert model.parse_obj(figure)
    (asked,) = gateway.services.requests("ListMonthlyFigures")
    assert (asked.months, asked.currency) == (3, "EUR")


@pytest.mark.parametrize("query", ["months=0", "months=37", "currency=EURO", "external_customer_id=acme"])
def test_what_figures_do_not_have_is_refused(gateway: Gateway, query: str) -> None:
    assert gateway.get(f"/api/v1/analytics/mrr?{query}").status_code == 422
    assert gateway.services.requests("ListMonthlyFigures") == []
