"""A plan's charges: which metric, which model, filters and groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from farebox.common.v1.page_pb2 import PageRequest
from farebox.rating.v1 import catalog_service_pb2 as service
from farebox.rating.v1.charge_pb2 import Charge
from gateway.call import Call
from gateway.dialects.nozle import write
from gateway.dialects.nozle.charge_models import model_name, read_model, write_model
from gateway.dialects.nozle.pages import MAX_PER_PAGE
from gateway.dialects.nozle.read import Reader
from gateway.problem import not_available, not_found
from services.kernel.ids import uuid_or_none

# Lago's name for the grouping of a charge, and its older one.
GROUP_KEYS = ("pricing_group_keys", "grouped_by")


async def metric_codes(call: Call, charges: list[Reader]) -> Mapping[str, str]:
    """Codes by id of the metrics that charges name by `billable_metric_id`, which Lago says is a `lago_id`."""
    wanted = {charge.text("billable_metric_id") for charge in charges}
    if not any(uuid_or_none(identity) for identity in wanted):
        return {}
    codes, token = {}, ""
    while True:
        request = service.ListBillableMetricsRequest(page=PageRequest(page_size=MAX_PER_PAGE, page_token=token))
        answer = await call.ask(call.clients.catalog.ListBillableMetrics, request)
        codes.update({metric.id: metric.code for metric in answer.billable_metrics if metric.id in wanted})
        token = answer.page.next_page_token
        if not token:
            return codes


def read_charge(body: Reader, codes: Mapping[str, str]) -> Charge:
    """A charge for the wire.

    Args:
        body: the charge as it is sent.
        codes: metric codes by id.

    Raises:
        Problem: 404, the metric is unknown; 422, a field cannot be read.
    """
    if body.has("invoiceable") and not body.flag("invoiceable"):
        raise not_available("invoiceable")
    name, properties = body.required("charge_model"), body.object("properties")
    groups = next((properties.texts(key) for key in GROUP_KEYS if properties.has(key)), [])
    return Charge(
        id=body.text("id"),
        code=body.text("code"),
        metric_code=_metric_code(body, codes),
        invoice_display_name=body.text("invoice_display_name"),
        model=read_model(name, properties),
        filters=[_read_filter(name, each) for each in body.objects("filters")],
        group_by=groups,
        min_amount_cents=body.integer("min_amount_cents"),
        pay_in_advance=body.flag("pay_in_advance"),
        prorated=body.flag("prorated"),
    )


def charge_json(charge: Charge, metric_ids: Mapping[str, str], created_at: str | None) -> dict[str, Any]:
    """A charge as Lago's clients read it.

    Args:
        charge: of a plan.
        metric_ids: ids of metrics by code, as far as they are known.
        created_at: of the plan version; a charge has no life of its own.
    """
    groups = {"pricing_group_keys": list(charge.group_by)} if charge.group_by else {}
    return {
        **write.ids(charge.id),
        "code": charge.code or None,
        "lago_billable_metric_id": metric_ids.get(charge.metric_code),
        "billable_metric_code": charge.metric_code,
        "invoice_display_name": charge.invoice_display_name or None,
        "created_at": created_at,
        "charge_model": model_name(charge.model),
        "properties": {**write_model(charge.model), **groups},
        "filters": [_filter_json(each) for each in charge.filters],
        "min_amount_cents": charge.min_amount_cents,
        "pay_in_advance": charge.pay_in_advance,
        "prorated": charge.prorated,
        "invoiceable": True,
        "regroup_paid_fees": None,
        "taxes": [],
    }


def _metric_code(body: Reader, codes: Mapping[str, str]) -> str:
    identity = body.text("billable_metric_id")
    code = body.text("billable_metric_code") or codes.get(identity) or identity
    if not code:
        raise body.refusal("billable_metric_id", "value_is_mandatory", "names the metric by id or by code")
    if code == identity and uuid_or_none(identity):
        raise not_found("billable_metrics", f"no metric has the id {identity}")
    return code


def _read_filter(name: str, body: Reader) -> Charge.FilteredPrice:
    values = body.object("values")
    return Charge.FilteredPrice(
        values={key: Charge.PropertyValues(values=values.texts(key)) for key in values.names()},
        model=read_model(name, body.object("properties")),
        invoice_display_name=body.text("invoice_display_name"),
    )


def _filter_json(price: Charge.FilteredPrice) -> dict[str, Any]:
    return {
        "invoice_display_name": price.invoice_display_name or None,
        "properties": write_model(price.model),
        "values": {key: list(held.values) for key, held in sorted(price.values.items())},
    }
