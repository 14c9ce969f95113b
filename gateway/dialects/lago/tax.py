"""Taxes."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import UNSET, Struct, UnsetType

from farebox.rating.v1 import catalog_service_pb2 as rpc
from farebox.rating.v1.tax_pb2 import Tax as TaxMessage
from gateway.dialects.lago.common import Description, Identified, Name
from gateway.resource import Listing, resource
from gateway.schema import Code, DecimalInput, ExactNumber, Instant, keys, of


class TaxChange(Struct, kw_only=True):
    """The content of a tax; `rate` is in percent."""

    NOT_OFFERED: ClassVar = keys("applied_to_billing_entities_codes")

    code: Code | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    rate: Annotated[DecimalInput, of("rate_percent")] | UnsetType = UNSET
    applied_to_organization: bool | UnsetType = UNSET


class NewTax(TaxChange, kw_only=True):
    """A new tax."""

    code: Code
    rate: Annotated[DecimalInput, of("rate_percent")]


class Tax(Identified, kw_only=True):
    """A tax on fees; `rate` is in percent."""

    code: str
    name: str
    description: str | None
    rate: Annotated[ExactNumber, of("rate_percent")]
    applied_to_organization: bool
    created_at: Instant | None


def _complete(tax: TaxMessage) -> None:
    tax.name = tax.name or tax.code


OPERATIONS = resource(
    "/taxes",
    root="tax",
    plural="taxes",
    creates=NewTax,
    changes=TaxChange,
    answers=Tax,
    complete=_complete,
    create=rpc.CreateTaxRequest,
    get=rpc.GetTaxRequest,
    list=Listing(rpc.ListTaxesRequest),
    update=rpc.UpdateTaxRequest,
    delete=rpc.DeleteTaxRequest,
)
