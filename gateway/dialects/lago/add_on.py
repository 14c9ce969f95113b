"""Add-ons: items with a price, which one-off invoices name by `add_on_code`."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.rating.v1 import catalog_service_pb2 as rpc
from farebox.rating.v1.add_on_pb2 import AddOn as AddOnMessage
from gateway.dialects.lago.common import Description, Identified, Name
from gateway.resource import Listing, resource
from gateway.schema import Cents, Code, CurrencyCode, Instant, of

# More than an add-on can have; the service decides the exact limit.
_MOST = Meta(max_length=1000)
Label = Annotated[str, Meta(max_length=255, description="Name on the invoice; null means the name.")]


class AddOnChange(Struct, kw_only=True):
    """The content of an add-on; `amount_cents` is the price of one unit."""

    code: Code | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    invoice_display_name: Label | UnsetType | None = UNSET
    description: Description | UnsetType | None = UNSET
    amount_cents: Cents | UnsetType = UNSET
    amount_currency: Annotated[CurrencyCode, of("currency")] | UnsetType = UNSET
    tax_codes: Annotated[list[Code], _MOST] | UnsetType | None = UNSET


class NewAddOn(AddOnChange, kw_only=True):
    """A new add-on."""

    code: Code
    amount_cents: Cents
    amount_currency: Annotated[CurrencyCode, of("currency")]


class AddOn(Identified, kw_only=True):
    """An item with a price."""

    code: str
    name: str
    invoice_display_name: str | None
    description: str | None
    amount_cents: Cents
    amount_currency: Annotated[str, of("currency")]
    tax_codes: list[str]
    created_at: Instant | None


def _complete(add_on: AddOnMessage) -> None:
    add_on.name = add_on.name or add_on.code


OPERATIONS = resource(
    "/add_ons",
    root="add_on",
    plural="add_ons",
    creates=NewAddOn,
    changes=AddOnChange,
    answers=AddOn,
    complete=_complete,
    create=rpc.CreateAddOnRequest,
    get=rpc.GetAddOnRequest,
    list=Listing(rpc.ListAddOnsRequest),
    update=rpc.UpdateAddOnRequest,
    delete=rpc.DeleteAddOnRequest,
)
