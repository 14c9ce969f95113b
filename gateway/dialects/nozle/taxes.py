"""Taxes."""

from __future__ import annotations

from typing import Any

from farebox.common.v1.page_pb2 import PageRequest
from farebox.rating.v1 import catalog_service_pb2 as service
from farebox.rating.v1.tax_pb2 import Tax
from gateway.call import Call
from gateway.dialects.nozle import pages, write
from gateway.dialects.nozle.read import Reader
from gateway.errors import not_found


async def create(call: Call) -> Any:
    """`POST /taxes`."""
    body = Reader(call.wrapped("tax"))
    body.required("code")
    body.required("rate")
    return await _upsert(call, body, Tax())


async def update(call: Call) -> Any:
    """`PUT /taxes/{code}`: fields that are not given stay."""
    return await _upsert(call, Reader(call.wrapped("tax")), await _get(call))


async def find(call: Call) -> Any:
    """`GET /taxes/{code}`."""
    return {"tax": tax_json(await _get(call))}


async def find_all(call: Call) -> Any:
    """`GET /taxes`."""
    page = pages.read(call.query)
    answer = await call.ask(call.clients.catalog.ListTaxes, service.ListTaxesRequest(page=page))
    taxes = [tax_json(tax) for tax in answer.taxes]
    return {"taxes": taxes, "meta": pages.meta(page, answer.page, len(taxes))}


def tax_json(tax: Tax) -> dict[str, Any]:
    """A tax as Lago's clients read it."""
    return {
        **write.ids(tax.id),
        "code": tax.code,
        "name": tax.name,
        "description": tax.description or None,
        "rate": write.number(tax, "rate_percent") or 0,
        "applied_to_organization": tax.applied_to_organization,
        "created_at": write.instant(tax, "created_at"),
    }


async def _get(call: Call) -> Tax:
    code = call.path["code"]
    request = service.ListTaxesRequest(page=PageRequest(page_size=pages.MAX_PER_PAGE))
    taxes = (await call.ask(call.clients.catalog.ListTaxes, request)).taxes
    found = next((tax for tax in taxes if tax.code == code), None)
    if found is None:
        raise not_found("tax", f"no tax has the code {code!r}")
    return found


async def _upsert(call: Call, body: Reader, tax: Tax) -> Any:
    tax.code = tax.code or body.text("code")
    tax.name = body.text("name", tax.name) or tax.code
    tax.description = body.text("description", tax.description)
    tax.applied_to_organization = body.flag("applied_to_organization", default=tax.applied_to_organization)
    rate = body.decimal("rate")
    if rate is not None:
        tax.rate_percent.CopyFrom(rate)
    request = service.UpsertTaxRequest(request_id=call.mutation_id, tax=tax)
    return {"tax": tax_json((await call.ask(call.clients.catalog.UpsertTax, request)).tax)}
